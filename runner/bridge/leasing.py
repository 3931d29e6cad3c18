"""Who has which worker of a pool: leases, the line of those who wait, sessions.

Decisions are in `leases.py`; this acts on them, within one event loop.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from runner.bridge.crash_barrier import CrashBarrier, Suspect
from runner.bridge.leases import choose, needed, surplus
from runner.bridge.pool_errors import (
    PoolBusy,
    PoolClosed,
    SessionWorkerUnavailable,
    WorkerBusy,
)
from runner.bridge.pool_settings import MAX_SIZE, PoolSettings
from runner.bridge.pool_totals import Refusal, Totals
from runner.bridge.proxy import WorkerProxy
from runner.bridge.sessions import Affinity, Sessions
from runner.bridge.waiting import Waiter, WaitingLine
from runner.bridge.workforce import Workforce
from runner.engine.errors import RunnerError, StepTimeout


class Leasing:
    """Lends the workers of a workforce, and has it start what is missing."""

    def __init__(self, settings: PoolSettings, barrier: CrashBarrier, totals: Totals) -> None:
        self.settings = settings
        self.totals = totals
        self.line = WaitingLine()
        self.sessions = Sessions(settings.sessions)
        self.draining = False
        self.workforce: Workforce
        """Given right after: either tells the other."""
        self._barrier = barrier
        self._closed = False
        self._returning = 0

    def close(self) -> None:
        """Who still waits gets PoolClosed, and so does who comes."""
        self._closed = True
        self.line.refuse(PoolClosed())

    def check_open(self) -> None:
        if self._closed:
            raise PoolClosed()

    def scale(self, size: int, spares: int) -> None:
        """Have at most `size` workers from now on, and so many spares. Those that are too many end when
        their step is over."""
        size = max(1, min(size, MAX_SIZE))
        self.settings = replace(self.settings, size=size, spares=max(0, min(spares, size)))
        for worker in surplus(self.workforce, size):
            self.workforce.retire(worker, "the pool was made smaller")
        self.grant()

    def drain(self) -> None:
        """Begin no step, and end every worker when its step is over. Who asks waits, as long as the queue
        lets it."""
        self.draining = True
        for worker in self.workforce:
            self.workforce.retire(worker, "the pool is drained")

    def look(self, now: float) -> None:
        """See what there is and what there should be: called now and then, as events may be missed."""
        self.line.purge()
        self.sessions.sweep(now)
        if self.draining:
            self.drain()
        self.grant()

    def resume(self) -> None:
        """Take steps again."""
        self.draining = False
        self.grant()

    @contextmanager
    def returning(self) -> Iterator[None]:
        """Somebody comes back for a worker in a moment: have one made meanwhile."""
        self._returning += 1
        self._fork()
        try:
            yield
        finally:
            self._returning -= 1

    # Leases

    async def lease(self, waiter: Waiter, deadline: float | None) -> WorkerProxy:
        self.check_open()
        if len(self.line) >= self.settings.queue_limit:
            self.totals.refused[Refusal.QUEUE_FULL] += 1
            raise PoolBusy(
                f"{len(self.line):,} steps wait for pool '{self.settings.name}' already."
            )
        if not self.line and not self.draining:
            worker = choose(waiter, self.workforce.workers.values(), self.settings)
            if worker is not None:
                self._take(worker, waiter)
                self.totals.leased(0.0)
                return worker
        if waiter.strict and self.settings.affinity is Affinity.STRICT_FAIL_FAST:
            self.totals.refused[Refusal.WORKER_BUSY] += 1
            raise WorkerBusy(
                f"Worker {waiter.bound} of pool '{self.settings.name}' has session "
                f"'{waiter.session}' and is at work. Try again, or set the pool's affinity to "
                "strict_queue or hint."
            )
        return await self._queue(waiter, deadline)

    async def _queue(self, waiter: Waiter, deadline: float | None) -> WorkerProxy:
        self.line.join(waiter)
        self._fork()
        try:
            return await self._wait(waiter, deadline)
        except BaseException:
            # The worker may have been granted in the moment that this gave up.
            granted = waiter.worker
            if granted.done() and not granted.cancelled() and not granted.exception():
                self.rest(granted.result(), waiter)
            raise
        finally:
            self.line.leave(waiter)

    async def _wait(self, waiter: Waiter, deadline: float | None) -> WorkerProxy:
        patience, asked = self.settings.timeouts.queue, asyncio.get_running_loop().time()
        limit = asked + patience
        at = limit if deadline is None else min(limit, deadline)
        try:
            async with asyncio.timeout_at(at):
                worker = await waiter.worker
        except TimeoutError:
            name = self.settings.name
            if at == deadline:
                self.totals.refused[Refusal.DEADLINE] += 1
                raise StepTimeout(f"The deadline passed while waiting for pool '{name}'.") from None
            self.totals.refused[Refusal.QUEUE_TIMEOUT] += 1
            mend = "Raise the pool's size, or run less at once."
            if self.draining:
                mend = "It is drained: an administrator resumes it on the page Workers."
            raise PoolBusy(
                f"No worker of pool '{name}' was free within {patience:g} s. {mend}"
            ) from None
        self.totals.leased(asyncio.get_running_loop().time() - asked)
        return worker

    def grant(self) -> None:
        """Give workers to who waits, in order; then see to further workers."""
        if self._closed:
            return
        if not self.draining:
            for waiter in self.line:
                worker = choose(waiter, self.workforce.workers.values(), self.settings)
                if worker is not None:
                    self._lend(worker, waiter)
                    self.line.grant(waiter, worker)
        self._fork()

    def _take(self, worker: WorkerProxy, waiter: Waiter) -> None:
        was_spare = worker.is_spare
        self._lend(worker, waiter)
        if was_spare:
            self._fork()

    def _lend(self, worker: WorkerProxy, waiter: Waiter) -> None:
        worker.lease(waiter)
        if not self.settings.reuse:
            worker.run_id = waiter.run_id
        else:
            self.sessions.bind(
                waiter.session or waiter.run_id, worker.number, asyncio.get_running_loop().time()
            )
            if waiter.fresh:
                worker.retire("its step had crashed a worker before")

    def rest(self, worker: WorkerProxy, waiter: Waiter) -> None:
        """A step is over: its place is free again, for the next one of its run or for who waits."""
        worker.rest(waiter, asyncio.get_running_loop().time())
        if self.workforce.has_served(worker):
            return  # its end lets others in
        if self.line:
            self.grant()

    def _fork(self) -> None:
        """Start what is missing: for who waits, then spares; in the bounds of the pool's size."""
        if self._closed or self.draining or self.workforce.nursery is None:
            return
        now = asyncio.get_running_loop().time()
        held = self._barrier and self._barrier.holds_spares(now)
        spares = (0 if held else self.settings.spares) + self._returning
        workers = self.workforce.workers.values()
        needs = needed(tuple(self.line), workers, self.settings, spares=spares)
        if needs.start:
            self.workforce.start(needs.start)
        if needs.take_back is not None:
            self.totals.reclaimed += 1
            self._take_back(needs.take_back)

    def _take_back(self, worker: WorkerProxy) -> None:
        if self.settings.reuse:
            self.workforce.retire(
                worker, "a step that had crashed a worker waits for one of its own"
            )
        else:
            worker.kill("another run waits for it")

    def refuse(self, error: RunnerError) -> None:
        """A worker could not be started. Who waits is told why, unless a living one may yet serve it."""
        if not len(self.workforce):
            self.line.refuse(error)

    def ended(self, worker: WorkerProxy, *, lost: bool) -> None:
        """A worker is no more. `lost`: it crashed."""
        if self.settings.reuse:
            self._unbind(worker, lost=lost)
        self.grant()

    def _unbind(self, worker: WorkerProxy, *, lost: bool) -> None:
        self.sessions.ended(worker.number, lost=lost)
        for waiter in self.line:
            if waiter.bound != worker.number:
                continue
            if waiter.strict and lost:
                waiter.worker.set_exception(self._session_lost(waiter))
            waiter.bound, waiter.strict = 0, False

    # Sessions

    def find_session(self, waiter: Waiter) -> None:
        """Whom the next attempt is for: the worker of its session, or one that nobody used."""
        now = asyncio.get_running_loop().time()
        bound = self.sessions.find(waiter.session or waiter.run_id, now)
        strict = self.settings.affinity.is_strict
        if bound is not None and bound.lost and strict:
            raise self._session_lost(waiter)
        known = bound is not None and not bound.lost
        waiter.bound = bound.worker if known and bound is not None else 0
        waiter.strict = strict and known
        waiter.fresh = self._barrier.is_tainted(Suspect(waiter.run_id, waiter.step), now)

    def _session_lost(self, waiter: Waiter) -> SessionWorkerUnavailable:
        return SessionWorkerUnavailable(
            f"The worker of session '{waiter.session or waiter.run_id}' in pool "
            f"'{self.settings.name}' crashed. The next call of the session gets another one."
        )
