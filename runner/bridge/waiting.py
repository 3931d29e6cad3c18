"""Who waits for a worker of a pool, in order."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.bridge.places import Place
from runner.bridge.proxy import WorkerProxy


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter(Place):
    """A step that wants a place, which is then this. `bound` is the number of its session's worker, 0
    for any; `fresh`: one that nobody used before, and nobody will beside or after it."""

    session: str = ""
    bound: int = 0
    strict: bool = False
    fresh: bool = False
    worker: asyncio.Future[WorkerProxy] = field(init=False)


class WaitingLine:
    """First come, first served; who gave up leaves no gap."""

    def __init__(self) -> None:
        self._waiters: dict[Waiter, None] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Who still waits, while the line may change."""
        return (waiter for waiter in tuple(self._waiters) if not waiter.worker.done())

    def join(self, waiter: Waiter) -> None:
        waiter.worker = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Also of one that has left."""
        self._waiters.pop(waiter, None)

    def purge(self) -> None:
        """Drop entries whose step was cancelled or served, should any have stayed."""
        for waiter in tuple(self._waiters):
            if waiter.worker.done():
                del self._waiters[waiter]

    def grant(self, waiter: Waiter, worker: WorkerProxy) -> None:
        self.leave(waiter)
        waiter.worker.set_result(worker)

    def refuse(self, error: Exception) -> None:
        """Tell everybody that there will be no worker."""
        for waiter in self:
            waiter.worker.set_exception(error)
