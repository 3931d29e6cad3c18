"""A named pool of workers.

A lease is one worker for one run, doing one step at a time; it was forked for that run and is killed
when the run needs it no more, so no run ever meets what another left behind. Spares are forked ahead,
so a lease usually waits for nothing. Steps of one run that go in parallel take further leases up to a
limit; when all workers are taken, steps queue, and a worker that a run holds between two steps is
taken back for one that waits (its run gets a new one at its next step, in 20 ms).

A pool with `reuse` gives its workers to one run after the other instead: what they loaded stays at
hand. There, sessions find the worker that knows them, and workers are recycled; and a worker may have
several threads, each a place for a step.

What is decided (who gets which worker, when a breaker opens, what a crash taints) is in modules of its
own, without I/O; this one acts on it.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from runner.bridge.breaker import Breaker
from runner.bridge.call_handler import CallHandler
from runner.bridge.calling import OutOfTime, answer_of
from runner.bridge.crash_barrier import Crash, CrashBarrier, Suspect
from runner.bridge.endings import FROM_OUTSIDE, EndReason
from runner.bridge.leasing import Leasing
from runner.bridge.messages import CallMessage, ErrorMessage, Ready, ResultMessage
from runner.bridge.nursery import ForkNursery, ForkserverEnded, Nursery, WorkersUnavailable
from runner.bridge.pool_errors import (
    CircuitOpen,
    PoolBusy,
    PoolClosed,
)
from runner.bridge.pool_figures import stats_of
from runner.bridge.pool_history import PoolHistory
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.pool_totals import Refusal, Totals
from runner.bridge.proxy import WorkerProxy
from runner.bridge.timeouts import budget
from runner.bridge.waiting import Waiter
from runner.bridge.wire import Traffic
from runner.bridge.workforce import Workforce
from runner.engine.errors import RemoteError, RunnerError, StepTimeout, WorkerLost

__all__ = ["Outcome", "Pool", "PoolBusy", "PoolClosed", "PoolSettings"]

_POOL_FAILED = (WorkerLost, WorkersUnavailable, RemoteError)
"""What counts for the breaker: no attempt got to an end, or workers can't be started."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended, and what it took to cross the bridge. `seconds` is from sending to the result,
    `queued` the wait for a worker before that."""

    message: ResultMessage | ErrorMessage
    worker: WorkerProxy
    format: str
    traffic: Traffic
    seconds: float
    queued: float


class Pool:
    """Runs calls in workers, within one event loop. Starts by itself with the first call. With
    `shares_nursery`, that is other pools' too, and `aclose` leaves it to its owner."""

    def __init__(
        self,
        settings: PoolSettings | None = None,
        nursery: Nursery | None = None,
        *,
        shares_nursery: bool = False,
    ) -> None:
        settings = settings or PoolSettings()
        self.totals = Totals()
        self.history = PoolHistory()
        self.breaker = Breaker(settings.breaker)
        self.barrier = CrashBarrier(settings.barrier)
        self.leasing = Leasing(settings, self.barrier, self.totals)
        self.ready: Ready | None = None
        self._nursery, self._owns_nursery = nursery, not shares_nursery
        self._opening: asyncio.Task[Ready] | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._last_failure = ""
        self.workforce = Workforce(
            settings, changed=self.leasing.grant, ended=self._ended, refused=self.leasing.refuse
        )
        self.leasing.workforce = self.workforce

    @property
    def settings(self) -> PoolSettings:
        """As they are now: it may have been scaled."""
        return self.leasing.settings

    async def start(self) -> Ready:
        """Have the forkserver load and the first worker ready; what it is. Raises why not."""
        if self.ready is not None:
            return self.ready
        self.leasing.check_open()
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def aclose(self) -> None:
        """Kill all workers and end the forkserver. Who still waits gets PoolClosed."""
        for timer in (self._beating, self._looking):
            if timer is not None:
                timer.cancel()
        self.leasing.close()
        await self.workforce.aclose()
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, RunnerError):
                await self._opening
        if self._nursery is not None and self._owns_nursery:
            await self._nursery.aclose()

    async def run(
        self, run_id: str, message: CallMessage, handler: CallHandler, *,
        deadline: float | None = None, repeat: bool = True, step: str = "", session: str = "",
        streams: bool = False,
    ) -> Outcome:  # fmt: skip
        """Do a call in a worker leased to the run. `deadline` is in the loop's time; it and the pool's
        timeout profile (`streams` says which of its limits) bound waiting and work together. `step` is
        what the figures say that the worker does.

        A call whose worker is lost is done anew, at most `lost_retries` times, unless `repeat` is
        False (it has side effects). In a pool that keeps its workers, calls of one `session` (the run,
        unless one is named) go to one worker. Raises WorkerLost, PoolBusy, CircuitOpen, StepTimeout,
        WorkerBusy, SessionWorkerUnavailable, or why workers can't be started. Cancelling it stops the
        call, if need be by killing the worker.
        """
        now = asyncio.get_running_loop().time()
        if not self.breaker.admits(now):
            self.totals.refused[Refusal.CIRCUIT_OPEN] += 1
            raise self._open_circuit(now)
        end = budget(self.settings.timeouts, now=now, deadline=deadline, streams=streams)
        try:
            if self.ready is None:
                await self.start()
            waiter = Waiter(run_id=run_id, step=step, repeat=repeat, session=session)
            outcome = await self._attempts(waiter, message, handler, end)
        except _POOL_FAILED as error:
            self._last_failure = error.message
            self.breaker.failed(asyncio.get_running_loop().time())
            raise
        except BaseException:
            self.breaker.undecided()
            raise
        self.breaker.succeeded()
        return outcome

    @contextlib.asynccontextmanager
    async def leased(
        self, run_id: str, deadline: float | None = None
    ) -> AsyncIterator[WorkerProxy]:
        """A worker to speak to directly, for as long as the block lasts; calls may be pipelined. For
        health checks and measurements: nobody repeats a call whose worker is lost here."""
        if self.ready is None:
            await self.start()
        waiter = Waiter(run_id=run_id)
        worker = await self.leasing.lease(waiter, deadline)
        try:
            yield worker
        finally:
            self.leasing.rest(worker, waiter)

    async def release_run(self, run_id: str) -> None:
        """The run needs its workers no more: kill them."""
        if self.settings.reuse:
            return
        for worker in self.workforce:
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
        return stats_of(self, asyncio.get_running_loop().time())

    # What an administrator may do while it runs

    def scale(self, size: int, spares: int) -> None:
        """Have at most `size` workers from now on, and so many spares."""
        self.leasing.scale(size, spares)

    def drain(self) -> None:
        """Begin no step, and end every worker when its step is over."""
        self.leasing.drain()

    def resume(self) -> None:
        """Take steps again."""
        self.leasing.resume()

    def retire(self, number: int) -> None:
        """Have this worker do no further step, and another one in its place. One that is gone already is
        no error."""
        worker = self.workforce.workers.get(number)
        if worker is not None:
            self.workforce.retire(worker, "an administrator replaced it")

    def reset_breaker(self) -> None:
        """Take calls again, whatever failed."""
        self.breaker.reset()

    # Ends of workers

    def _ended(self, worker: WorkerProxy) -> None:
        now = asyncio.get_running_loop().time()
        reason = worker.reason or EndReason.LOST
        if reason.is_crash:
            suspects = tuple(Suspect(place.run_id, place.step) for place in worker.at_work)
            self.barrier.crashed(Crash(suspects, worker.number, reason, now))
        self.totals.ends[reason] += 1
        self.history.ended(worker.obituary(now))
        self.leasing.ended(worker, lost=reason.is_crash)

    # Calls

    async def _attempts(
        self, waiter: Waiter, message: CallMessage, handler: CallHandler, end: float | None
    ) -> Outcome:
        lost = unavailable = 0
        asked = asyncio.get_running_loop().time()
        while True:
            if self.settings.reuse:
                self.leasing.find_session(waiter)
            try:
                worker = await self.leasing.lease(waiter, end)
            except (WorkersUnavailable, WorkerLost):
                # The forkserver died, or the worker as it started. Nothing had begun: try again.
                unavailable += 1
                if unavailable > self.settings.lost_retries:
                    raise
                await self._back_off(unavailable, end)
                continue
            try:
                return await self._do(worker, waiter, message, handler, asked, end)
            except WorkerLost as error:
                lost += 1
                self.totals.lost += 1
                if not waiter.repeat or lost > self.settings.lost_retries:
                    raise
                self.totals.retried += 1
                handler.lost(error)
                asked = asyncio.get_running_loop().time()
                with self.leasing.returning():
                    await self._back_off(lost, end)

    async def _back_off(self, lost: int, end: float | None) -> None:
        wait = self.barrier.backoff(lost, random.random())  # noqa: S311 (jitter)
        if end is not None:
            wait = min(wait, max(0.0, end - asyncio.get_running_loop().time()))
        await asyncio.sleep(wait)

    async def _do(
        self, worker: WorkerProxy, waiter: Waiter, message: CallMessage, handler: CallHandler,
        asked: float, end: float | None,
    ) -> Outcome:  # fmt: skip
        loop = asyncio.get_running_loop()
        wire, sent = worker.wire, loop.time()
        before = wire.traffic.copy()
        try:
            ticket = worker.call(message, handler)
            answer = await answer_of(ticket, deadline=end, grace=self.settings.cancel_grace)
        except OutOfTime:
            raise StepTimeout(
                f"The step's time was up: it waited {sent - asked:.2g} s for a worker of pool "
                f"'{self.settings.name}', and worked for {loop.time() - sent:.2g} s."
            ) from None
        finally:
            self.leasing.rest(worker, waiter)
        self.totals.calls += 1
        self.history.called()
        return Outcome(
            message=answer,
            worker=worker,
            format=wire.format.name,
            traffic=ticket.traffic or wire.traffic.since(before),
            seconds=loop.time() - sent,
            queued=sent - asked,
        )

    # Opening

    async def _open(self) -> Ready:
        """Who is killed as it loads is started again, like who is killed later."""
        for lost in itertools.count(1):
            try:
                return await self._begin()
            except (ForkserverEnded, WorkerLost) as error:
                by_itself = error.details.get("reason", EndReason.KILLED) not in FROM_OUTSIDE
                if by_itself or lost > self.settings.lost_retries:
                    raise
            await self._back_off(lost, None)
        raise AssertionError

    async def _begin(self) -> Ready:
        if self._nursery is None:
            self._nursery = ForkNursery(
                self.settings.worker,
                limit=self.settings.limit,
                isolation=self.settings.isolation,
            )
        await self._nursery.start()
        self.workforce.nursery = self._nursery
        error = await self.workforce.start_one()
        if error is not None:
            raise error
        self.ready = self.workforce.ready
        assert self.ready is not None
        if self._beating is None:
            self._beat()
            self._look()
        return self.ready

    def _beat(self) -> None:
        self.workforce.beat()
        loop = asyncio.get_running_loop()
        self._beating = loop.call_later(self.settings.heartbeat.interval, self._beat)

    def _look(self) -> None:
        """Reconcile: see what there is, and what there should be."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.workforce.heal(now)
        self.leasing.look(now)
        self._looking = loop.call_later(self.settings.reconcile, self._look)

    def _open_circuit(self, now: float) -> CircuitOpen:
        name = self.settings.name
        return CircuitOpen(
            f"Pool '{name}' takes no calls for {self.breaker.opens_in(now):.0f} s: "
            f"{self.breaker.failing} failed in a row. The last: {self._last_failure}"
        )
