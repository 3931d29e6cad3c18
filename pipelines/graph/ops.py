"""Operations: the only way in which an editor changes a graph.

`apply` gives the changed graph, `inverse` the operation that takes it back, `footprint` the keys that
an operation writes and what it needs to exist. Two operations made on the same revision get in each
other's way when the writes of one meet the writes or needs of the other (`conflicts`). Keys form a
tree by '/': writing `n/fetch` writes everything below it. Positions have no key: the last one wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from pipelines.graph.codec import plain
from pipelines.graph.graph import NODE_ID, Edge, Graph, GraphError, Node, Position


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=True):
    """Base of all operations; JSON on the wire, told apart by `op`."""


class AddNode(Operation, frozen=True, kw_only=True, tag="add_node"):
    """Put a new node into the graph; `position` is [x, y] in CSS pixels."""

    node: str
    kind: str
    kind_version: int = 1
    label: str = ""
    config: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    parent: str | None = None
    position: tuple[float, float] | None = None


class RemoveNode(Operation, frozen=True, kw_only=True, tag="remove_node"):
    """Take a node away with its edges, and its body if it is a container."""

    node: str


class MoveNodes(Operation, frozen=True, kw_only=True, tag="move_nodes"):
    """Put nodes somewhere else on the canvas; None takes the position away."""

    positions: dict[str, tuple[float, float] | None]


class SetConfig(Operation, frozen=True, kw_only=True, tag="set_config"):
    """Give one config field a value. `msgspec.UNSET` (left out) takes the field away."""

    node: str
    field: str
    value: Any = msgspec.UNSET


class SetPolicy(Operation, frozen=True, kw_only=True, tag="set_policy"):
    """Give one field of the step policy a value; left out, it takes its default."""

    node: str
    field: str
    value: Any = msgspec.UNSET


class Rename(Operation, frozen=True, kw_only=True, tag="rename"):
    """Change what people read on a node; its id stays."""

    node: str
    label: str


class Connect(Operation, frozen=True, kw_only=True, tag="connect"):
    """Join an output port to an input port; `order` ranks edges of a `many` port."""

    source: str
    source_port: str
    target: str
    target_port: str
    order: int = 0


class Disconnect(Operation, frozen=True, kw_only=True, tag="disconnect"):
    """Take an edge away."""

    source: str
    source_port: str
    target: str
    target_port: str


class Describe(Operation, frozen=True, kw_only=True, tag="describe"):
    """Change the pipeline's own name or description; None leaves one as it is."""

    name: str | None = None
    description: str | None = None


class Batch(Operation, frozen=True, kw_only=True, tag="batch"):
    """Several operations, all or none."""

    operations: tuple["AnyOperation", ...]


type AnyOperation = (
    AddNode
    | RemoveNode
    | MoveNodes
    | SetConfig
    | SetPolicy
    | Rename
    | Connect
    | Disconnect
    | Describe
    | Batch
)


class OperationError(GraphError):
    """The operation can't be applied to this graph."""

    code = "operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Keys that an operation writes, and keys that must exist for it."""

    writes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()

    def __or__(self, other: "Footprint") -> "Footprint":
        return Footprint(writes=self.writes | other.writes, needs=self.needs | other.needs)


def decode(raw: Any) -> AnyOperation:
    """The operation of a JSON value; an OperationError says what is wrong with it."""
    try:
        operation: AnyOperation = msgspec.convert(raw, AnyOperation)
    except msgspec.ValidationError as error:
        raise OperationError(f"This is no operation: {error}.") from None
    except RecursionError:
        raise OperationError("This is no operation: it is nested too deep.") from None
    return operation


def apply(graph: Graph, operation: AnyOperation) -> Graph:
    """The graph after the operation. Raises OperationError and changes nothing when it can't be."""
    match operation:
        case AddNode():
            return _add_node(graph, operation)
        case RemoveNode(node=node):
            return _remove_node(graph, node)
        case MoveNodes(positions=positions):
            return _move(graph, positions)
        case SetConfig(node=node, field=field, value=value):
            old = _node(graph, node)
            return graph.with_node(replace(old, config=_changed(old.config, field, value)))
        case SetPolicy(node=node, field=field, value=value):
            old = _node(graph, node)
            return graph.with_node(replace(old, policy=_changed(old.policy, field, value)))
        case Rename(node=node, label=label):
            return graph.with_node(replace(_node(graph, node), label=label))
        case Connect():
            return _connect(graph, operation)
        case Disconnect():
            edge = _edge(graph, operation)
            return replace(graph, edges=tuple(other for other in graph.edges if other != edge))
        case Describe(name=name, description=description):
            return replace(
                graph,
                name=graph.name if name is None else name,
                description=graph.description if description is None else description,
            )
        case Batch(operations=operations):
            for part in operations:
                graph = apply(graph, part)
            return graph


