"""Whether an operation still means what its author meant. Pure: rows come in, a decision goes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pipelines.graph import codec, ops
from pipelines.graph.graph import Graph
from pipelines.models import OperationRecord

MAX_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A key that both wrote. `yours` is what the operation would make of it, `theirs` what it is now;
    None: nothing is there. `revision` and `author_id` are of the latest that wrote it."""

    key: str
    yours: Any
    theirs: Any
    revision: int
    author_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An operation that may be applied: what it leads to, and what its record will say."""

    operation: ops.AnyOperation
    inverse: ops.AnyOperation
    footprint: ops.Footprint
    before: Graph
    after: Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was changed. `code`: conflict, gone, invalid, too_large, archived, unknown_revision,
    too_far_behind, unknown_operation or operation_id_taken. `revision` is the draft's now."""

    operation_id: UUID
    revision: int
    code: str
    message: str
    conflicts: tuple[Conflict, ...] = ()


def graph_before(now: Graph, records: Sequence[OperationRecord]) -> Graph:
    """The graph before the records (oldest first) were applied."""
    for record in reversed(records):
        now = ops.apply(now, ops.decode(record.inverse))
    return now


def clashes(mine: ops.Footprint, records: Sequence[OperationRecord]) -> dict[str, OperationRecord]:
    """By key, the latest record that got in the way."""
    found = {}
    for record in records:
        for key in ops.conflicts(mine, footprint_of(record)):
            found[key] = record
    return found


def footprint_of(record: OperationRecord) -> ops.Footprint:
    stored = record.footprint
    return ops.Footprint(writes=frozenset(stored["writes"]), needs=frozenset(stored["needs"]))


def compared(
    clashing: dict[str, OperationRecord], *, yours: Graph, theirs: Graph
) -> tuple[Conflict, ...]:
    """Both values of each key, the first few."""
    mine, now = codec.to_json(yours), codec.to_json(theirs)
    return tuple(
        Conflict(
            key=key,
            yours=_value(mine, key),
            theirs=_value(now, key),
            revision=record.revision,
            author_id=record.author_id,
        )
        for key, record in sorted(clashing.items())[:MAX_LISTED]
    )


def _value(graph: dict[str, Any], key: str) -> Any:
    """What the graph has at a key of a footprint (see `pipelines.graph.ops`)."""
    match key.split("/", 3):
        case ["p", name]:
            return graph[name]
        case ["n", node, "in", port]:
            return graph["edges"].get(f"{node}.{port}", [])
        case ["n", node, *rest]:
            return _in_node(graph["nodes"].get(node), rest)
        case _:
            return None


def _in_node(node: dict[str, Any] | None, path: list[str]) -> Any:
    match path:
        case [] if node is not None:
            return node
        case ["label"] if node is not None:
            return node.get("label", "")
        case [part, field] if node is not None:
            return node.get(part, {}).get(field)
        case _:
            return None
