"""All pools of a host, by name. Pools whose workers are of one module share a forkserver, so one that
nobody uses costs nothing, and one that is used for the first time has its worker in 20 ms."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from runner.bridge.isolation import Isolation
from runner.bridge.messages import Ready
from runner.bridge.nursery import ForkNursery, Nursery
from runner.bridge.pool import Pool
from runner.bridge.pool_choice import GENERAL, pool_for
from runner.bridge.pool_settings import PoolSettings

type _Kind = tuple[str, int, Isolation]


class Pools:
    """The pools of these settings. `nursery` is for all of them, in tests."""

    def __init__(self, settings: Iterable[PoolSettings], nursery: Nursery | None = None) -> None:
        self._nurseries: dict[_Kind, Nursery] = {}
        self._given = nursery
        self._pools = {
            each.name: Pool(each, self._nursery_of(each), shares_nursery=True) for each in settings
        }

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def __getitem__(self, name: str) -> Pool:
        return self._pools[name]

    def __contains__(self, name: str) -> bool:
        return name in self._pools

    @property
    def general(self) -> Pool:
        return self._pools[GENERAL]

    @property
    def ready(self) -> Ready | None:
        """What the workers are; None before the first one. They are alike in all pools."""
        return next((pool.ready for pool in self if pool.ready is not None), None)

    def for_modules(self, modules: Iterable[str]) -> Pool:
        """The pool of a step that runs these modules."""
        return self._pools[pool_for(modules)]

    async def start(self) -> Ready:
        """Have the forkserver load, and a first worker of the general pool."""
        return await self.general.start()

    async def release_run(self, run_id: str) -> None:
        """The run needs its workers no more."""
        for pool in self:
            await pool.release_run(run_id)

    def stats(self) -> list[dict[str, Any]]:
        """Figures of every pool, for a page."""
        return [pool.stats() for pool in self]

    async def aclose(self) -> None:
        """End all workers and forkservers."""
        await asyncio.gather(*(pool.aclose() for pool in self))
        nurseries = [self._given] if self._given is not None else list(self._nurseries.values())
        await asyncio.gather(*(nursery.aclose() for nursery in nurseries))

    def _nursery_of(self, settings: PoolSettings) -> Nursery:
        if self._given is not None:
            return self._given
        kind = (settings.worker, settings.limit, settings.isolation)
        if kind not in self._nurseries:
            self._nurseries[kind] = ForkNursery(
                settings.worker, limit=settings.limit, isolation=settings.isolation
            )
        return self._nurseries[kind]


class OnePool(Pools):
    """Every step in one pool: for tests and measurements."""

    def __init__(self, pool: Pool) -> None:
        self._pools = {pool.settings.name: pool}
        self._given, self._nurseries = None, {}

    def for_modules(self, modules: Iterable[str]) -> Pool:
        (pool,) = self
        return pool

    async def start(self) -> Ready:
        return await self.for_modules(()).start()
