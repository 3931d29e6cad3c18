"""Edits of a draft: operations that are applied once, or refused with the reason.

An edit is decided on a draft that is read without a lock, then written only if the draft still has
the revision that was read; otherwise it is decided anew. Parsing and checking a large graph takes
longer than anybody should hold the one write lock that SQLite has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from pipelines.graph import codec, ops
from pipelines.graph.graph import GraphError
from pipelines.models import Draft, OperationRecord, Person, Pipeline
from pipelines.models.errors import Busy, InvalidInput, TooLarge
from pipelines.permissions import Action, require
from pipelines.services.conflicts import Change, Refused, clashes, compared, graph_before
from pipelines.services.graph_text import check_json_text, check_size, graph_text
from pipelines.services.operations import read_operation
from pipelines.services.references import note_references

operation_applied = Signal()
"""Sent after commit, with `pipeline_id` and `applied`; a receiver that fails hinders nobody."""

MAX_BEHIND = 1_000
"""Operations that may lie between an edit and the draft it was made on."""
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The operation was applied, and the draft's revision is this. A resend gets the same answer."""

    operation_id: UUID
    revision: int
    operation: dict[str, Any]
    author_id: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    pipeline: Pipeline
    user: Person
    operation_id: UUID
    base_revision: int
    operation: ops.AnyOperation
    is_undo: bool = False

    def refused(self, code: str, message: str, draft: Draft) -> Refused:
        return Refused(
            operation_id=self.operation_id, revision=draft.revision, code=code, message=message
        )

    def minds(self, record: OperationRecord) -> bool:
        """Whether what the record wrote is in the way. One's own later edits don't hinder an undo."""
        return not (self.is_undo and record.author_id == self.user.pk)


def apply_operation(
    *, pipeline: Pipeline, user: Person, operation_id: UUID, base_revision: int, operation: Any
) -> Applied | Refused:
    """Apply an operation (JSON) that was made on `base_revision`, or refuse it and say why.

    What met a conflict stays refused, as what was written since never goes away again: a resend is
    safe. Raises NotAllowed, and Busy when too many others write at the same time.
    """
    require(user, Action.EDIT, pipeline)
    try:
        parsed = read_operation(operation)
    except (GraphError, InvalidInput, TooLarge) as error:
        revision = Draft.objects.values_list("revision", flat=True).get(pipeline=pipeline)
        return Refused(
            operation_id=operation_id, revision=revision, code=_code(error), message=str(error)
        )
    return _decided(
        _Edit(
            pipeline=pipeline,
            user=user,
            operation_id=operation_id,
            base_revision=base_revision,
            operation=parsed,
        )
    )


def undo(
    *, pipeline: Pipeline, user: Person, operation_id: UUID, undoes: UUID
) -> Applied | Refused:
    """Take the operation `undoes` back by a new operation, `operation_id`; undoing that is a redo.

    Refused if others wrote since what it would write. Raises as `apply_operation` does.
    """
    require(user, Action.EDIT, pipeline)
    record = pipeline.operations.filter(operation_id=undoes).first()
    if record is None:
        return Refused(
            operation_id=operation_id,
            revision=Draft.objects.get(pipeline=pipeline).revision,
            code="unknown_operation",
            message=f"There is no operation {undoes} to take back.",
        )
    return _decided(
        _Edit(
            pipeline=pipeline,
            user=user,
            operation_id=operation_id,
            base_revision=record.revision,
            operation=ops.decode(record.inverse),
            is_undo=True,
        )
    )


def _decided(edit: _Edit) -> Applied | Refused:
    drafts = Draft.objects.select_related("pipeline")
    for _ in range(_TRIES):
        if answer := _attempt(edit, drafts.get(pipeline=edit.pipeline)):
            return answer
    # Where many write at once, the last resort is to make them wait.
    with transaction.atomic():
        locked = drafts.select_for_update(of=("self",)).get(pipeline=edit.pipeline)
        if answer := _attempt(edit, locked):
            return answer
    raise Busy


def _attempt(edit: _Edit, draft: Draft) -> Applied | Refused | None:
    """The answer, or None if the draft changed meanwhile."""
    require(edit.user, Action.EDIT, edit.pipeline)  # each time: it may have been taken away
    if answer := _first_answer(edit, draft):
        return answer
    decision = _decide(edit, draft)
    return decision if isinstance(decision, Refused) else _write(edit, draft, decision)


