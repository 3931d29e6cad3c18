"""What people stop of a run that goes on: one step, or one item of a map."""

import re
from functools import partial

from django.db import transaction
from django.dispatch import Signal

from pipelines.models import Person
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from runner.engine.events import RunStatus, StepStatus
from runner.models import FINAL, Run, Step
from runner.recorder.payload import json_text
from runner.services.runs import tell_changed

step_stopped = Signal()
"""Sent after commit, with `run_id`, `path` and `by`, for whoever executes the run."""

_GOES_ON = (StepStatus.RUNNING, StepStatus.WAITING)
_ITEM = re.compile(r"(.+)\[\d+\]")


def stop_step(*, run: Run, user: Person, path: str) -> None:
    """Stop a step that goes on, or an item of a map (`each[3]`); kept before this returns. What follows
    is the policy's affair, as if it had failed with `cancelled_by_user`.

    Raises NotAllowed, and InvalidInput when nothing goes on at this path.
    """
    require(user, Action.RUN, run)
    if not _goes_on(run, path):
        raise InvalidInput(
            f"Nothing goes on at '{path:.200}' in this run; there is nothing to stop."
        )
    by = user.get_username()
    with transaction.atomic():
        row = Run.objects.select_for_update().get(pk=run.pk)
        if row.status in (*FINAL, RunStatus.CANCELLING):
            raise InvalidInput("This run has ended; nothing of it goes on any more.")
        row.stops = json_text({path: by, **row.given_stops})
        if row.status == RunStatus.WAITING or row.needs_decision:  # somebody has to execute it
            row.status = RunStatus.QUEUED.value
            transaction.on_commit(partial(tell_changed, row))
        row.save(update_fields=["stops", "status"])
        run.stops, run.status = row.stops, row.status
        transaction.on_commit(
            lambda: step_stopped.send_robust(sender=Run, run_id=run.pk, path=path, by=by)
        )


def _goes_on(run: Run, path: str) -> bool:
    going = Step.objects.filter(run=run, status__in=_GOES_ON)
    if going.filter(path=path).exists():
        return True
    item = _ITEM.fullmatch(path)
    return (
        item is not None
        and going.filter(path=item[1], kind="map").exists()
        and going.filter(path__startswith=f"{path}/").exists()
    )
