"""What lies between two graphs, as operations: for taking a draft back to how it was."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.graph.codec import plain
from pipelines.graph.graph import Edge, Graph, Node
from pipelines.graph.ops import (
    AddNode,
    AnyOperation,
    Batch,
    Connect,
    Describe,
    Disconnect,
    MoveNodes,
    RemoveNode,
    Rename,
    SetConfig,
    SetPolicy,
)


def operations_between(before: Graph, after: Graph) -> Batch:
    """The batch that turns one graph into the other, and writes only what differs. Empty if nothing
    does. A node that became another kind, or lies in another container, is removed and added."""
    lost = _lost(before, after)
    kept = [node for node in before.nodes.values() if node.id not in lost]
    names = frozenset(node.id for node in kept)
    return Batch(
        operations=(
            *_describing(before, after),
            *(RemoveNode(node=node) for node in lost if before.nodes[node].parent not in lost),
            *_adding(after, names),
            *(part for node in kept for part in _changing(node, after.nodes[node.id])),
            *_moving(before, after, names),
            *_joining(before, after, names),
        )
    )


def _lost(before: Graph, after: Graph) -> frozenset[str]:
    """What can't stay: other than it was, or in a container that can't."""
    lost = {node.id for node in before.nodes.values() if _is_other(node, after.nodes.get(node.id))}
    while inner := {
        node.id
        for node in before.nodes.values()
        if node.id not in lost and node.parent is not None and node.parent in lost
    }:
        lost |= inner
    return frozenset(lost)


def _is_other(node: Node, now: Node | None) -> bool:
    same = ("kind", "kind_version", "parent")
    return now is None or any(getattr(node, name) != getattr(now, name) for name in same)


def _describing(before: Graph, after: Graph) -> Iterator[AnyOperation]:
    name = after.name if after.name != before.name else None
    description = after.description if after.description != before.description else None
    if name is not None or description is not None:
        yield Describe(name=name, description=description)


def _adding(after: Graph, kept: frozenset[str]) -> Iterator[AnyOperation]:
    """Containers before what lies in them."""
    waiting = [node for node in after.nodes.values() if node.id not in kept]
    there = set(kept)
    while ready := [node for node in waiting if node.parent is None or node.parent in there]:
        for node in ready:
            place = after.layout.get(node.id)
            yield AddNode(
                node=node.id,
                kind=node.kind,
                kind_version=node.kind_version,
                label=node.label,
                config=plain(node.config),
                policy=plain(node.policy),
                parent=node.parent,
                position=(place.x, place.y) if place else None,
            )
            there.add(node.id)
        waiting = [node for node in waiting if node.id not in there]


def _changing(node: Node, now: Node) -> Iterator[AnyOperation]:
    if node.label != now.label:
        yield Rename(node=node.id, label=now.label)
    for operation, old, new in (
        (SetConfig, node.config, now.config),
        (SetPolicy, node.policy, now.policy),
    ):
        for field, value in _differing(plain(old), plain(new)):
            yield operation(node=node.id, field=field, **value)


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fields with their new value; without one where the field is taken away."""
    for field in sorted(old.keys() | new.keys()):
        if field not in new:
            yield field, {}
        elif field not in old or old[field] != new[field]:
            yield field, {"value": new[field]}


def _moving(before: Graph, after: Graph, kept: frozenset[str]) -> Iterator[AnyOperation]:
    places = {}
    for node in sorted(kept):
        place = after.layout.get(node)
        if place != before.layout.get(node):
            places[node] = (place.x, place.y) if place else None
    if places:
        yield MoveNodes(positions=places)


def _joining(before: Graph, after: Graph, kept: frozenset[str]) -> Iterator[AnyOperation]:
    wanted = set(after.edges)
    left = {edge for edge in before.edges if edge.source in kept and edge.target in kept}
    for edge in before.edges:
        if edge in left - wanted:
            yield Disconnect(**_ends(edge))
    for edge in after.edges:
        if edge not in left:
            yield Connect(**_ends(edge), order=edge.order)


def _ends(edge: Edge) -> dict[str, str]:
    names = ("source", "source_port", "target", "target_port")
    return {name: getattr(edge, name) for name in names}
