"""Tells the workers page how the pools of this runner are."""

import asyncio
from typing import Any

from django.utils import timezone

from runner.bridge.pools import Pools
from runner.bridge.process_memory import memory_of
from runner.live import WORKERS, Publisher
from runner.recorder import DatabaseThread
from runner.services.pools import forget_runner_figures, keep_runner_figures

KEPT = 10.0
"""Seconds until figures in which nothing happened are stored again."""


class WorkerFigures:
    """What is told goes to whoever has the page open. It is stored, for who opens it next, when
    something happened."""

    def __init__(
        self, pools: Pools, publisher: Publisher, thread: DatabaseThread, *, runner: str
    ) -> None:
        self._pools, self._publisher, self._thread = pools, publisher, thread
        self._runner = runner
        self._kept_gist: object = None
        self._kept_at = 0.0

    async def tell(self, runs: int) -> None:
        """Measure, tell and store. DatabaseError when it can't be stored."""
        stats = {"runner": self._runner, "runs": runs, "pools": await self._measured()}
        self._publisher.tell(WORKERS, "live.workers", stats=stats)
        now, gist = asyncio.get_running_loop().time(), gist_of(stats)
        if gist == self._kept_gist and now < self._kept_at + KEPT:
            return
        await self._thread.do(self._keep, stats)
        self._kept_gist, self._kept_at = gist, now

    async def forget(self) -> None:
        """The runner ends."""
        await self._thread.do(lambda: forget_runner_figures(runner=self._runner))

    def _keep(self, stats: dict[str, Any]) -> None:
        keep_runner_figures(runner=self._runner, stats=stats, now=timezone.now())

    async def _measured(self) -> list[dict[str, Any]]:
        pools = self._pools.stats()
        workers = [worker for pool in pools for worker in pool["workers"]]
        pids = [worker["pid"] for worker in workers]
        memory = await asyncio.to_thread(lambda: [memory_of(pid) for pid in pids])
        for worker, taken in zip(workers, memory, strict=True):
            worker["memory"] = taken
        return pools


def gist_of(stats: dict[str, Any]) -> object:
    """The part of the figures that changes only when something happens."""
    return [
        (
            *(pool[key] for key in ("pool", "size", "state", "queued", "calls", "started")),
            [(worker["number"], worker["state"], worker["steps"]) for worker in pool["workers"]],
        )
        for pool in stats["pools"]
    ]
