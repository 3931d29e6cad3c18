"""The recorder: keeps what runs tell, in the database, and tells those who watch what is kept.

Runs append events on the event loop; a thread of its own writes them, all that came since the last
transaction in the next one. So a commit costs one transaction however many runs wait for it, and
nobody waits for a transaction that was not needed: while one is being written the next batch gathers.
What nobody waits for is written within `linger`, so that watchers see a step start.

A run's writes are conditional on its owner and epoch: a runner that lost a run writes nothing, is
told (`on_lost`), and its commits raise LeaseLost. What is published was committed before.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from runner.engine.errors import RunnerError
from runner.engine.events import Chunk
from runner.live import HERE, Publisher, project_group, run_group
from runner.live.frames import event_text
from runner.recorder.batch import Part, cut, fill, write
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.journal import NotRecorded, RunJournal
from runner.recorder.projection import RunState
from runner.recorder.rows import Row

PUBLISHED_AT_ONCE = 200
"""Events in one message to those who watch."""


@dataclass(slots=True)
class _Batch:
    """What is being written, and who waits for it."""

    parts: list[Part]
    runs: dict[RunJournal, None]
    waiting: list[tuple[RunJournal, asyncio.Future[None]]]


type Lost = Callable[[RunnerError], None]


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
        self._journals: dict[str, tuple[RunJournal, Lost]] = {}
        self._gathering: dict[RunJournal, None] = {}
        self._waiting: list[tuple[RunJournal, asyncio.Future[None]]] = []
        self._batch: _Batch | None = None
        self._lingering = False
        self._snapshot_due = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def aclose(self) -> None:
        """Write what is pending, then end."""
        for journal, _ in tuple(self._journals.values()):
            with suppress(RunnerError):
                await self.commit(journal)
        await self._thread.aclose()

    def open(self, state: RunState, on_lost: Lost = lambda error: None) -> RunJournal:
        """The journal of a run that was claimed; `close` it in the end."""
        journal = RunJournal(state, self)
        self._journals[str(state.id)] = (journal, on_lost)
        return journal

    async def close(self, journal: RunJournal) -> None:
        """Write what is pending and forget the run."""
        with suppress(RunnerError):
            await self.commit(journal)
        journal.release()
        if self.journal(str(journal.state.id)) is journal:  # the run may have come back meanwhile
            del self._journals[str(journal.state.id)]
            HERE.pop(journal.state.id, None)
            self.publisher.forget(journal.state.id)

    def journal(self, run_id: str) -> RunJournal | None:
        entry = self._journals.get(run_id)
        return entry[0] if entry else None

    # What journals call

    def appended(self, journal: RunJournal) -> None:
        self._gathering[journal] = None
        if not (self._batch or self._lingering):
            self._lingering = True
            self._loop.call_later(self._linger, self._lingered)

    async def commit(self, journal: RunJournal) -> None:
        if journal.error is not None:
            raise journal.error
        future: asyncio.Future[None] = self._loop.create_future()
        if journal.has_pending:
            self._gathering[journal] = None
            self._waiting.append((journal, future))
            if self._batch is None:
                self._hand_over()
        elif self._batch is not None and journal in self._batch.runs:
            self._batch.waiting.append((journal, future))
        else:
            return
        await future

    def streamed(self, journal: RunJournal, chunk: Chunk) -> None:
        self.publisher.chunk(journal.state.id, journal.state.epoch, chunk)
        if not self._snapshot_due:
            self._snapshot_due = True
            self._loop.call_later(self._snapshot, self._take_snapshots)

    # Batches

    def _take_snapshots(self) -> None:
        self._snapshot_due = False
        for journal, _ in self._journals.values():
            journal.snapshot()
            if journal.stream_rows:
                self.appended(journal)

    def _lingered(self) -> None:
        self._lingering = False
        if self._batch is None:
            self._hand_over()

    def _hand_over(self) -> None:
        if not self._gathering:
            return
        batch = self._batch = _Batch(
            parts=[cut(journal) for journal in self._gathering],
            runs=self._gathering,
            waiting=self._waiting,
        )
        self._gathering, self._waiting = {}, []
        self._thread.put(partial(self._write, batch))

    def _write(self, batch: _Batch) -> None:
        """On the thread."""
        try:
            for part in batch.parts:
                fill(part)
            write(batch.parts)
        except Exception as error:
            for part in batch.parts:
                part.error = NotRecorded(f"The recorder failed: {error!r}")
        self._thread.tell(self._written, batch)

    def _written(self, batch: _Batch) -> None:
        self._batch = None
        for part in batch.parts:
            if part.error is not None:
                self._lose(part.journal, part.error)
        for journal, future in batch.waiting:
            if future.done():
                continue  # whoever waited was cancelled
            if journal.error is None:
                future.set_result(None)
            else:
                future.set_exception(journal.error)
        if self._waiting:
            self._hand_over()
        elif self._gathering and not self._lingering:
            self._lingering = True
            self._loop.call_later(self._linger, self._lingered)
        for part in batch.parts:
            if part.error is None:
                self._publish(part)

    def _lose(self, journal: RunJournal, error: RunnerError) -> None:
        if journal.error is None:
            journal.error = error
            journal.release()
            _, on_lost = self._journals.get(str(journal.state.id), (None, None))
            if on_lost is not None:
                on_lost(error)

    def _publish(self, part: Part) -> None:
        state, rows = part.journal.state, part.rows
        if rows:
            part.journal.streams.stored(rows[-1][1])
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
