"""The ports of a node, and which may be joined."""

from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from pipelines.graph import signature as signatures
from pipelines.graph.graph import ANY, Graph, Node, Port
from pipelines.graph.kinds import Body, kind_named


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePorts:
    """Both sides of a node, in order."""

    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def input(self, name: str) -> Port | None:
        return next((port for port in self.inputs if port.name == name), None)

    def output(self, name: str) -> Port | None:
        return next((port for port in self.outputs if port.name == name), None)


def node_ports(graph: Graph, node: Node) -> NodePorts:
    """The ports that the node's kind gives it under its config.

    Raises GraphError for an unknown kind and pydantic's ValidationError for a bad config.
    """
    kind = kind_named(node.kind)
    config = kind.config.model_validate(node.config)
    body = body_of(graph, node.id) if kind.container else Body()
    return NodePorts(inputs=kind.inputs(config, body), outputs=kind.outputs(config, body))


def body_of(graph: Graph, container: str) -> Body:
    """The ports of a container's own input and output nodes."""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    for node in graph.children(container):
        try:
            if node.kind == "input":
                inputs = node_ports(graph, node).outputs
            elif node.kind == "output":
                outputs = node_ports(graph, node).inputs
        except ValidationError:
            continue  # reported at that node; the container has the ports that are known
    return Body(inputs=inputs, outputs=outputs)


def fits(source: str, target: str) -> bool:
    """Whether a value of the type `source` may flow into a port of the type `target` (both canonical
    texts). Any fits everything; an int fits a float; text ports take every value, as a prompt does."""
    if source == target or ANY in (source, target) or target == "str":
        return True
    return _fits(_annotation(source), _annotation(target))


def known_type(text: str) -> str:
    """The type, or Any for one that only the signature it comes from knows (`types` in its config)."""
    try:
        return signatures.parse(f"x: {text} ->").inputs["x"].type
    except signatures.SignatureError:
        return ANY


def _annotation(text: str) -> Any:
    return signatures.parse(f"x: {known_type(text)} ->").inputs["x"].annotation


def _fits(source: Any, target: Any) -> bool:
    if Any in (source, target) or source == target or target is str:
        return True
    if _is_union(source):
        return any(_fits(member, target) for member in get_args(source))
    if _is_union(target):
        return any(_fits(source, member) for member in get_args(target))
    if get_origin(source) is Literal:
        return get_origin(target) is Literal or any(
            isinstance(value, target) for value in get_args(source) if isinstance(target, type)
        )
    if get_origin(target) is Literal:
        return any(type(value) is source for value in get_args(target))
    return _fits_container(source, target)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"


_SEQUENCES = (list, tuple, set, frozenset)


def _fits_container(source: Any, target: Any) -> bool:
    source_origin, target_origin = get_origin(source) or source, get_origin(target) or target
    if (source_origin, target_origin) in {(int, float), (bool, int), (int, bool)}:
        return (source_origin, target_origin) != (int, bool)
    both_sequences = source_origin in _SEQUENCES and target_origin in _SEQUENCES
    if source_origin is not target_origin and not both_sequences:
        return False
    source_items, target_items = get_args(source), get_args(target)
    if not source_items or not target_items or len(source_items) != len(target_items):
        return True
    return all(map(_fits, source_items, target_items))
