"""template: text with values filled in. Plain data only; no Python object is ever reachable."""

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports, TemplateText, template_variables


class Template(Config):
    """A minijinja template; every name it reads is an input."""

    template: TemplateText = Field(description="Text with {{ names }} filled in.")


def _inputs(config: Template, body: Body) -> Ports:
    return tuple(Port(name=name) for name in template_variables(config.template))


def _outputs(config: Template, body: Body) -> Ports:
    return (Port(name="text", type="str"),)


TEMPLATE = Kind(
    name="template",
    title="Template",
    description="Fills values into a text.",
    group="data",
    config=Template,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)
