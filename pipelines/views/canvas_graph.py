"""A graph as the canvas draws it: nodes with their ports, edges, problems. JSON for `<pipeline-canvas>`."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipelines.graph.codec import plain
from pipelines.graph.graph import Graph, GraphError, Node, Port
from pipelines.graph.kinds import KINDS, Kind
from pipelines.graph.ports import NodePorts, node_ports
from pipelines.graph.validate import Problem
from pipelines.views.kind_looks import backend_of, look_of

_NUMBER = re.compile(r"_(\d+)\Z")
_APART = 320
"""Pixels between nodes that nobody has placed yet."""


def graph_json(graph: Graph, problems: Sequence[Problem], *, readonly: bool) -> dict[str, Any]:
    """The whole graph."""
    return {
        "nodes": nodes_json(graph, graph.nodes.values(), problems),
        "edges": [
            {
                "source": edge.source,
                "source_port": edge.source_port,
                "target": edge.target,
                "target_port": edge.target_port,
            }
            for edge in graph.edges
        ],
        "readonly": readonly,
    }


def nodes_json(
    graph: Graph, nodes: Iterable[Node], problems: Sequence[Problem]
) -> list[dict[str, Any]]:
    """Some nodes of the graph, in the order of the graph's own."""
    counts = Counter(problem.node for problem in problems)
    rank = {node_id: number for number, node_id in enumerate(graph.nodes)}
    return [_node_json(graph, node, rank[node.id], counts[node.id]) for node in nodes]


def problems_json(graph: Graph, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "code": problem.code,
            "message": problem.message,
            "node": problem.node,
            "title": _title_at(graph, problem.node),
            "port": problem.port,
            "field": problem.field,
        }
        for problem in problems
    ]


def title_of(node: Node) -> str:
    """The label; without one the kind, with the number that tells it from others: Template 2."""
    kind = KINDS.get(node.kind)
    if node.label or kind is None:
        return node.title
    number = _NUMBER.search(node.id)
    return f"{kind.title} {number.group(1)}" if number else kind.title


def _title_at(graph: Graph, node_id: str | None) -> str | None:
    node = graph.nodes.get(node_id) if node_id else None
    return title_of(node) if node else None


def touched_by(graph: Graph, operation: dict[str, Any]) -> list[Node]:
    """The nodes whose picture an operation may have changed, as far as they are (still) there.

    A container has the ports of what is in it; the other end of an edge has a port less or more.
    """
    ids = dict.fromkeys(_named_in(operation))
    for node_id in tuple(ids):
        node = graph.nodes.get(node_id)
        while node is not None and node.parent is not None:
            ids[node.parent] = None
            node = graph.nodes.get(node.parent)
    return [graph.nodes[node_id] for node_id in ids if node_id in graph.nodes]


def _named_in(operation: dict[str, Any]) -> Iterable[str]:
    for part in operation.get("operations", ()):
        yield from _named_in(part)
    yield from operation.get("positions", ())
    for key in ("node", "parent", "source", "target"):
        if operation.get(key):
            yield operation[key]


def kind_json(kind: Kind, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the palette needs to show a new node of the kind before the server has seen it. `config`:
    with what it begins, if not as all of its kind do."""
    look = look_of(kind.name)
    start = look.start if config is None else config
    node = Node(id="new", kind=kind.name, kind_version=kind.version, config=start)
    return {
        **_node_json(Graph.of([node]), node, 0, 0),
        "kind_version": kind.version,
        "description": kind.description,
        "offered": look.offered,
        "body": [{"kind": name, "config": config} for name, config in look.body.items()],
    }


def _node_json(graph: Graph, node: Node, rank: int, problems: int) -> dict[str, Any]:
    kind = KINDS.get(node.kind)
    look = look_of(node.kind)
    place = graph.layout.get(node.id)
    ports = _ports(graph, node)
    return {
        "id": node.id,
        "kind": node.kind,
        "kindVersion": node.kind_version,
        "title": title_of(node),
        "label": node.label,
        "kindTitle": kind.title if kind else node.kind,
        "icon": look.icon,
        "group": kind.group if kind else "",
        "parent": node.parent,
        "x": place.x if place else 40 + _APART * rank,
        "y": place.y if place else 40,
        "summary": _summary(node),
        "backend": backend_of(node),
        "inputs": [_port_json(port) for port in ports.inputs],
        "outputs": [_port_json(port) for port in ports.outputs],
        "problems": problems,
        "container": bool(kind and kind.container),
        # For copying; the canvas hands it on unread.
        "config": plain(node.config),
        "policy": plain(node.policy),
    }


def _summary(node: Node) -> str:
    try:
        text = look_of(node.kind).summary(node.config)
    except (TypeError, ValueError, AttributeError):  # a config with mistakes
        return ""
    return " ".join(text.split())[:80]


def _ports(graph: Graph, node: Node) -> NodePorts:
    """None for a node whose kind or config is not good: its edges still show where they end."""
    try:
        return node_ports(graph, node)
    except (ValidationError, GraphError):
        return NodePorts()


def _port_json(port: Port) -> dict[str, Any]:
    return {"name": port.name, "type": port.type, "required": port.required, "many": port.many}
