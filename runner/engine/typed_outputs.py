"""Outputs that a person types for a node, checked against its ports."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipelines.graph import signature as signatures
from pipelines.graph.graph import Graph, GraphError, Node, Port
from pipelines.graph.kinds import KINDS
from pipelines.graph.ports import known_type, node_ports
from runner.engine.errors import InvalidInput

WAYS = frozenset({"approve", "condition", "switch"})
"""Kinds that give some of their outputs only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedOutput:
    """An output that may be typed. `needed`: something reads it, and the node always gives it."""

    port: Port
    needed: bool


def outputs_to_type(graph: Graph, node_id: str) -> list[TypedOutput]:
    """The outputs of a node. Raises InvalidInput where nobody knows them."""
    node = graph.nodes.get(node_id)
    if node is None:
        raise InvalidInput(f"The pipeline has no node '{node_id:.100}'.")
    try:
        ports = node_ports(graph, node).outputs
    except (GraphError, ValidationError, ValueError):
        raise InvalidInput(
            f"What '{node_id}' gives is not known while it has problems. Mend those first."
        ) from None
    read = {edge.source_port for edge in graph.edges if edge.source == node_id}
    always = node.kind not in WAYS
    return [TypedOutput(port=port, needed=always and port.name in read) for port in ports]


def check_outputs(
    graph: Graph, node_id: str, outputs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values as JSON of their ports' types, and what is wrong, by port; the empty name is for what
    is wrong with all of them."""
    asked = {each.port.name: each for each in outputs_to_type(graph, node_id)}
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, value in outputs.items():
        if name not in asked:
            there = ", ".join(asked) or "none"
            wrong[name] = f"'{node_id}' has no output '{name:.100}'. Outputs: {there}."
            continue
        try:
            values[name] = _field(graph.node(node_id), asked[name].port).check(value)
        except ValueError as error:
            wrong[name] = f"{str(error).rstrip('.')}."
    for name, each in asked.items():
        if each.needed and name not in outputs:
            wrong[name] = f"'{name}' ({each.port.type}) is needed: other steps read it."
    if not outputs and not wrong:
        wrong[""] = f"Give '{node_id}' one output at least: {', '.join(asked) or 'it has none'}."
    return values, wrong


def checked_pins(graph: Graph, pins: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Outputs by node, checked. Raises InvalidInput that says all that is wrong."""
    problems: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for node_id, outputs in pins.items():
        if not isinstance(outputs, Mapping):
            problems.append(f"What is pinned to '{node_id}' is no mapping of outputs to values.")
            continue
        found[node_id], wrong = check_outputs(graph, node_id, outputs)
        problems += [f"'{node_id}' is pinned wrongly: {said}" for said in wrong.values()]
    if problems:
        raise InvalidInput(" ".join(problems))
    return found


def _field(node: Node, port: Port) -> signatures.Field:
    """What checks a value: the signature's own field, which knows the types that it declares."""
    config = KINDS[node.kind].config.model_validate(node.config)
    own = config.parsed().outputs if hasattr(config, "parsed") else {}
    if port.name in own:
        found: signatures.Field = own[port.name]
        return found
    field = signatures.parse(f"x: {known_type(port.type)} ->").inputs["x"]
    return replace(field, name=port.name)
