"""A graph made ready to run: per scope, who waits for whom. Built once per graph, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipelines.graph.graph import Edge, Graph, GraphError, Node, Port
from pipelines.graph.kinds import Kind, kind_named
from pipelines.graph.kinds.sub_pipeline import SubPipeline
from pipelines.graph.policy import StepPolicy
from pipelines.graph.ports import node_ports

type Source = tuple[str, str]  # node id, output port
type _EdgesInto = dict[str, list[Edge]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One node with everything that is known before the run. `sources` pairs each input port with
    the outputs that feed it, in order."""

    node: Node
    kind: Kind
    config: Any
    policy: StepPolicy
    sources: tuple[tuple[Port, tuple[Source, ...]], ...]
    body: "Plan | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One scope: the top level of a graph, or the body of a container.

    `waits` counts the steps that must end before each one; `dependents` is the way back. The input
    and output nodes are no steps: `given` and `results` are their ports. With `result_of` the live
    outputs of that step are the results.
    """

    steps: Mapping[str, PlannedStep]
    dependents: Mapping[str, tuple[str, ...]]
    waits: Mapping[str, int]
    input_id: str | None
    given: tuple[Port, ...]
    results: tuple[tuple[Port, tuple[Source, ...]], ...]
    result_of: str = ""

    @property
    def roots(self) -> tuple[str, ...]:
        return tuple(step for step, count in self.waits.items() if not count)


MAX_PINS = 8
"""Pipelines within pipelines within … at most."""


def plan(graph: Graph) -> Plan:
    """The plan of a valid graph, with those of the pipelines that it pins (`graph.pipelines`). A graph
    that `validate` finds problems in raises a GraphError, and so does one that leads to itself."""
    return _Pinned(graph.pipelines, {}, ()).plan(graph)


@dataclass(frozen=True, slots=True)
class _Pinned:
    """The graphs that nodes pin. `plans` keeps what is planned: many nodes may pin one version."""

    graphs: Mapping[str, Graph]
    plans: dict[str, "Plan"]
    way: tuple[str, ...]

    def plan(self, graph: Graph) -> "Plan":
        into: _EdgesInto = {}
        for edge in graph.edges:
            into.setdefault(edge.target, []).append(edge)
        return _plan_scope(graph, None, into, self)

    def body(self, node: Node, version: str) -> "Plan":
        if version in self.way or len(self.way) >= MAX_PINS:
            raise GraphError(
                f"Node '{node.id}' pins a pipeline that leads to itself, or lies in more than "
                f"{MAX_PINS} others. Take it out of one of them."
            )
        if version not in self.plans:
            if version not in self.graphs:
                raise GraphError(
                    f"Node '{node.id}' pins the version '{version}', which is not at hand. "
                    "Choose the pipeline again."
                )
            inner = _Pinned(self.graphs, self.plans, (*self.way, version))
            self.plans[version] = inner.plan(self.graphs[version])
        return self.plans[version]


def _plan_scope(graph: Graph, parent: str | None, into: _EdgesInto, pinned: _Pinned) -> Plan:
    nodes = graph.children(parent)
    input_id = next((node.id for node in nodes if node.kind == "input"), None)
    output = next((node for node in nodes if node.kind == "output"), None)
    steps = {
        node.id: _planned(graph, node, into, pinned)
        for node in nodes
        if node.kind not in ("input", "output")
    }
    upstream = {
        step_id: {
            source for _, sources in step.sources for source, _ in sources if source != input_id
        }
        for step_id, step in steps.items()
    }
    return Plan(
        steps=steps,
        dependents=_reversed(upstream),
        waits={step_id: len(sources) for step_id, sources in upstream.items()},
        input_id=input_id,
        given=node_ports(graph, graph.node(input_id)).outputs if input_id else (),
        results=_sources(graph, output, into) if output else (),
    )


def _planned(graph: Graph, node: Node, into: _EdgesInto, pinned: _Pinned) -> PlannedStep:
    kind = kind_named(node.kind)
    try:
        config = kind.config.model_validate(node.config)
        body = None
        if kind.container:
            body = _plan_scope(graph, node.id, into, pinned)
        elif isinstance(config, SubPipeline):
            body = pinned.body(node, config.version)
        return PlannedStep(
            node=node,
            kind=kind,
            config=config,
            policy=_policy(node, kind, config),
            sources=_sources(graph, node, into),
            body=body,
        )
    except ValidationError as error:
        raise GraphError(f"Node '{node.id}' can't be planned: {error}") from None


def _policy(node: Node, kind: Kind, config: Any) -> StepPolicy:
    """The node's policy, with `retry` decided. Who sets retries wants the step repeated."""
    policy = StepPolicy.model_validate(node.policy)
    if policy.retry != "auto":
        return policy
    repeats = policy.retries > 0 or kind.repeatable(config)
    return policy.model_copy(update={"retry": "allowed" if repeats else "never"})


def _sources(
    graph: Graph, node: Node, into: _EdgesInto
) -> tuple[tuple[Port, tuple[Source, ...]], ...]:
    feeding: dict[str, list[tuple[int, Source]]] = {}
    for edge in into.get(node.id, ()):
        feeding.setdefault(edge.target_port, []).append(
            (edge.order, (edge.source, edge.source_port))
        )
    return tuple(
        (port, tuple(source for _, source in sorted(feeding.get(port.name, ()))))
        for port in node_ports(graph, node).inputs
    )


def _reversed(upstream: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    dependents: dict[str, list[str]] = {step_id: [] for step_id in upstream}
    for step_id, sources in upstream.items():
        for source in sources:
            dependents[source].append(step_id)
    return {step_id: tuple(ids) for step_id, ids in dependents.items()}


def is_dead(source: Source, outputs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an output port of an ended step carries nothing."""
    node_id, port = source
    return port not in outputs[node_id]


def cause_of_skip(step: PlannedStep, outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why this step can't run, or None when it can: the first required input whose sources are dead."""
    if step.node.kind == "merge":
        return _nothing_to_merge(step, outputs)
    carries = step.node.kind in ("condition", "switch")  # a joined `value` that is dead stays dead
    for port, sources in step.sources:
        if (
            (port.required or carries)
            and sources
            and all(is_dead(source, outputs) for source in sources)
        ):
            return f"its input '{port.name}' gets nothing: {_names(sources)} produced no value"
    return None


def _nothing_to_merge(step: PlannedStep, outputs: Mapping[str, Mapping[str, Any]]) -> str | None:
    if all(is_dead(source, outputs) for _, sources in step.sources for source in sources):
        return "none of its inputs got a value"
    return None


def gather(
    sources: Sequence[tuple[Port, tuple[Source, ...]]], outputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Input values by port. A port without a live source is left out, or takes its default when it
    is not required; a `many` port gets a list."""
    values: dict[str, Any] = {}
    for port, feeding in sources:
        live = [outputs[node][name] for node, name in feeding if name in outputs[node]]
        if port.many:
            values[port.name] = live
        elif live:
            values[port.name] = live[0]
        elif not port.required and port.default is not None:
            values[port.name] = port.default
    return values


def _names(sources: Sequence[Source]) -> str:
    return ", ".join(f"{node}.{port}" for node, port in sources)
