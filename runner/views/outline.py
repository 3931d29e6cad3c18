"""What a version's graph gives to every page of its runs: the order in which its nodes are read, their
places in the small graph, titles and kinds. Versions never change, so it is made once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from pipelines.graph.graph import Graph, GraphError, Node, Port
from pipelines.graph.ports import node_ports
from pipelines.models import PipelineVersion
from pipelines.views.canvas_graph import title_of as node_title
from pipelines.views.kind_looks import look_of
from pipelines.views.type_look import family_of_text

KEPT = 64
"""Versions whose outline is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """A node. `rank` is its place in reading order, `layer` the longest way to it from a start.
    `fed_by` pairs its input ports with the nodes before it."""

    id: str
    title: str
    kind: str
    icon: str
    parent: str | None
    rank: int
    layer: int
    fed_by: tuple[tuple[str, str], ...] = ()

    @property
    def before(self) -> list[str]:
        return [source for _, source in self.fed_by]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An edge of the top level. `family` is that of its type, for the colour."""

    source: str
    target: str
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """`nodes` by id, at every level, in reading order level by level."""

    nodes: Mapping[str, Outlined]
    lines: tuple[Line, ...] = field(default_factory=tuple)

    @property
    def top(self) -> list[Outlined]:
        return [node for node in self.nodes.values() if node.parent is None]

    @property
    def steps(self) -> list[Outlined]:
        """The top level's nodes that run."""
        return [node for node in self.top if node.kind not in ("input", "output")]

    def of_kind(self, kind: str) -> Outlined | None:
        return next((node for node in self.top if node.kind == kind), None)

    def place(self, path: str) -> tuple[tuple[int, int], ...]:
        """Sorts paths of steps as they are read; what the graph does not know goes last."""
        return tuple(
            (node.rank if (node := self.nodes.get(name)) else len(self.nodes), index)
            for name, index in map(node_and_index, path.split("/"))
        )

    def title(self, path: str) -> str:
        """The node's title, with its place in the innermost container: `Retrieve 4`."""
        outer, _, last = path.rpartition("/")
        name, _ = node_and_index(last)
        node = self.nodes.get(name)
        title = node.title if node else name
        _, index = node_and_index(outer.rpartition("/")[2])
        return title if index < 0 else f"{title} {index + 1}"


def live_outline(
    outline: Outline,
    part: Collection[str] | None = None,
    results: Iterable[Port] | None = None,
) -> dict[str, Any]:
    """What a page has to know to show a run while it goes on: JSON. `part` names the nodes that take
    part, where not all do; `results` are the ports of the step that the run is for."""
    return {
        "titles": {node.id: node.title for node in outline.nodes.values()},
        "order": list(outline.nodes),
        "steps": [node.id for node in outline.steps if part is None or node.id in part],
        "part": None if part is None else sorted(part),
        "outputs": [{"name": port.name, "title": "Result", "after": ""} for port in results]
        if results is not None
        else _outputs(outline),
    }


def _outputs(outline: Outline) -> list[dict[str, str]]:
    output = outline.of_kind("output")
    if output is None:
        return []
    return [
        {"name": name, "title": output.title, "after": _after(outline, source)}
        for name, source in output.fed_by
    ]


def _after(outline: Outline, source: str) -> str:
    node = outline.nodes.get(source)
    return node.title if node and node.kind != "input" else ""


def node_and_index(part: str) -> tuple[str, int]:
    """The node and the item of a part of a path: `each[3]` is each, 3; without an item -1."""
    name, _, index = part.partition("[")
    index = index.rstrip("]")
    return name, int(index) if index.isdecimal() else -1


def outline_of(version: PipelineVersion) -> Outline:
    if version.pk not in _kept:
        if len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[version.pk] = outline(version.graph)
    return _kept[version.pk]


_kept: dict[UUID, Outline] = {}


def outline(graph: Graph) -> Outline:
    nodes: dict[str, Outlined] = {}
    waiting: list[str | None] = [None]
    while waiting:
        parent = waiting.pop(0)
        for node, layer in _in_reading_order(graph, parent):
            waiting.append(node.id)
            nodes[node.id] = Outlined(
                id=node.id,
                title=node_title(node),
                kind=node.kind,
                icon=look_of(node.kind).icon,
                parent=parent,
                rank=len(nodes),
                layer=layer,
                fed_by=_fed_by(graph, node),
            )
    return Outline(nodes=nodes, lines=_lines(graph))


def _fed_by(graph: Graph, node: Node) -> tuple[tuple[str, str], ...]:
    """In the order of the ports, where that is known."""
    found = [(edge.target_port, edge.source) for edge in graph.edges_into(node.id)]
    try:
        ports = node_ports(graph, node).inputs
    except (GraphError, ValueError):
        return tuple(found)
    order = {port.name: place for place, port in enumerate(ports)}
    return tuple(sorted(found, key=lambda each: order.get(each[0], len(order))))


def _in_reading_order(graph: Graph, parent: str | None) -> list[tuple[Node, int]]:
    """A level's nodes along the edges, one branch after the other, the upper one first."""
    level = {node.id: node for node in graph.children(parent)}
    waits = dict.fromkeys(level, 0)
    after: dict[str, list[str]] = {node_id: [] for node_id in level}
    for source, target in dict.fromkeys((edge.source, edge.target) for edge in graph.edges):
        if source in level and target in level:
            waits[target] += 1
            after[source].append(target)
    layers = dict.fromkeys(level, 0)
    ready = _lowest_first(graph, [node_id for node_id, count in waits.items() if not count])
    order: list[tuple[Node, int]] = []
    while ready:
        node_id = ready.pop()
        order.append((level[node_id], layers[node_id]))
        free = []
        for target in after[node_id]:
            layers[target] = max(layers[target], layers[node_id] + 1)
            waits[target] -= 1
            if not waits[target]:
                free.append(target)
        ready += _lowest_first(graph, free)
    return order


def _lowest_first(graph: Graph, ids: list[str]) -> list[str]:
    def place(node_id: str) -> tuple[Any, ...]:
        position = graph.layout.get(node_id)
        return (position.y, position.x) if position else (0.0, 0.0)

    return sorted(ids, key=place, reverse=True)


def _lines(graph: Graph) -> tuple[Line, ...]:
    found: dict[tuple[str, str], Line] = {}
    for edge in graph.edges:
        if graph.nodes[edge.source].parent is None:
            family = _families(graph, edge.source).get(edge.source_port, "any")
            key = edge.source, edge.target
            found.setdefault(key, Line(source=key[0], target=key[1], family=family))
    return tuple(found.values())


def _families(graph: Graph, node_id: str) -> dict[str, str]:
    try:
        outputs = node_ports(graph, graph.nodes[node_id]).outputs
    except (GraphError, ValidationError, ValueError):
        return {}
    return {port.name: family_of_text(port.type) for port in outputs}
