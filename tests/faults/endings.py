"""A person or a deadline ends a run."""

import time
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from runner.engine.events import RunStatus
from runner.models import Run
from runner.services import cancel_run
from tests.faults.stage import Stage
from tests.faults.world import Red, runner

CANCELLED = 1.0
"""Seconds until a run that was stopped says so."""


def cancel(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        stage.start(runner)
        run = stage.begin(what, delay=2.0)
        moment(stage, run)
        cancel_run(run=run, user=stage.world.user)
        began = time.monotonic()
        stage.world.ended(run, RunStatus.CANCELLED, seconds=CANCELLED)
        took = time.monotonic() - began
        if took > CANCELLED:
            raise Red(f"it took {took:.1f} s")
        time.sleep(2.5)
        if any(asked.answered for asked in stage.model.seen()):
            raise Red("a connection stayed open until its answer")

    return case


def pass_deadline(stage: Stage) -> None:
    stage.start(runner)
    run = stage.begin("map", delay=2.0)
    deadline = timezone.now() + timedelta(seconds=1.5)
    Run.objects.filter(pk=run.pk, status="queued").update(deadline_at=deadline)
    run = stage.world.ended(run, RunStatus.FAILED)
    if run.finished_at is None or run.finished_at - deadline > timedelta(seconds=CANCELLED):
        raise Red(f"it ended at {run.finished_at}, and was to at {deadline}")
    if "deadline" not in run.failure_message:
        raise Red(f"its reason is {run.failure_message}")
    time.sleep(2.5)
    if any(asked.answered for asked in stage.model.seen()):
        raise Red("a connection stayed open until its answer")
