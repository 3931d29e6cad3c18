"""The recorder: keeps what runs tell, in the database, and tells those who watch what is kept.

Runs append events on the event loop. A commit takes what came since the last transaction into the next
one, so it costs one transaction however many runs wait for it. When that is a few small rows and the
database is SQLite, the event loop writes them itself: handing them to a thread and hearing back takes
longer than writing them. All else is written by a thread of the recorder's own, and while it does, the
next batch gathers.

A commit stores events alone. The rows of steps and attempts, and of the run itself, are made from them
and follow within `linger` (seconds), many in one go; `Run.last_seq` says up to which event they have. Who
watches is told of events when the rows have them. What a runner that died left in between is caught up
with when its run is claimed (`runner.recorder.catching_up`).

A run's writes are conditional on its owner and epoch: a runner that lost a run writes nothing, is
told (`on_lost`), and its commits raise LeaseLost. What is published was committed before.
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from runner.engine.errors import RunnerError
from runner.engine.events import Chunk
from runner.live import HERE, Publisher, project_group, run_group
from runner.live.frames import event_text
from runner.recorder.batch import Part, cut, filled, write, write_here
from runner.recorder.cursor import Row, SharedConnection
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.journal import Lost, NotRecorded, RunJournal
from runner.recorder.projection import RunState
from runner.recorder.rows import EVENTS

PUBLISHED_AT_ONCE = 200
"""Events in one message to those who watch."""
LITTLE = 64
"""Rows that the event loop writes itself: half a millisecond."""
SLOW, SLOW_FOR = 0.002, 10.0
"""Seconds that writes may take on average, and for which the thread does them when they take longer."""
_SHARE = 1 / 16
"""What one write counts in that average."""
ALONE = 0.001
"""Seconds after which a run that goes on alone lets the event loop do other things."""
CHECKPOINT = 10_000
"""Rows, some 30 MB, after which the thread has its turn: it brings SQLite's log over into the database."""


@dataclass(slots=True)
class _Batch:
    """What is being written, and who waits for it."""

    parts: list[Part]
    runs: dict[RunJournal, None]
    waiting: list[asyncio.Future[None]]


