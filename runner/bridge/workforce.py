"""The live workers of one pool: started in batches, kept well, replaced when they have served enough.

Everything is told by events. Once a second it looks by itself all the same (`heal`), for what no event
told: a worker that died while something else held its socket, a start that got stuck.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from runner.bridge.endings import EndReason
from runner.bridge.messages import Ready
from runner.bridge.nursery import Nursery
from runner.bridge.pacing import Pacer
from runner.bridge.places import WorkerState
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.process_memory import OutOfMemoryKills
from runner.bridge.proxy import WorkerProxy
from runner.bridge.recycling import why_recycled
from runner.engine.errors import RunnerError

_STUCK = 2.0
"""A start that takes so many times as long as it may is stuck."""


class Workforce:
    """`changed` is told when a worker is ready, or more may be started; `ended` of each end; `refused`
    when one could not be started."""

    def __init__(
        self,
        settings: PoolSettings,
        *,
        changed: Callable[[], None],
        ended: Callable[[WorkerProxy], None],
        refused: Callable[[RunnerError], None],
    ) -> None:
        self.settings = settings
        self.nursery: Nursery | None = None
        self.ready: Ready | None = None
        self.started = 0
        self._changed, self._told_end, self._refused = changed, ended, refused
        self._workers: dict[int, WorkerProxy] = {}
        self._numbers = count(1)
        self._pacer = Pacer(settings.pace)
        self._out_of_memory = OutOfMemoryKills()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._paced: asyncio.TimerHandle | None = None
        self._looks_dead: set[int] = set()

    def __iter__(self) -> Iterator[WorkerProxy]:
        return iter(tuple(self._workers.values()))

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def workers(self) -> "dict[int, WorkerProxy]":
        """By number; not to be changed."""
        return self._workers

    def start(self, number: int) -> None:
        """Start so many, as far as the pace allows; the others when it does."""
        now = asyncio.get_running_loop().time()
        room = self._pacer.room(now)
        for _ in range(min(number, room)):
            self.start_one()
        if number > room and self._paced is None:
            self._paced = asyncio.get_running_loop().call_at(self._pacer.next_at(now), self._again)

    def start_one(self) -> asyncio.Task[RunnerError | None]:
        """Start one now. The task's result is why it could not be, None when it is ready."""
        assert self.nursery is not None
        worker = WorkerProxy(
            next(self._numbers),
            self.nursery,
            pool=self.settings.name,
            offered=self.settings.formats,
            limit=self.settings.limit,
            on_end=self._ended,
            out_of_memory=self._out_of_memory,
            threads=self.settings.threads,
        )
        self._workers[worker.number] = worker
        self.started += 1
        self._pacer.started(asyncio.get_running_loop().time())
        task = asyncio.create_task(self._bring_up(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def retire(self, worker: WorkerProxy, why: str) -> None:
        """Have it do no further step; end it now if it does none, else after the last of them."""
        worker.retire(why)
        if worker.state is WorkerState.IDLE:
            worker.kill(worker.retiring, worker.retires_as)

    def has_served(self, worker: WorkerProxy) -> bool:
        """Whether a worker of which a step is over is to be given up; then it was. Asked here as well as
        when it rests, since in a pool with much to do it never does."""
        if not worker.retiring:
            now = asyncio.get_running_loop().time()
            why = self._why_recycled(worker, now, idle=0.0)
            if not why:
                return False
            worker.retire(why)
        self.retire(worker, worker.retiring)
        return True

    def beat(self) -> None:
        for worker in self:
            worker.beat(self.settings.heartbeat)

    def heal(self, now: float) -> None:
        """Look after every worker, and give up those that have served enough."""
        assert self.nursery is not None
        self.nursery.heal()
        for worker in self:
            if worker.state is WorkerState.STARTING:
                if now - worker.figures.started > self.settings.ready_timeout * _STUCK:
                    worker.discard()
            elif worker.state is not WorkerState.STOPPING:
                self._look_at(worker, now)

    async def aclose(self) -> None:
        if self._paced is not None:
            self._paced.cancel()
        for worker in self:
            worker.kill("the pool is closed")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look_at(self, worker: WorkerProxy, now: float) -> None:
        assert self.nursery is not None
        is_dead, worker.memory = self.nursery.vitals(worker.pid)
        if is_dead and worker.number in self._looks_dead:
            worker.died_unseen()
        elif is_dead:
            self._looks_dead.add(worker.number)  # its end may be on the way to us
        elif worker.stuck_since and self._is_stuck_too_long(worker, now):
            worker.kill(worker.retiring, EndReason.STOPPED)
        elif worker.retiring:
            self.retire(worker, worker.retiring)  # it was starting when it was told
        elif worker.is_free:
            idle = 0.0 if worker.at_work else now - worker.figures.used
            if why := self._why_recycled(worker, now, idle=idle):
                self.retire(worker, why)

    def _why_recycled(self, worker: WorkerProxy, now: float, *, idle: float) -> str:
        return why_recycled(
            self.settings.recycling,
            calls=worker.figures.calls,
            age=now - worker.figures.started,
            idle=idle,
            memory=worker.memory,
        )

    def _is_stuck_too_long(self, worker: WorkerProxy, now: float) -> bool:
        """Whether those beside a step that does not stop had their time. Those that may not be done anew
        have all of it."""
        over = now - worker.stuck_since > self.settings.stuck_grace
        return over and all(place.repeat for place in worker.at_work)

    def _again(self) -> None:
        self._paced = None
        self._changed()

    async def _bring_up(self, worker: WorkerProxy) -> RunnerError | None:
        try:
            self.ready = await worker.start(self.settings.ready_timeout)
        except RunnerError as error:
            loop = asyncio.get_running_loop()
            self._pacer.failed(loop.time())
            worker.discard()
            self._refused(error)
            loop.call_at(self._pacer.next_at(loop.time()), self._changed)
            return error
        self._changed()
        return None

    def _ended(self, worker: WorkerProxy) -> None:
        self._workers.pop(worker.number, None)
        self._looks_dead.discard(worker.number)
        self._told_end(worker)
