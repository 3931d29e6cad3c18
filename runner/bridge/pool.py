"""A named pool of workers.

A lease is one worker for one run, doing one step at a time; it was forked for that run and is killed
when the run needs it no more, so no run ever meets what another left behind. Spares are forked ahead,
so a lease usually waits for nothing. Steps of one run that go in parallel take further leases up to a
limit; when all workers are taken, steps queue, and a worker that a run holds between two steps is
taken back for one that waits (its run gets a new one at its next step, in 20 ms).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from runner.bridge.leases import PoolSettings, needed, worker_for
from runner.bridge.messages import CallMessage, ErrorMessage, Ready, ResultMessage
from runner.bridge.nursery import ForkNursery, Nursery
from runner.bridge.pool_history import PoolHistory
from runner.bridge.proxy import CallHandler, CallTicket, WorkerProxy
from runner.bridge.wire import Traffic
from runner.engine.errors import RunnerError, StepTimeout, WorkerLost

__all__ = ["Outcome", "Pool", "PoolBusy", "PoolClosed", "PoolSettings"]

START_BACKOFF = 1.0
"""Seconds before workers are forked ahead again after one could not be started."""


class PoolBusy(RunnerError):
    """Every worker of the pool is taken and the step waited too long, or too many wait already."""

    code = "pool_busy"
    retryable = True


class PoolClosed(RunnerError):
    """The pool is closed."""

    code = "pool_closed"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended, and what it took to cross the bridge. `seconds` is from sending to the result,
    `queued` the wait for a worker before that."""

    message: ResultMessage | ErrorMessage
    worker: WorkerProxy
    format: str
    traffic: Traffic
    seconds: float
    queued: float


@dataclass(slots=True, eq=False)
class _Waiter:
    run_id: str
    worker: asyncio.Future[WorkerProxy]


@dataclass(slots=True)
class _Totals:
    calls: int = 0
    lost: int = 0
    retried: int = 0
    reclaimed: int = 0
    started: int = 0