class Recorder:
    """The one writer of runs in a process. `linger` and `snapshot` are in seconds, `largest` is the
    bytes that are kept of one output of a step."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        linger: float = 0.01,
        snapshot: float = 1.0,
        largest: int = 256 * 10**6,
    ) -> None:
        self.publisher = publisher
        self.largest = largest
        self._linger, self._snapshot = linger, snapshot
        self._thread = DatabaseThread("recorder")
        self._connection = SharedConnection()
        self._journals: dict[str, RunJournal] = {}
        self._gathering: dict[RunJournal, None] = {}
        self._unshown: dict[RunJournal, None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._batch: _Batch | None = None
        self._lingering = False
        self._handing_over = False
        self._here_from = -math.inf
        self._average = 0.0
        self._yielded = -math.inf
        self._rows = 0
        self._snapshot_due = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def aclose(self) -> None:
        """Write what is pending, then end."""
        for journal in tuple(self._journals.values()):
            with suppress(RunnerError):
                await self._settle(journal)
        await self._thread.aclose()

    def open(self, state: RunState, on_lost: Lost = lambda error: None) -> RunJournal:
        """The journal of a run that was claimed; `close` it in the end."""
        journal = self._journals[str(state.id)] = RunJournal(state, self, on_lost)
        return journal

    async def close(self, journal: RunJournal) -> None:
        """Write what is pending and forget the run, also when this is cancelled."""
        try:
            with suppress(RunnerError):
                await self._settle(journal)
        finally:
            journal.release()
            self._forget(journal)

    def _forget(self, journal: RunJournal) -> None:
        run_id = journal.state.id
        if self.journal(str(run_id)) is journal:  # the run may have come back meanwhile
            del self._journals[str(run_id)]
            HERE.pop(run_id, None)
            self.publisher.forget(run_id)

    def journal(self, run_id: str) -> RunJournal | None:
        return self._journals.get(run_id)

    # What journals call

    def appended(self, journal: RunJournal) -> None:
        self._gathering[journal] = None
        self._linger_on()

    async def commit(self, journal: RunJournal) -> None:
        if self._batch is None and journal in self._gathering:
            if len(self._journals) > 1 or self._loop.time() - self._yielded > ALONE:
                await asyncio.sleep(0)  # whoever else is ready adds to it
                self._yielded = self._loop.time()
            if self._batch is None and journal in self._gathering:
                self._hand_over()
        if self._batch is not None:
            if journal in self._gathering:
                await self._is_written(self._waiting)
            elif journal in self._batch.runs:
                await self._is_written(self._batch.waiting)
        if journal.error is not None:
            raise journal.error

    async def _is_written(self, waiting: list[asyncio.Future[None]]) -> None:
        future = self._loop.create_future()
        waiting.append(future)
        await future

    async def _settle(self, journal: RunJournal) -> None:
        """Commit, with the rows of steps."""
        await self.commit(journal)
        if journal in self._unshown:
            journal.shows = True
            self._gathering[journal] = None
            await self.commit(journal)

    def streamed(self, journal: RunJournal, chunk: Chunk) -> None:
        self.publisher.chunk(journal.state.id, journal.state.epoch, chunk)
        if not self._snapshot_due:
            self._snapshot_due = True
            self._loop.call_later(self._snapshot, self._take_snapshots)

    # Batches

    def _take_snapshots(self) -> None:
        self._snapshot_due = False
        for journal in self._journals.values():
            journal.snapshot()
            if journal.has_pending:
                self.appended(journal)

    def _linger_on(self) -> None:
        if not self._lingering:
            self._lingering = True
            self._loop.call_later(self._linger, self._lingered)

    def _lingered(self) -> None:
        self._lingering = False
        for journal in (*self._unshown, *self._gathering):
            journal.shows = True
            self._gathering[journal] = None
        self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        """After whatever else is ready to go on, which may add to it."""
        if not self._handing_over and self._batch is None:
            self._handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        if self._batch is not None or not self._gathering:
            return
        batch = self._batch = _Batch(
            parts=[cut(journal) for journal in self._gathering if self._has_more(journal)],
            runs=self._gathering,
            waiting=self._waiting,
        )
        self._gathering, self._waiting = {}, []
        if not batch.parts or (self._is_little(batch) and self._write_here(batch)):
            self._written(batch)
        else:
            self._thread.put(partial(self._write, batch))

    def _has_more(self, journal: RunJournal) -> bool:
        """Of one that was lost nothing more is stored: what it told before may be missing. Of one that has
        ended nothing is stored again, though it was still being written when it was asked for."""
        return journal.error is None and (journal.has_pending or journal in self._unshown)

    def _is_little(self, batch: _Batch) -> bool:
        if self._rows > CHECKPOINT or self._loop.time() < self._here_from:
            return False
        return sum(part.size for part in batch.parts) <= LITTLE and not any(
            journal.is_bulky for journal in batch.runs
        )

    def _write_here(self, batch: _Batch) -> bool:
        """On the event loop; False when the thread has to do it."""
        started = self._loop.time()
        stored = write_here(filled(batch.parts), self._connection)
        now = self._loop.time()
        self._average += (now - started - self._average) * _SHARE
        if self._average > SLOW:
            self._average, self._here_from = 0.0, now + SLOW_FOR
        return stored

    def _write(self, batch: _Batch) -> None:
        """On the thread."""
        try:
            write(filled(batch.parts), self._connection)
            self._rows = 0
        except Exception as error:
            for part in batch.parts:
                part.error = NotRecorded(f"The recorder failed: {error!r}")
        self._thread.tell(self._written, batch)

    def _written(self, batch: _Batch) -> None:
        self._batch = None
        for part in batch.parts:
            self._rows += sum(map(len, part.stored.values()))
            if part.error is not None:
                self._lose(part.journal, part.error)
            elif part.shows:
                self._unshown.pop(part.journal, None)
            else:
                self._unshown[part.journal] = None
        for future in batch.waiting:
            if not future.done():  # whoever waited may have been cancelled
                future.set_result(None)
        if self._waiting or any(journal.shows for journal in self._gathering):
            self._hand_over_soon()
        if self._gathering or self._unshown:
            self._linger_on()
        for part in batch.parts:
            if part.error is None:
                self._publish(part)

    def _lose(self, journal: RunJournal, error: RunnerError) -> None:
        if journal.error is None:
            journal.error = error
            journal.release()
            self._unshown.pop(journal, None)
            journal.on_lost(error)

    def _publish(self, part: Part) -> None:
        journal, state = part.journal, part.journal.state
        if events := part.stored.get(EVENTS):
            journal.streams.stored(events[-1][1])
            journal.untold += events
        if not part.shows:
            return
        rows, journal.untold = journal.untold, []
        if rows and self.publisher.watched(run_group(state.id)):
            for start in range(0, len(rows), PUBLISHED_AT_ONCE):
                told = rows[start : start + PUBLISHED_AT_ONCE]
                texts = [_text(row) for row in told]
                self.publisher.events(state.id, told[0][1], told[-1][1], texts)
        if part.finish is not None:
            summary = {**state.summary, "status": part.finish[0]}
            self.publisher.tell(project_group(state.project_id), "live.run", summary=summary)


def _text(row: Row) -> str:
    """An event's row as watchers get it."""
    _, seq, _, type_, step, attempt, at, data, aside = row
    return event_text(seq, type_, at=at, step=step, attempt=attempt, data=data, aside=aside)