def inverse(graph: Graph, operation: AnyOperation) -> AnyOperation:
    """What takes the operation back, made from the graph before it.

    `apply(apply(graph, op), inverse(graph, op))` is `graph` in all that `codec.dump` writes.
    """
    match operation:
        case AddNode(node=node):
            return RemoveNode(node=node)
        case RemoveNode(node=node):
            return _restore(graph, node)
        case MoveNodes(positions=positions):
            return MoveNodes(positions={node: _place(graph, node) for node in positions})
        case SetConfig(node=node, field=field):
            old = _node(graph, node).config.get(field, msgspec.UNSET)
            return SetConfig(node=node, field=field, value=old)
        case SetPolicy(node=node, field=field):
            old = _node(graph, node).policy.get(field, msgspec.UNSET)
            return SetPolicy(node=node, field=field, value=old)
        case Rename(node=node):
            return Rename(node=node, label=_node(graph, node).label)
        case Connect(source=source, source_port=out, target=target, target_port=into):
            return Disconnect(source=source, source_port=out, target=target, target_port=into)
        case Disconnect():
            return _connecting(_edge(graph, operation))
        case Describe(name=name, description=description):
            return Describe(
                name=None if name is None else graph.name,
                description=None if description is None else graph.description,
            )
        case Batch(operations=operations):
            undo: list[AnyOperation] = []
            for part in operations:
                undo.insert(0, inverse(graph, part))
                graph = apply(graph, part)
            return Batch(operations=tuple(undo))


def footprint(graph: Graph, operation: AnyOperation) -> Footprint:
    """What the operation writes and needs, on the graph before it."""
    match operation:
        case AddNode(node=node, parent=parent):
            return _footprint([f"n/{node}"], [parent])
        case RemoveNode(node=node):
            return _footprint(_keys_of(graph, node), [node])
        case MoveNodes(positions=positions):
            return _footprint([], positions)
        case SetConfig(node=node, field=field):
            return _footprint([f"n/{node}/config/{field}"], [node])
        case SetPolicy(node=node, field=field):
            return _footprint([f"n/{node}/policy/{field}"], [node])
        case Rename(node=node):
            return _footprint([f"n/{node}/label"], [node])
        case Connect(source=source, target=target, target_port=port):
            return _footprint([f"n/{target}/in/{port}"], [source, target])
        case Disconnect(source=source, target=target, target_port=port):
            return _footprint([f"n/{target}/in/{port}"], [source, target])
        case Describe(name=name, description=description):
            given = {"p/name": name, "p/description": description}
            return _footprint([key for key, value in given.items() if value is not None], [])
        case Batch(operations=operations):
            total = Footprint()
            for part in operations:
                total |= footprint(graph, part)
                graph = apply(graph, part)
            return total


def conflicts(mine: Footprint, theirs: Footprint) -> frozenset[str]:
    """The keys on which two operations made on one revision get in each other's way."""
    return frozenset(
        key
        for key in mine.writes | mine.needs
        for other in theirs.writes | theirs.needs
        if (key in mine.writes or other in theirs.writes) and _covers(key, other, mine, theirs)
    )


def _covers(key: str, other: str, mine: Footprint, theirs: Footprint) -> bool:
    """Same key, or one written key lies above the other."""
    return (
        key == other
        or (key in mine.writes and other.startswith(f"{key}/"))
        or (other in theirs.writes and key.startswith(f"{other}/"))
    )


def _footprint(writes: Any, nodes: Any) -> Footprint:
    return Footprint(
        writes=frozenset(writes), needs=frozenset(f"n/{node}" for node in nodes if node)
    )


# Applying


def _node(graph: Graph, node_id: str) -> Node:
    if node_id not in graph.nodes:
        raise OperationError(f"The node '{node_id}' is gone. Reload to see the graph as it is.")
    return graph.nodes[node_id]


