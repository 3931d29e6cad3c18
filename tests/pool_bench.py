"""A real pool with scripted workers, and the calls under way in it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.frames import Kind
from runner.bridge.messages import CallMessage, ResultMessage
from runner.bridge.nursery import Newborn, OnExit, WorkersUnavailable
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.testing import Recorder, ScriptedNursery, ScriptedWorker

CALL = CallMessage(operation="echo", payload={"text": "hi"})


class Nursery(ScriptedNursery):
    """Can't fork for the next `failing` times, as its forkserver has just died."""

    failing = 0

    async def fork(self, on_exit: OnExit) -> Newborn:
        if self.failing:
            self.failing -= 1
            raise WorkersUnavailable("The forkserver ended.")
        return await super().fork(on_exit)


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.nursery = Nursery()
        own = {"spares": 0, "size": 2, "barrier": BarrierSettings(backoff=())}
        self.pool = Pool(PoolSettings(**{**own, **settings}), self.nursery)
        self.handler = Recorder()
        self.calls: list[asyncio.Task[Outcome]] = []

    def call(self, run_id: str = "run", **options: Any) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(self.pool.run(run_id, CALL, self.handler, **options))
        self.calls.append(task)
        return task

    async def worker(self) -> ScriptedWorker:
        """The next worker that the pool asks for, ready."""
        worker = await self.nursery.next()
        await worker.shake_hands()
        return worker

    async def aclose(self) -> None:
        for task in self.calls:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self.pool.aclose()


type MakeBench = Callable[..., Bench]


async def until(holds: Callable[[], object]) -> None:
    """Return when it holds; a failure when it does not within seconds, however busy the machine is."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.002)


async def finish(worker: ScriptedWorker, value: Any = "done") -> None:
    """Take the next call and answer it."""
    received = await worker.expect(Kind.CALL)
    await worker.send(Kind.RESULT, received.request, ResultMessage(value=value))