class Pool:
    """Runs calls in workers, within one event loop. Starts by itself with the first call."""

    def __init__(
        self, settings: PoolSettings | None = None, nursery: Nursery | None = None
    ) -> None:
        self.settings = settings or PoolSettings()
        self.ready: Ready | None = None
        self._nursery = nursery
        self._workers: dict[int, WorkerProxy] = {}
        self._queue: deque[_Waiter] = deque()
        self._numbers = count(1)
        self._totals = _Totals()
        self._history = PoolHistory()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: asyncio.Task[Ready] | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._fork_after = 0.0
        self._closed = False

    async def start(self) -> Ready:
        """Have the forkserver load and the first worker ready; what it is. Raises why not."""
        if self.ready is not None:
            return self.ready
        self._check_open()
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def aclose(self) -> None:
        """Kill all workers and end the forkserver. Who still waits gets PoolClosed."""
        self._closed = True
        if self._beating is not None:
            self._beating.cancel()
        for waiter in self._queue:
            if not waiter.worker.done():
                waiter.worker.set_exception(PoolClosed())
        for worker in tuple(self._workers.values()):
            worker.kill("the pool is closed")
        for task in (*self._tasks, *([self._opening] if self._opening else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RunnerError):
                await task
        if self._nursery is not None:
            await self._nursery.aclose()

    async def run(
        self, run_id: str, message: CallMessage, handler: CallHandler, *,
        deadline: float | None = None, repeat: bool = True, step: str = "",
    ) -> Outcome:  # fmt: skip
        """Do a call in a worker leased to the run. `deadline` is in the loop's time, `step` what the
        figures say that the worker does.

        A call whose worker is lost is done anew, at most `lost_retries` times, unless `repeat` is
        False (it has side effects). Raises WorkerLost, PoolBusy, StepTimeout, or why workers can't be
        started. Cancelling it stops the call, if need be by killing the worker.
        """
        if self.ready is None:
            await self.start()
        lost = 0
        while True:
            asked = asyncio.get_running_loop().time()
            worker = await self._lease(run_id, deadline)
            worker.step = step
            try:
                return await self._do(worker, message, handler, asked)
            except WorkerLost as error:
                lost += 1
                self._totals.lost += 1
                if not repeat or lost > self.settings.lost_retries:
                    raise
                self._totals.retried += 1
                handler.lost(error)

    @contextlib.asynccontextmanager
    async def leased(
        self, run_id: str, deadline: float | None = None
    ) -> AsyncIterator[WorkerProxy]:
        """A worker to speak to directly, for as long as the block lasts; calls may be pipelined. For
        health checks and measurements: nobody repeats a call whose worker is lost here."""
        if self.ready is None:
            await self.start()
        worker = await self._lease(run_id, deadline)
        try:
            yield worker
        finally:
            self._rest(worker)

    async def release_run(self, run_id: str) -> None:
        """The run needs its workers no more: kill them."""
        for worker in tuple(self._workers.values()):
            if worker.run_id == run_id:
                worker.kill("its run is over")

    async def health(self) -> dict[str, Any]:
        """Whether a worker can be had and answers, with what was loaded; and the pool's figures."""
        try:
            ready = await self.start()
        except RunnerError as error:
            return {"ok": False, "detail": error.message, **self.stats()}
        detail = ", ".join(f"{name} {version}" for name, version in sorted(ready.versions.items()))
        return {"ok": True, "detail": detail, **self.stats()}

    def stats(self) -> dict[str, Any]:
        """Figures for a page: the pool's and each worker's."""
        now = asyncio.get_running_loop().time()
        totals = self._totals
        return {
            "pool": self.settings.name,
            "size": self.settings.size,
            "queued": sum(not waiter.worker.done() for waiter in self._queue),
            "calls": totals.calls,
            "lost": totals.lost,
            "retried": totals.retried,
            "reclaimed": totals.reclaimed,
            "started": totals.started,
            "modules": [info.name for info in self.ready.modules] if self.ready else [],
            "workers": [worker.stats(now) for worker in self._workers.values()],
            **self._history.stats(),
        }

    # Leases

    async def _lease(self, run_id: str, deadline: float | None) -> WorkerProxy:
        self._check_open()
        if len(self._queue) >= self.settings.queue_limit:
            raise PoolBusy(
                f"{len(self._queue):,} steps wait for pool '{self.settings.name}' already."
            )
        if not self._queue:
            worker = worker_for(run_id, self._workers.values(), self.settings.per_run)
            if worker is not None:
                self._take(worker, run_id)
                return worker
        waiter = _Waiter(run_id, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        self._fork()
        try:
            return await self._wait(waiter, deadline)
        except BaseException:
            # The worker may have been granted in the moment that this gave up.
            if (
                waiter.worker.done()
                and not waiter.worker.cancelled()
                and not waiter.worker.exception()
            ):
                self._rest(waiter.worker.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._queue.remove(waiter)

    async def _wait(self, waiter: _Waiter, deadline: float | None) -> WorkerProxy:
        limit = asyncio.get_running_loop().time() + self.settings.queue_timeout
        at = limit if deadline is None else min(limit, deadline)
        try:
            async with asyncio.timeout_at(at):
                return await waiter.worker
        except TimeoutError:
            name = self.settings.name
            if at == deadline:
                raise StepTimeout(f"The deadline passed while waiting for pool '{name}'.") from None
            raise PoolBusy(
                f"No worker of pool '{name}' was free within {self.settings.queue_timeout:g} s. "
                "Raise the pool's size, or run less at once."
            ) from None

    def _grant(self) -> None:
        """Give workers to who waits, in order; then see to further workers."""
        for waiter in tuple(self._queue):
            if waiter.worker.done():
                continue
            worker = worker_for(waiter.run_id, self._workers.values(), self.settings.per_run)
            if worker is not None:
                self._queue.remove(waiter)
                worker.lease(waiter.run_id)
                waiter.worker.set_result(worker)
        self._fork()

    def _take(self, worker: WorkerProxy, run_id: str) -> None:
        was_spare = worker.is_spare
        worker.lease(run_id)
        if was_spare:
            self._fork()

    def _rest(self, worker: WorkerProxy) -> None:
        """A worker is free again, for the next step of its run or of one that waits."""
        worker.rest()
        if self._queue:
            self._grant()

    # Workers

    def _fork(self) -> None:
        """Start what is missing: for who waits, then spares; in the bounds of the pool's size."""
        if self._closed or asyncio.get_running_loop().time() < self._fork_after:
            return
        waiting = [waiter.run_id for waiter in self._queue if not waiter.worker.done()]
        needs = needed(waiting, self._workers.values(), self.settings)
        for _ in range(needs.start):
            self._start_worker()
        if needs.take_back is not None:
            self._totals.reclaimed += 1
            needs.take_back.kill("another run waits for it")

    def _start_worker(self) -> asyncio.Task[RunnerError | None]:
        assert self._nursery is not None
        worker = WorkerProxy(
            next(self._numbers),
            self._nursery,
            pool=self.settings.name,
            offered=self.settings.formats,
            limit=self.settings.limit,
            on_end=self._ended,
        )
        self._workers[worker.number] = worker
        self._totals.started += 1
        task = asyncio.create_task(self._bring_up(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _bring_up(self, worker: WorkerProxy) -> RunnerError | None:
        try:
            self.ready = await worker.start(self.settings.ready_timeout)
        except RunnerError as error:
            loop = asyncio.get_running_loop()
            self._fork_after = loop.time() + START_BACKOFF
            loop.call_later(START_BACKOFF, self._grant)
            worker.discard()
            self._refuse(error)
            return error
        self._grant()
        return None

    def _refuse(self, error: RunnerError) -> None:
        """No worker can be started. Who waits is told why, unless a living one may yet serve it."""
        if self._workers:
            return
        for waiter in self._queue:
            if not waiter.worker.done():
                waiter.worker.set_exception(error)

    def _ended(self, worker: WorkerProxy) -> None:
        self._workers.pop(worker.number, None)
        self._history.ended(worker.obituary(asyncio.get_running_loop().time()))
        self._grant()

    # Calls

    async def _do(
        self, worker: WorkerProxy, message: CallMessage, handler: CallHandler, asked: float
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        wire, sent = worker.wire, loop.time()
        before = wire.traffic.copy()
        try:
            ticket = worker.call(message, handler)
            answer = await self._answer(ticket)
        finally:
            self._rest(worker)
        self._totals.calls += 1
        self._history.called()
        return Outcome(
            message=answer,
            worker=worker,
            format=wire.format.name,
            traffic=wire.traffic.since(before),
            seconds=loop.time() - sent,
            queued=sent - asked,
        )

    async def _answer(self, ticket: CallTicket) -> ResultMessage | ErrorMessage:
        try:
            return await ticket.outcome
        except asyncio.CancelledError:
            stopping = asyncio.create_task(self._stop(ticket))
            self._tasks.add(stopping)
            stopping.add_done_callback(self._tasks.discard)
            try:
                await asyncio.shield(stopping)
            except (
                asyncio.CancelledError
            ):  # no time left to ask: it must not get the next step as well
                ticket.worker.kill("its step was cancelled twice")
            raise

    async def _stop(self, ticket: CallTicket) -> None:
        """Have the worker stop a call: told first, and killed when it does not."""
        stopped = ticket.worker.cancel(ticket.number)
        if stopped is None:
            return
        done, _ = await asyncio.wait({stopped}, timeout=self.settings.cancel_grace)
        if not done:
            ticket.worker.kill("it did not stop when told to")
            await asyncio.wait({stopped}, timeout=1.0)
        if stopped.done():
            stopped.exception()  # seen: that the worker was lost is what was wanted

    # Opening

    async def _open(self) -> Ready:
        if self._nursery is None:
            self._nursery = ForkNursery(
                self.settings.worker,
                limit=self.settings.limit,
                isolation=self.settings.isolation,
            )
        await self._nursery.start()
        error = await self._start_worker()
        if error is not None:
            raise error
        self._beat()
        assert self.ready is not None
        return self.ready

    def _beat(self) -> None:
        for worker in tuple(self._workers.values()):
            worker.beat(self.settings.heartbeat)
        loop = asyncio.get_running_loop()
        self._beating = loop.call_later(self.settings.heartbeat.interval, self._beat)

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosed()
