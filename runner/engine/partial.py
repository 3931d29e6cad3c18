"""Running a part of a pipeline: what is asked for, and what of the graph that leaves."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from pipelines.graph.graph import Graph, Port
from pipelines.graph.ports import node_ports
from runner.engine.errors import InvalidInput
from runner.engine.plan import Plan, PlannedStep, plan
from runner.engine.step_store import StepStore

type Mode = Literal["from", "to", "only", "all"]

GIVEN = "<given>"
"""Stands for the input node of a run of one step: no node can have this id."""


class PartialRun(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What of a pipeline is to be run: `from` a node on, `to` it, or it `only`; or `all` of it, which has
    no node and is for pins.

    Steps that need not run anew take what was recorded: in the run `base`, or the newest of the
    pipeline. `pins` gives outputs by node, which stand for those that it would give.
    """

    mode: Mode
    node: Annotated[str, msgspec.Meta(max_length=63)] = ""
    base: Annotated[str, msgspec.Meta(max_length=36)] = ""
    pins: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What a run may take instead of running it. The steps in `anew`, by their node of the top level,
    are run whatever is recorded."""

    store: StepStore
    anew: frozenset[str]
    pins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    base: str = ""

    def may_take(self, path: str) -> bool:
        return path.partition("/")[0].partition("[")[0] not in self.anew


def check_partial(graph: Graph, wish: PartialRun) -> None:
    """Raise InvalidInput unless the graph has this step at its top level, where one is asked for."""
    if wish.mode == "all":
        if wish.node:
            raise InvalidInput(f"All is run, so there is no node to name ('{wish.node}').")
        return
    node = graph.nodes.get(wish.node)
    if node is None:
        raise InvalidInput(f"The pipeline has no node '{wish.node}'. Choose one that it has.")
    if node.parent is not None:
        raise InvalidInput(
            f"'{wish.node}' lies in '{node.parent}', which runs as a whole. Run from, to or only "
            f"'{_outermost(graph, node.parent)}'."
        )
    if node.kind in ("input", "output"):
        raise InvalidInput(f"'{wish.node}' is the pipeline's {node.kind}, no step. Choose a step.")


def taking(graph: Graph, wish: PartialRun, store: StepStore) -> Taking:
    """What a run of this part may take."""
    anew = {wish.node} if wish.mode != "to" else set[str]()
    if wish.mode == "all":
        anew = set(graph.nodes)
    elif wish.mode == "from":
        anew |= _reached(wish.node, _after(graph))
    pins = {node: outputs for node, outputs in wish.pins.items() if node in graph.nodes}
    if wish.mode != "to":
        pins.pop(wish.node, None)  # who asks for it wants it to run
    return Taking(store=store, anew=frozenset(anew - pins.keys()), pins=pins, base=wish.base)


def concerned(graph: Graph, wish: PartialRun) -> frozenset[str]:
    """The nodes that take part, with those inside of them: only their mistakes are in the way."""
    if wish.mode == "only":
        return _with_bodies(graph, {wish.node})
    targets = {wish.node}
    if wish.mode == "all":
        feeding = {edge.source for edge in graph.edges}
        targets = {node.id for node in graph.children(None) if node.id not in feeding}
    elif wish.mode == "from":
        ends = [node.id for node in graph.children(None) if node.kind == "output"]
        targets |= _reached(wish.node, _after(graph)) | set(ends)
    kept = targets if wish.mode != "all" else set[str]()
    before = _before(graph, without=wish.pins.keys() - kept)
    needed = targets.union(*(_reached(target, before) for target in targets))
    given = {node.id for node in graph.children(None) if node.kind == "input"}
    return _with_bodies(graph, needed | given)


def partial_plan(graph: Graph, wish: PartialRun, inputs: Collection[str]) -> Plan:
    """The plan of the nodes concerned. `inputs` names what is given: to the pipeline, and in a run of
    one step to the step itself."""
    keep = concerned(graph, wish)
    # What would feed a pinned node is not looked at.
    fed = keep - (wish.pins.keys() - {wish.node})
    left = replace(
        graph,
        nodes=MappingProxyType({node: graph.nodes[node] for node in graph.nodes if node in keep}),
        edges=tuple(edge for edge in graph.edges if edge.source in keep and edge.target in fed),
    )
    planned = plan(left)
    if wish.mode == "from":
        return planned
    if wish.mode == "all":
        return replace(planned, given=_used(planned))
    if wish.mode == "to":
        return replace(planned, given=_used(planned), result_of=wish.node)
    return _alone(planned.steps[wish.node], inputs)


def _used(planned: Plan) -> tuple[Port, ...]:
    """The inputs of the pipeline that somebody here reads; others need not be given."""
    read = {
        port
        for step in planned.steps.values()
        for _, sources in step.sources
        for source, port in sources
        if source == planned.input_id
    }
    return tuple(
        port if port.name in read else replace(port, required=False) for port in planned.given
    )


def _alone(step: PlannedStep, inputs: Collection[str]) -> Plan:
    """A step whose own inputs are what the run is given. A port that takes many takes a list, and a
    merge makes do with some of its inputs."""
    ports = tuple(
        replace(port, many=False, type=f"list[{port.type}]" if port.many else port.type)
        for port, _ in step.sources
        if port.name in inputs or (port.required and step.node.kind != "merge")
    )
    alone = replace(step, sources=tuple((port, ((GIVEN, port.name),)) for port in ports))
    return Plan(
        steps={step.node.id: alone},
        dependents={step.node.id: ()},
        waits={step.node.id: 0},
        input_id=GIVEN,
        given=ports,
        results=(),
        result_of=step.node.id,
    )


def step_inputs(graph: Graph, node_id: str) -> tuple[tuple[Port, tuple[tuple[str, str], ...]], ...]:
    """The input ports of a step, each with the outputs that feed it, in order."""
    feeding: dict[str, list[tuple[int, str, str]]] = {}
    for edge in graph.edges_into(node_id):
        feeding.setdefault(edge.target_port, []).append((edge.order, edge.source, edge.source_port))
    return tuple(
        (port, tuple((node, name) for _, node, name in sorted(feeding.get(port.name, ()))))
        for port in node_ports(graph, graph.node(node_id)).inputs
    )


def _outermost(graph: Graph, node_id: str) -> str:
    node = graph.node(node_id)
    return node_id if node.parent is None else _outermost(graph, node.parent)


def _after(graph: Graph) -> dict[str, list[str]]:
    ways: dict[str, list[str]] = {}
    for edge in graph.edges:
        ways.setdefault(edge.source, []).append(edge.target)
    return ways


def _before(graph: Graph, *, without: Collection[str]) -> dict[str, list[str]]:
    ways: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.target not in without:
            ways.setdefault(edge.target, []).append(edge.source)
    return ways


def _reached(start: str, ways: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    looking = deque([start])
    while looking:
        for node in ways.get(looking.popleft(), ()):
            if node not in found:
                found.add(node)
                looking.append(node)
    return found


def _with_bodies(graph: Graph, nodes: set[str]) -> frozenset[str]:
    inside: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        if node.parent is not None:
            inside.setdefault(node.parent, []).append(node.id)
    return frozenset(nodes.union(*(_reached(node, inside) for node in nodes)))
