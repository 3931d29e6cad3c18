"""A thread that holds one database connection and does jobs on it, in the order they come.

An event loop must never wait for a lock or a disk; a pool of threads would hold a connection each and
lose the order.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from django.db import connections

from runner.recorder.patience import AWAY, PATIENCE, pauses


class DatabaseThread:
    """Serves one event loop. Jobs are plain functions that use the ORM or the connection."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def patiently[T](self, job: Callable[..., T], *arguments: Any) -> T:
        """As `do`; while the database is away it is done again, for a minute. Others have their turn in
        between."""
        assert self._loop is not None, "The thread was not started."
        until = self._loop.time() + PATIENCE
        for pause in pauses():
            try:
                return await self.do(job, *arguments)
            except AWAY:
                if self._loop.time() > until:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def do[T](self, job: Callable[..., T], *arguments: Any) -> T:
        """What the job returns or raises. Cancelling the caller does not stop a job under way."""
        assert self._loop is not None, "The thread was not started."
        future: asyncio.Future[T] = self._loop.create_future()

        def work() -> None:
            try:
                answer = job(*arguments)
            except Exception as error:
                if isinstance(error, AWAY):
                    connections.close_all()  # else it would never be had again
                self.tell(_settle, future, None, error)
            else:
                self.tell(_settle, future, answer, None)

        self._jobs.put(work)
        return await future

    def put(self, job: Callable[[], None]) -> None:
        """Do the job when its turn comes; it must not raise. For what is told in another way."""
        self._jobs.put(job)

    def tell(self, hear: Callable[..., None], *arguments: Any) -> None:
        """Call `hear` on the event loop. Nobody is left to hear it when the loop has ended."""
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(hear, *arguments)

    async def aclose(self) -> None:
        """Do what was asked for so far, then end."""
        if self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
        finally:
            connections.close_all()


def _settle(future: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)
