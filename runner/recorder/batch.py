"""What one transaction stores: made and written on the database thread."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    connections,
)

from runner.engine.errors import RunnerError
from runner.engine.events import Event
from runner.recorder.journal import LeaseLost, NotRecorded, RunJournal
from runner.recorder.patience import mend, patiently
from runner.recorder.payload import payload
from runner.recorder.rows import (
    ARTIFACTS,
    ATTEMPTS,
    EVENTS,
    FINISH,
    FORGET_ANSWERS,
    PROGRESS,
    REPLAY_ANSWERS,
    STEPS,
    STREAMS,
    Cursor,
    Row,
)


@dataclass(slots=True)
class Part:
    """What one run adds to a batch."""

    journal: RunJournal
    taken: list[Event]
    streams: list[Row]
    answers: list[Row]
    rows: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    finish: Row | None = None
    error: RunnerError | None = None


def cut(journal: RunJournal) -> Part:
    """Take what is pending out of a journal. On the event loop."""
    part = Part(journal, journal.pending, journal.stream_rows, journal.answer_rows)
    journal.pending, journal.stream_rows, journal.answer_rows = [], [], []
    return part


def fill(part: Part) -> None:
    """Make the part's rows from its events."""
    journal = part.journal
    run, epoch = journal.state.id.hex, journal.state.epoch
    for event in part.taken:
        stored = payload(event.data)
        type_ = event.type.value
        aside = stored.references
        part.rows.append(
            (run, event.seq, epoch, type_, event.step, event.attempt, event.at, stored.text, aside)
        )
        part.artifacts += [
            (run, digest, len(text.encode()), text) for digest, text in stored.texts.items()
        ]
        journal.projection.take(event, stored)
    part.steps, part.attempts = journal.projection.changed()
    part.finish = journal.projection.finish


def write(parts: Sequence[Part]) -> None:
    """Store the parts in one transaction; one that can't be stored gets its `error`.

    A database that is away is asked again for a minute. When the rows of one run are refused, the
    others are stored without it.
    """
    try:
        patiently(lambda: _write(parts))
    except DatabaseError as error:
        if len(parts) == 1:
            parts[0].error = NotRecorded(f"What the run told was not stored. {mend(error)}")
            return
        for part in parts:
            write([part])


def _write(parts: Sequence[Part]) -> None:
    with connections[DEFAULT_DB_ALIAS].wrap_database_errors, Cursor() as cursor:
        held = _held(cursor, parts)
        STEPS.write(cursor, [row for part in held for row in part.steps])
        ATTEMPTS.write(cursor, [row for part in held for row in part.attempts])
        EVENTS.write(cursor, [row for part in held for row in part.rows])
        ARTIFACTS.write(cursor, [row for part in held for row in part.artifacts])
        STREAMS.write(cursor, [row for part in held for row in part.streams])
        REPLAY_ANSWERS.write(cursor, [row for part in held for row in part.answers])
        for part in held:
            if part.finish is not None and part.journal.projection.is_final:
                cursor.execute(FORGET_ANSWERS, [part.journal.state.id.hex])


def _held(cursor: Cursor, parts: Sequence[Part]) -> list[Part]:
    """Bring the runs' own rows up to date, and leave out the parts of runs that are ours no more."""
    ends = [part for part in parts if part.finish is not None]
    goes_on = [part for part in parts if part.finish is None]
    ours = FINISH.pass_through(cursor, [_own_row(part) for part in ends])
    ours |= PROGRESS.pass_through(cursor, [_own_row(part) for part in goes_on])
    for part in parts:
        part.error = None if part.journal.state.id.hex in ours else LeaseLost()
    return [part for part in parts if part.error is None]


def _own_row(part: Part) -> Row:
    state, projection = part.journal.state, part.journal.projection
    tally = projection.tally
    progress = (projection.last_seq, tally.input_tokens, tally.output_tokens, tally.cost)
    who = (state.id.hex, state.epoch, state.owner)
    return (*progress, tally.lm_calls, *(part.finish or ()), *who)