def _edge(graph: Graph, wanted: Connect | Disconnect) -> Edge:
    for edge in graph.edges:
        if _ends(edge) == _ends(wanted):
            return edge
    raise OperationError(
        f"There is no edge {wanted.source}.{wanted.source_port} → "
        f"{wanted.target}.{wanted.target_port}."
    )


def _ends(edge: Edge | Connect | Disconnect) -> tuple[str, str, str, str]:
    return (edge.source, edge.source_port, edge.target, edge.target_port)


def _add_node(graph: Graph, operation: AddNode) -> Graph:
    if operation.node in graph.nodes:
        raise OperationError(f"There is a node '{operation.node}' already. Use another id.")
    if not NODE_ID.match(operation.node):
        raise OperationError(
            f"'{operation.node}' can't be a node's id: small letters, digits, _ and - only."
        )
    if operation.parent is not None:
        _node(graph, operation.parent)
    node = Node(
        id=operation.node,
        kind=operation.kind,
        kind_version=operation.kind_version,
        label=operation.label,
        config=operation.config,
        policy=operation.policy,
        parent=operation.parent,
    )
    graph = graph.with_node(node)
    if operation.position is None:
        return graph
    return _move(graph, {node.id: operation.position})


def _remove_node(graph: Graph, node_id: str) -> Graph:
    _node(graph, node_id)
    gone = {node_id, *_below(graph, node_id)}
    return replace(
        graph,
        nodes=MappingProxyType({key: node for key, node in graph.nodes.items() if key not in gone}),
        edges=tuple(e for e in graph.edges if e.source not in gone and e.target not in gone),
        layout=MappingProxyType({key: at for key, at in graph.layout.items() if key not in gone}),
    )


def _below(graph: Graph, container: str) -> list[str]:
    """The nodes in a container, outer ones first. Ends for containers that lie in each other too."""
    bodies: dict[str | None, list[str]] = {}
    for node in graph.nodes.values():
        bodies.setdefault(node.parent, []).append(node.id)
    found = [container]
    for node_id in found:  # grows as it goes
        found += bodies.pop(node_id, ())
    return [node_id for node_id in found if node_id != container]


def _move(graph: Graph, positions: Mapping[str, tuple[float, float] | None]) -> Graph:
    layout = dict(graph.layout)
    for node_id, place in positions.items():
        _node(graph, node_id)
        if place is None:
            layout.pop(node_id, None)
        else:
            layout[node_id] = Position(x=place[0], y=place[1])
    return replace(graph, layout=MappingProxyType(layout))


def _connect(graph: Graph, operation: Connect) -> Graph:
    _node(graph, operation.source)
    _node(graph, operation.target)
    edge = Edge(
        source=operation.source,
        source_port=operation.source_port,
        target=operation.target,
        target_port=operation.target_port,
        order=operation.order,
    )
    if any(_ends(other) == _ends(edge) for other in graph.edges):
        raise OperationError(f"The edge {edge} exists already.")
    return replace(graph, edges=(*graph.edges, edge))


def _changed(values: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    changed = {key: item for key, item in values.items() if key != field}
    return changed if value is msgspec.UNSET else {**changed, field: value}


# Taking back


def _place(graph: Graph, node_id: str) -> tuple[float, float] | None:
    place = graph.layout.get(node_id)
    return None if place is None else (place.x, place.y)


def _connecting(edge: Edge) -> Connect:
    return Connect(
        source=edge.source,
        source_port=edge.source_port,
        target=edge.target,
        target_port=edge.target_port,
        order=edge.order,
    )


def _restore(graph: Graph, node_id: str) -> Batch:
    back = [node_id, *_below(graph, node_id)]
    adding: list[AnyOperation] = []
    for key in back:
        node = _node(graph, key)
        adding.append(
            AddNode(
                node=key,
                kind=node.kind,
                kind_version=node.kind_version,
                label=node.label,
                config=plain(node.config),
                policy=plain(node.policy),
                parent=node.parent,
                position=_place(graph, key),
            )
        )
    edges = [edge for edge in graph.edges if edge.source in back or edge.target in back]
    return Batch(operations=(*adding, *map(_connecting, edges)))


def _keys_of(graph: Graph, node_id: str) -> list[str]:
    """Everything that goes with a node: its own keys, its body's, and the ports it feeds."""
    gone = {node_id, *_below(graph, node_id)}
    fed = [f"n/{edge.target}/in/{edge.target_port}" for edge in graph.edges if edge.source in gone]
    return [*(f"n/{key}" for key in sorted(gone)), *fed]
