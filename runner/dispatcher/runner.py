"""Everything that executes runs in a process, put together."""

import asyncio
import logging

from django.db import DatabaseError
from django.utils import timezone

from runner.dispatcher.dispatcher import Dispatcher, DispatcherSettings
from runner.dispatcher.hosts import Hosts
from runner.engine.errors import RunnerError
from runner.host import HostSettings
from runner.live import WORKERS, Publisher
from runner.recorder import DatabaseThread, Recorder
from runner.services import prune

logger = logging.getLogger(__name__)

WORKERS_TOLD = 2.0
PRUNED = 3600.0
"""Seconds between the figures of the workers page, and between looks for old runs."""


class Runner:
    """The publisher, recorder, hosts and dispatcher of one event loop."""

    def __init__(
        self,
        *,
        host: HostSettings | None = None,
        dispatcher: DispatcherSettings | None = None,
    ) -> None:
        self.publisher = Publisher()
        self.recorder = Recorder(self.publisher)
        self._thread = DatabaseThread("dispatcher")
        self.hosts = Hosts(host or HostSettings(), self.recorder, self._thread)
        self.dispatcher = Dispatcher(
            publisher=self.publisher,
            recorder=self.recorder,
            thread=self._thread,
            hosts=self.hosts,
            settings=dispatcher,
        )

    def start(self) -> None:
        """On a running event loop."""
        self.publisher.start()
        self.recorder.start()
        self._thread.start()
        self.dispatcher.start()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tell_workers()), loop.create_task(self._prune())]

    async def warm_up(self) -> None:
        """Load DSPy and the embedded model before the first run asks for them, one after the other:
        each takes a core for a second or two."""
        for begin in (self.hosts.shared.pool.start, self.hosts.start_local_model):
            try:
                await begin()
            except RunnerError as error:
                logger.warning("Not ready yet: %s", error.message)

    async def stop(self) -> None:
        """Leave what goes on to the next runner, and end everything that was started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.dispatcher.stop()
        await self.hosts.aclose()
        await self.recorder.aclose()
        await self.publisher.aclose()
        await self._thread.aclose()

    async def _tell_workers(self) -> None:
        while True:
            pool = self.hosts.shared.pool.stats()
            # Whose run a worker has is not for everybody who looks at the workers.
            pool["workers"] = [{**worker, "run_id": ""} for worker in pool["workers"]]
            stats = {"runs": self.dispatcher.running, "pools": [pool]}
            self.publisher.tell(WORKERS, "live.workers", stats=stats)
            await asyncio.sleep(WORKERS_TOLD)

    async def _prune(self) -> None:
        """Retention: a little at a time, so that nobody waits for it."""
        while True:
            try:
                deleted = await self._thread.do(lambda: prune(now=timezone.now()))
                await asyncio.sleep(1 if deleted else PRUNED)
            except DatabaseError as error:
                logger.warning("Old runs could not be deleted, trying again later: %s", error)
                await asyncio.sleep(PRUNED)
