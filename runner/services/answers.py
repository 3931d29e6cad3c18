"""What people answer to the steps of a run that wait for them."""

from functools import partial
from typing import Any

import msgspec
from django.db import transaction
from django.dispatch import Signal

from pipelines.models import Person
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.permissions import Action, require
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.engine.waits import Answer
from runner.models import FINAL, Event, Run, Step
from runner.recorder.payload import json_text
from runner.services.runs import tell_changed

run_answered = Signal()
"""Sent after commit, with `run_id`, `path` (or the key of a decision) and `answer`, for whoever executes
the run."""

MAX_COMMENT = 10_000
MAX_VALUE = 1_000_000
"""Characters of a comment, and bytes of a value that a person changed."""


def answer_step(
    *,
    run: Run,
    user: Person,
    path: str,
    approved: bool,
    comment: str = "",
    value: Any = msgspec.UNSET,
) -> Answer:
    """Answer a step that waits for a person; kept before this returns, and the run goes on.

    Raises NotAllowed, TooLarge, and InvalidInput when the step does not wait (any more) or its value
    may not be changed. The first answer counts.
    """
    require(user, Action.RUN, run)
    answer = Answer(approved=approved, comment=comment, by=user.get_username(), value=value)
    if len(comment) > MAX_COMMENT:
        raise TooLarge(f"The comment is longer than {MAX_COMMENT:,} characters. Shorten it.")
    if value is not msgspec.UNSET and len(json_text(value)) > MAX_VALUE:
        raise TooLarge(f"The value is larger than {MAX_VALUE:,} bytes. Shorten it.")
    _check_asked(run, path, answer)
    with transaction.atomic():
        keep_answer(run, path, path, answer)
    return answer


def _check_asked(run: Run, path: str, answer: Answer) -> None:
    step = Step.objects.filter(run=run, path=path).first()
    if step is None or step.status != StepStatus.WAITING:
        raise InvalidInput(f"The step '{path:.200}' of this run does not wait for an answer.")
    asked = Event.objects.of_step(step).filter(type=EventType.STEP_WAITING).last()
    if asked is not None and "begun" in asked.value:
        raise InvalidInput(f"The step '{path}' asks for a decision: did it happen?")
    editable = asked is not None and asked.value["editable"]
    if answer.value is not msgspec.UNSET and not editable:
        raise InvalidInput(f"The step '{path}' does not let its value be changed.")


def keep_answer(run: Run, key: str, path: str, answer: Answer) -> None:
    """Store the answer to the step at this path, and queue the run when nobody executes it. In a
    transaction."""
    row = Run.objects.select_for_update().get(pk=run.pk)
    if key in row.given_answers:
        by = row.given_answers[key].by or "somebody"
        raise InvalidInput(f"The step '{path}' has been answered already, by {by}.")
    if row.status in (*FINAL, RunStatus.CANCELLING):
        raise InvalidInput("This run has ended; nothing waits for an answer any more.")
    row.answers = json_text({**row.given_answers, key: answer})
    if row.status == RunStatus.WAITING or row.needs_decision:
        row.status = RunStatus.QUEUED.value
        row.failure_code = row.failure_message = row.failed_step = ""
        transaction.on_commit(partial(tell_changed, row))
    row.save(update_fields=["answers", "status", "failure_code", "failure_message", "failed_step"])
    run.answers, run.status = row.answers, row.status
    transaction.on_commit(
        lambda: run_answered.send_robust(sender=Run, run_id=run.pk, path=key, answer=answer)
    )
