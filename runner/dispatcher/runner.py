"""Everything that executes runs in a process, put together."""

import asyncio
import gc
import logging
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from runner.dispatcher.dispatcher import Dispatcher, DispatcherSettings
from runner.dispatcher.hosts import Hosts
from runner.dispatcher.pool_orders import PoolOrders
from runner.dispatcher.probing import Probing
from runner.dispatcher.worker_figures import WorkerFigures
from runner.engine.errors import RunnerError
from runner.host import HostSettings
from runner.live import Publisher
from runner.lm.metrics import METRICS
from runner.lm.telemetry import SpanExporter
from runner.recorder import DatabaseThread, Recorder
from runner.services import forget_unused_indexes, measure, note_modules, prune

logger = logging.getLogger(__name__)

WORKERS_TOLD = 2.0
ORDERS_READ = 1.0
FIGURES_KEPT = 2.0
PRUNED = 3600.0
PROBED = 5.0
MEASURED = 60.0
"""Seconds between the figures of the workers page, looks for what administrators ask of pools, syncs of
the router's figures, looks for old runs, for providers that are back, and for runs to measure."""
BREATH = 0.1
"""Seconds between two hundreds of runs that are measured."""

OPEN_FILES = 16_384


class Runner:
    """The publisher, recorder, hosts and dispatcher of one event loop."""

    def __init__(
        self,
        *,
        host: HostSettings | None = None,
        dispatcher: DispatcherSettings | None = None,
    ) -> None:
        self.publisher = Publisher()
        self.recorder = Recorder(self.publisher, largest=settings.MAX_VALUE)
        self._thread = DatabaseThread("dispatcher")
        self._spans = (
            SpanExporter(settings.OTLP_ENDPOINT, settings.OTLP_HEADERS)
            if settings.OTLP_ENDPOINT
            else None
        )
        tell = [METRICS.record, *([self._spans.record] if self._spans else [])]
        self.hosts = Hosts(
            host or HostSettings(pools=settings.POOLS), self.recorder, self._thread, tell=tell
        )
        self.dispatcher = Dispatcher(
            publisher=self.publisher,
            recorder=self.recorder,
            thread=self._thread,
            hosts=self.hosts,
            settings=dispatcher
            or DispatcherSettings(
                concurrency=settings.CONCURRENT_RUNS, lease=settings.LEASE_SECONDS
            ),
        )
        pools, name = self.hosts.shared.pools, self.dispatcher.settings.owner
        self._orders = PoolOrders(pools, self._thread, runner=name)
        self._figures = WorkerFigures(pools, self.publisher, self._thread, runner=name)

    def start(self) -> None:
        """On a running event loop."""
        spare_the_collector()
        allow_connections()
        self.publisher.start()
        self.recorder.start()
        self._thread.start()
        self.dispatcher.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._tell_workers()),
            loop.create_task(self._prune()),
            loop.create_task(self._measure()),
            loop.create_task(self._keep_figures()),
            loop.create_task(self._probe(Probing(self._thread, loop.time))),
        ]

    async def warm_up(self) -> None:
        """Load DSPy and the embedded model before the first run asks for them, one after the other:
        each takes a core for a second or two."""
        for begin in (self.hosts.shared.pools.start, self.hosts.start_local_model):
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
        with suppress(DatabaseError):
            await self.hosts.figures.sync()
            await self._figures.forget()
        if self._spans is not None:
            await self._spans.aclose()
        await self.recorder.aclose()
        await self.publisher.aclose()
        await self._thread.aclose()

    async def _tell_workers(self) -> None:
        """What administrators ask of the pools, and how these are."""
        due = 0.0
        while True:
            try:
                obeyed = await self._orders.sync()
                if obeyed or self._loop_time() >= due:
                    due = self._loop_time() + WORKERS_TOLD
                    await self._figures.tell(self.dispatcher.running)
            except DatabaseError as error:
                logger.warning("The figures of workers could not be kept: %s", error)
            await asyncio.sleep(ORDERS_READ)

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    async def _keep_figures(self) -> None:
        """The router's figures, and once what the workers' DSPy can do."""
        noted = None
        while True:
            try:
                await self.hosts.figures.sync()
                ready = self.hosts.shared.pools.ready
                if ready is not None and ready.modules != noted:
                    await self._thread.do(lambda known: note_modules(ready=known), ready)
                    noted = ready.modules
            except DatabaseError as error:
                logger.warning("The router's figures could not be kept, trying again: %s", error)
            await asyncio.sleep(FIGURES_KEPT)

    async def _probe(self, probing: Probing) -> None:
        """Whether providers that were away are back."""
        while True:
            await asyncio.sleep(PROBED)
            try:
                await probing.look()
            except DatabaseError as error:
                logger.warning("Suspended runs could not be looked at: %s", error)

    async def _measure(self) -> None:
        """What ended runs left, a little at a time, so that the page of what is kept has it."""
        while True:
            measured = 0
            try:
                measured = await self._thread.do(measure)
            except DatabaseError as error:
                logger.warning("What runs left could not be measured, trying again: %s", error)
            await asyncio.sleep(BREATH if measured else MEASURED)

    async def _prune(self) -> None:
        """Retention: a little at a time, so that nobody waits for it."""
        while True:
            try:
                deleted = await self._thread.do(lambda: prune(now=timezone.now()))
                if not deleted:
                    await self._thread.do(forget_unused_indexes)
                await asyncio.sleep(1 if deleted else PRUNED)
            except DatabaseError as error:
                logger.warning("Old runs could not be deleted, trying again later: %s", error)
                await asyncio.sleep(PRUNED)


def spare_the_collector() -> None:
    """Let Python's collector of cyclic garbage look at less, and less often.

    By default it walks through what a thousand runs hold again and again: a third of the processor
    time, measured. What is loaded by now stays, so it is not looked at any more; and a run leaves
    hardly any cycles behind. One look at the youngest objects takes some milliseconds.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def allow_connections() -> None:
    """Have as many files and connections open as the system lets: each LM call has one, and many systems
    begin with 1,024."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
