"""Operations on their way in: JSON that a client sent, and what to say when it is none."""

import json
from typing import Any

from pipelines.graph import ops
from pipelines.graph.graph import GraphError
from pipelines.models.errors import TooLarge
from pipelines.services.graph_text import check_json_text

MAX_OPERATION = 1_000_000
MAX_PARTS = 2_000
MAX_NESTING = 60


def read_operation(raw: Any) -> ops.AnyOperation:
    """The operation of a JSON value. Raises GraphError, InvalidInput or TooLarge."""
    _check_nesting(raw)
    try:
        text = json.dumps(raw, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise GraphError("An operation is JSON; NaN and Infinity are not part of it.") from None
    check_json_text(text, limit=MAX_OPERATION, what="The operation")
    operation = ops.decode(raw)
    if (count := _parts(operation)) > MAX_PARTS:
        raise TooLarge(
            f"The batch has {count:,} operations; {MAX_PARTS:,} is the limit. Send it in parts."
        )
    if _names_nothing(operation):
        raise GraphError("A pipeline needs a name.")
    return operation


def _check_nesting(raw: Any) -> None:
    """Level by level, since a reader that recurses is what a deep value is meant to break."""
    level = [raw]
    for _ in range(MAX_NESTING):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list, tuple))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise GraphError(f"The operation is nested more than {MAX_NESTING} levels deep.")


def _parts(operation: ops.AnyOperation) -> int:
    if isinstance(operation, ops.Batch):
        return sum(map(_parts, operation.operations))
    return 1


def _names_nothing(operation: ops.AnyOperation) -> bool:
    if isinstance(operation, ops.Batch):
        return any(map(_names_nothing, operation.operations))
    named = operation.name if isinstance(operation, ops.Describe) else None
    return named is not None and not named.strip()
