"""What a runner that died had committed but not yet shown: the rows of steps, attempts and the run
itself, made from the events."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Max

from runner.engine.errors import Failure
from runner.engine.events import Event as Told
from runner.engine.events import EventType
from runner.engine.tally import Tally
from runner.models import Artifact, Event, Run
from runner.recorder.cursor import Cursor
from runner.recorder.payload import Payload, restored
from runner.recorder.projection import Projection, RunState
from runner.recorder.rows import ATTEMPTS, PROGRESS, STEPS

_VALUES = ("inputs", "outputs")


def catch_up(run: Run) -> None:
    """Bring the run's rows, and this object, up to its last event. Nobody else may be executing it.

    Of a step that an event past `last_seq` tells of, all events are read again, runner by runner, as
    each of them counted its attempts anew.
    """
    last = Event.objects.filter(run=run).aggregate(last=Max("seq"))["last"] or 0
    if last <= run.last_seq:
        return
    new = Event.objects.after(run.pk, run.last_seq)
    paths = set(new.values_list("step", flat=True)) - {""}
    tally = Tally(run.input_tokens, run.output_tokens, run.cost, run.lm_calls)
    for call in new.filter(type=EventType.LM_CALL):
        tally.add(call.value["usage"])
    with transaction.atomic():
        cursor = Cursor.of_thread()
        for projection in _projections(run, paths):
            steps, attempts = projection.changed()
            STEPS.write(cursor, steps)
            ATTEMPTS.write(cursor, attempts)
        progress = (last, tally.input_tokens, tally.output_tokens, tally.cost, tally.lm_calls)
        PROGRESS.pass_through(cursor, [(*progress, run.pk.hex, run.epoch, run.owner)])
    run.last_seq, run.lm_calls, run.cost = last, tally.lm_calls, tally.cost
    run.input_tokens, run.output_tokens = tally.input_tokens, tally.output_tokens


def _projections(run: Run, paths: set[str]) -> Iterator[Projection]:
    """What each runner's events say of these steps, in turn."""
    rows = Event.objects.filter(run=run, step__in=paths).order_by("seq")
    for epoch, events in groupby(rows, lambda row: row.epoch):
        state = RunState(id=run.pk, project_id=run.project_id, owner="", epoch=epoch)
        yield _projected(Projection(state), events)


def _projected(projection: Projection, events: Iterable[Event]) -> Projection:
    for row in events:
        data = _data(row)
        told = Told(
            run_id=row.run_id.hex,
            seq=row.seq,
            type=EventType(row.type),
            at=row.at,
            step=row.step,
            attempt=row.attempt,
            data=data,
        )
        projection.take(told, Payload(data, row.data))
    return projection


def _data(row: Event) -> dict[str, Any]:
    """What the event told, but for the values of a step, which rows don't have."""
    aside = {at: each for at, each in row.artifact_hashes.items() if not at.startswith(_VALUES)}
    values: dict[str, Any] = {}
    if aside:
        kept = Artifact.objects.filter(run=row.run_id, hash__in=set(aside.values()))
        values = {artifact.hash: artifact.value for artifact in kept}
    data: dict[str, Any] = restored(row.value, aside, values)
    if data.get("failure") is not None:
        data["failure"] = msgspec.convert(data["failure"], Failure)
    return data