def _first_answer(edit: _Edit, draft: Draft) -> Applied | Refused | None:
    """What this operation id was answered with before."""
    record = OperationRecord.objects.filter(
        pipeline=edit.pipeline, operation_id=edit.operation_id
    ).first()
    if record is None:
        return None
    if record.author_id == edit.user.pk and record.operation == _json(edit.operation):
        return _applied(record)
    return edit.refused(
        "operation_id_taken",
        f"Another operation has the id {edit.operation_id}. Send this one under an id of its own.",
        draft,
    )


def _decide(edit: _Edit, draft: Draft) -> tuple[Change, str] | Refused:
    """The change and its text, or why not. Reads; writes nothing."""
    if draft.pipeline.archived:
        message = "The pipeline is in the archive. Take it out to edit it."
        return edit.refused("archived", message, draft)
    behind = draft.revision - edit.base_revision
    if behind < 0 or edit.base_revision < 0:
        message = f"There is no revision {edit.base_revision} yet. Reload to see the pipeline."
        return edit.refused("unknown_revision", message, draft)
    if behind > MAX_BEHIND:
        message = f"The pipeline has changed {behind:,} times since. Reload, then do it again."
        return edit.refused("too_far_behind", message, draft)
    records = draft.pipeline.operations
    since = list(records.between(edit.base_revision, draft.revision)) if behind else []
    change = _change(edit, draft, since)
    if isinstance(change, Refused):
        return change
    try:
        return change, _text(change)
    except (GraphError, InvalidInput, TooLarge) as error:
        return edit.refused(_code(error), str(error), draft)


def _change(edit: _Edit, draft: Draft, since: Sequence[OperationRecord]) -> Change | Refused:
    """The edit on the draft as it is now, if it meant the same when it was made."""
    now = draft.graph
    before = graph_before(now, since)
    try:
        mine = ops.footprint(before, edit.operation)
        yours = ops.apply(before, edit.operation)
    except ops.OperationError as error:
        return edit.refused("invalid", str(error), draft)
    if clashing := clashes(mine, [record for record in since if edit.minds(record)]):
        return Refused(
            operation_id=edit.operation_id,
            revision=draft.revision,
            code="conflict",
            message="Somebody changed this meanwhile. Compare the two and choose.",
            conflicts=compared(clashing, yours=yours, theirs=now),
        )
    try:
        return Change(
            operation=edit.operation,
            inverse=ops.inverse(now, edit.operation),
            footprint=ops.footprint(now, edit.operation),
            before=now,
            after=ops.apply(now, edit.operation),
        )
    except ops.OperationError as error:
        return edit.refused("gone", str(error), draft)


def _text(change: Change) -> str:
    if isinstance(change.operation, ops.MoveNodes):
        # Numbers were checked on the way in; reading it all again would cost the most where people
        # edit the most.
        check_size(change.after)
        text = codec.dump(change.after)
        check_json_text(text, limit=codec.MAX_TEXT, what="The pipeline")
        return text
    return graph_text(change.after)


def _write(edit: _Edit, draft: Draft, decision: tuple[Change, str]) -> Applied | None:
    """Write the change if the draft is as it was read; None if somebody was faster."""
    change, text = decision
    now = timezone.now()
    with transaction.atomic():
        unchanged = Draft.objects.filter(pipeline=edit.pipeline, revision=draft.revision)
        if not unchanged.update(text=text, revision=draft.revision + 1):
            return None
        record = OperationRecord.objects.create(
            pipeline=edit.pipeline,
            revision=draft.revision + 1,
            operation_id=edit.operation_id,
            author_id=edit.user.pk,
            operation=_json(change.operation),
            footprint=_footprint_json(change.footprint),
            inverse=_json(change.inverse),
        )
        Pipeline.objects.filter(pk=edit.pipeline.pk).update(
            name=change.after.name, description=change.after.description, updated_at=now
        )
        note_references(edit.pipeline, change.before, change.after)
        applied = _applied(record)
        send = partial(
            operation_applied.send_robust,
            sender=Pipeline,
            pipeline_id=edit.pipeline.pk,
            applied=applied,
        )
        transaction.on_commit(send)
    return applied


def _applied(record: OperationRecord) -> Applied:
    return Applied(
        operation_id=record.operation_id,
        revision=record.revision,
        operation=record.operation,
        author_id=record.author_id,
        at=record.at,
    )


def _json(operation: ops.AnyOperation) -> dict[str, Any]:
    """As it comes back from the database: lists for tuples, nothing for what is left out."""
    return msgspec.json.decode(msgspec.json.encode(operation))  # type: ignore[no-any-return]


def _footprint_json(footprint: ops.Footprint) -> dict[str, list[str]]:
    return {"writes": sorted(footprint.writes), "needs": sorted(footprint.needs)}


def _code(error: Exception) -> str:
    return "too_large" if isinstance(error, TooLarge) else "invalid"
