"""pipeline: a pinned version of another pipeline as one node."""

from typing import Any

from pydantic import Field

from pipelines.graph.graph import Graph
from pipelines.graph.kinds.interface import Fields, PortField
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports


class SubPipeline(Config):
    """`version` names a graph that stays as it is, so this node does too. Its fields are kept here:
    ports are known without looking the version up, and validation compares."""

    version: str = Field(min_length=1, max_length=100, description="Id of the pinned version.")
    title: str = Field("", max_length=200, description="The pipeline's name and number, to read.")
    inputs: tuple[PortField, ...] = Field((), max_length=200)
    outputs: tuple[PortField, ...] = Field((), max_length=200)


def _inputs(config: SubPipeline, body: Body) -> Ports:
    return tuple(field.port() for field in config.inputs)


def _outputs(config: SubPipeline, body: Body) -> Ports:
    return tuple(field.port() for field in config.outputs)


def pinned(version: str, graph: Graph, *, title: str = "") -> dict[str, Any]:
    """The config of a node that runs this graph, known as `version`."""
    return {
        "version": version,
        "title": title or graph.name,
        "inputs": _fields(graph, "input"),
        "outputs": _fields(graph, "output"),
    }


def _fields(graph: Graph, side: str) -> list[dict[str, Any]]:
    node = next((node for node in graph.children(None) if node.kind == side), None)
    if node is None:
        return []
    fields = Fields.model_validate(node.config).fields
    return [field.model_dump(mode="json", exclude_defaults=True) for field in fields]


PIPELINE = Kind(
    name="pipeline",
    title="Pipeline",
    description="Runs a pinned version of another pipeline.",
    group="control",
    config=SubPipeline,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"engine"}),
)
