"""Recorded outputs of steps, in the database, for runs of a part of a pipeline."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec

from runner.engine.events import EventType, StepStatus
from runner.engine.resuming import TELLS, Earlier, earlier
from runner.engine.step_store import Taken
from runner.models import Artifact, Event, Run, Step
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.payload import restored


class DatabaseStepStore:
    """What the runs of one pipeline have recorded."""

    def __init__(self, pipeline_id: UUID, thread: DatabaseThread) -> None:
        self._pipeline = pipeline_id
        self._thread = thread

    async def find(self, identities: Collection[str], base: str) -> Taken | None:
        return await self._thread.patiently(self._find, identities, base)

    def _find(self, identities: Collection[str], base: str) -> Taken | None:
        steps = Step.objects.filter(
            identity__in=identities,
            status=StepStatus.SUCCEEDED,
            run__pipeline=self._pipeline,  # which their identity says already
        )
        if base:
            steps = steps.filter(run=UUID(base))
        step = steps.order_by("-finished_at").first()
        if step is None:
            return None
        event = Event.objects.of_step(step).filter(type=EventType.STEP_SUCCEEDED).last()
        if event is None:
            return None
        origin = step.taken_from or str(step.run_id)
        outputs = outputs_of(event)
        return Taken(origin=origin, outputs=outputs, identity=step.identity)


def outputs_of(event: Event) -> dict[str, object]:
    """The outputs that an event tells of, with large values back in place."""
    aside = event.artifact_hashes
    if not aside:
        return dict(event.value["outputs"])
    rows = Artifact.objects.filter(run=event.run_id, hash__in=set(aside.values()))
    data = restored(event.value, aside, {row.hash: row.value for row in rows})
    return dict(data["outputs"])


def earlier_of(run: Run) -> Earlier:
    """What earlier runners left of steps that have not succeeded."""
    if not run.last_seq:
        return Earlier()
    events = Event.objects.filter(run=run, type__in=TELLS).order_by("seq")
    rows = events.values_list("type", "step", "at", "data").iterator()
    # Of steps that succeeded, the last alone counts: their outputs need not be read.
    return earlier(
        (EventType(type_), path, at, _told(type_, data)) for type_, path, at, data in rows
    )


def _told(type_: str, data: str) -> dict[str, Any]:
    return {} if type_ == EventType.STEP_SUCCEEDED else msgspec.json.decode(data)


def recorded_outputs(run: Run) -> dict[str, dict[str, object]]:
    """The outputs of the steps that have succeeded so far, by path."""
    if not run.last_seq:
        return {}
    events = Event.objects.filter(run=run, type=EventType.STEP_SUCCEEDED).order_by("seq")
    return {event.step: outputs_of(event) for event in events.iterator()}
