"""What one transaction stores: made and written on the database thread, or, when it is little, on the
event loop."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, connections

from runner.engine.errors import RunnerError
from runner.engine.events import Event
from runner.recorder.cursor import Cursor, Row, SharedConnection
from runner.recorder.journal import LeaseLost, NotRecorded, RunJournal
from runner.recorder.patience import AWAY, mend, patiently
from runner.recorder.payload import payload
from runner.recorder.rows import (
    ARTIFACTS,
    ATTEMPTS,
    EVENTS,
    FINISH,
    FORGET_ANSWERS,
    LEASE,
    PROGRESS,
    SMALL_LOT,
    STEPS,
    Fence,
    Lease,
    Table,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """What one run adds to a batch. What its events tell of steps and attempts goes with them only when
    it `shows`: it can be had from the events again."""

    journal: RunJournal
    taken: list[Event]
    stored: dict[Table, list[Row]]
    shows: bool
    filled: bool = False
    finish: Row | None = None
    error: RunnerError | None = None

    @property
    def size(self) -> int:
        """Rows, about."""
        size = len(self.taken) + sum(map(len, self.stored.values()))
        return size + 2 * self.journal.projection.touched if self.shows else size

    @property
    def fence(self) -> Fence | Lease:
        return FINISH if self.finish is not None else PROGRESS if self.shows else LEASE


def cut(journal: RunJournal) -> Part:
    """Take what is pending out of a journal. On the event loop."""
    part = Part(journal, journal.pending, journal.rows, shows=journal.shows)
    journal.pending, journal.rows, journal.shows = [], {}, False
    return part


def filled(parts: Iterable[Part]) -> list[Part]:
    """The parts with the rows made from their events, without those of which that can't be done: these
    get an `error`. Made once, however often it is asked for, as it changes what a journal knows."""
    for part in parts:
        if not part.filled:
            part.filled = True
            try:
                _fill(part)
            except Exception as error:
                logger.exception("What run %s told can't be stored", part.journal.state.id)
                part.error = NotRecorded(f"What the run told can't be stored: {error!r}")
    return [part for part in parts if part.error is None]


def _fill(part: Part) -> None:
    journal = part.journal
    run, epoch = journal.state.id.hex, journal.state.epoch
    events: list[Row] = []
    artifacts: list[Row] = []
    for event in part.taken:
        stored = payload(event.data)
        type_ = event.type.value
        aside = stored.references
        events.append(
            (run, event.seq, epoch, type_, event.step, event.attempt, event.at, stored.text, aside)
        )
        for digest, text in stored.texts.items():
            artifacts.append((run, digest, len(text.encode()), text))
        journal.projection.take(event, stored)
    part.stored |= {EVENTS: events, ARTIFACTS: artifacts}
    if part.shows:
        part.stored[STEPS], part.stored[ATTEMPTS] = journal.projection.changed()
    part.finish = journal.projection.finish


def write(parts: Sequence[Part], connection: SharedConnection) -> None:
    """Store the parts in one transaction; one that can't be stored gets its `error`. On the thread.

    A database that is away is asked again for a minute, once for all of them. When the rows of one run
    are refused, the others are stored without it.
    """
    try:
        patiently(lambda: _write_on_thread(parts, connection))
    except AWAY as error:
        for part in parts:
            part.error = NotRecorded(f"What the run told was not stored. {mend(error)}")
    except Exception as error:  # the driver's own, too, for values that it can't bind
        if len(parts) > 1:
            for part in parts:
                write([part], connection)
        else:
            parts[0].error = NotRecorded(f"What the run told was refused: {error!r}")


def _write_on_thread(parts: Sequence[Part], connection: SharedConnection) -> None:
    with connections[DEFAULT_DB_ALIAS].wrap_database_errors, connection.for_thread() as cursor:
        _write(parts, cursor)


def write_here(parts: Sequence[Part], connection: SharedConnection) -> bool:
    """As `write`, on the event loop; False when nothing was stored, and the thread has to do it, which
    also finds out what was wrong."""
    try:
        transaction = connection.for_event_loop()
        if transaction is None:
            return False
        with transaction as cursor:
            _write(parts, cursor)
    except Exception:
        return False
    return True


def _write(parts: Sequence[Part], cursor: Cursor) -> None:
    if len(parts) == 1 and cursor.in_lots and _write_events(parts[0], cursor):
        return
    held = _held(cursor, parts)
    gathered: dict[Table, list[Row]] = {}
    for part in held:
        for table, rows in part.stored.items():
            if rows:
                gathered[table] = gathered.get(table, []) + rows
    for table, rows in gathered.items():
        table.write(cursor, rows)
    for part in held:
        if part.finish is not None and part.journal.projection.is_final:
            cursor.execute(FORGET_ANSWERS, [part.journal.state.id.hex])


def _write_events(part: Part, cursor: Cursor) -> bool:
    """What nearly every commit of a run that goes on alone is: a few events and nothing else. False when
    it is not, or when the run may not be ours."""
    if part.fence is not LEASE or any(
        part.stored[each] for each in part.stored if each is not EVENTS
    ):
        return False
    events = part.stored[EVENTS]
    if not 0 < len(events) <= SMALL_LOT or not EVENTS.write_if_ours(cursor, events, _own_row(part)):
        return False
    part.error = None
    return True


def _held(cursor: Cursor, parts: Sequence[Part]) -> list[Part]:
    """Bring the runs' own rows up to date, and leave out the parts of runs that are ours no more."""
    ours: set[str] = set()
    if cursor.in_lots:
        rows: dict[Fence | Lease, list[Row]] = {}
        for part in parts:
            rows.setdefault(part.fence, []).append(_own_row(part))
        for fence, runs in rows.items():
            ours |= fence.pass_through(cursor, runs)
    else:  # in the order in which `claims.renew` locks them: crosswise they would wait for each other
        for part in sorted(parts, key=lambda part: part.journal.state.id):
            ours |= part.fence.pass_through(cursor, [_own_row(part)])
    for part in parts:
        part.error = None if part.journal.state.id.hex in ours else LeaseLost()
    return [part for part in parts if part.error is None]


def _own_row(part: Part) -> Row:
    state, projection = part.journal.state, part.journal.projection
    who = (state.id.hex, state.epoch, state.owner)
    if part.fence is LEASE:
        return who
    tally = projection.tally
    progress = (projection.last_seq, tally.input_tokens, tally.output_tokens, tally.cost)
    return (*progress, tally.lm_calls, *(part.finish or ()), *who)
