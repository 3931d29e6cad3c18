"""What a runner that died had committed but not yet shown: the rows of steps, attempts and the run
itself, made from the events."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Max

from runner.engine.errors import Failure
from runner.engine.events import Event as Told
from runner.engine.events import EventType
from runner.engine.tally import Tally
from runner.models import Artifact, Event, Run
from runner.recorder.cursor import Cursor
from runner.recorder.payload import Payload
from runner.recorder.projection import Projection, RunState
from runner.recorder.rows import ATTEMPTS, PROGRESS, STEPS


def catch_up(run: Run) -> None:
    """Bring the run's rows, and this object, up to its last event. Nobody else may be executing it: of one
    that has changed hands since it was read nothing is written.

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
    progress = (last, tally.input_tokens, tally.output_tokens, tally.cost, tally.lm_calls)
    with connection.wrap_database_errors, transaction.atomic():
        cursor = Cursor.of_thread()
        if not PROGRESS.pass_through(cursor, [(*progress, run.pk.hex, run.epoch, run.owner)]):
            return
        for projection in _projections(run, paths):
            steps, attempts = projection.changed()
            STEPS.write(cursor, steps)
            ATTEMPTS.write(cursor, attempts)
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
    """What the event told; of what is large only the failure, which rows show."""
    data = row.value
    failure, aside = data.get("failure"), row.artifact_hashes.get("failure")
    if aside is not None:
        failure = Artifact.objects.get(run=row.run_id, hash=aside).value
    if failure is not None:
        data["failure"] = msgspec.convert(failure, Failure)
    return data
