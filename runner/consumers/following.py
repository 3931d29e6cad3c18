"""Looks into the database for what a socket was not told of its runs.

Within a process the channel layer carries all of it, and nothing is looked for. Of a run that another process
executes nothing comes without Redis: then each socket looks twice a second, for two numbers a run. With Redis
it looks now and then: what was told while Redis was away is lost, and if that was a run's end nothing follows
by whose number it would be missed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.layers import InMemoryChannelLayer
from django.db import DatabaseError
from django.db.models import Sum
from django.db.models.functions import Length

from runner.consumers.watched import Watched
from runner.live import HERE
from runner.models import Run, Stream

LOOK = 0.5
SELDOM = 3.0
"""Seconds between looks without Redis, and with it."""


class Following:
    """Catches up with runs of one socket that go on elsewhere."""

    def __init__(
        self, runs: Mapping[UUID, Watched], catch_up: Callable[[UUID], Awaitable[None]]
    ) -> None:
        self._runs, self._catch_up = runs, catch_up
        self._seen: dict[
            UUID, int
        ] = {}  # by run: how much text, or with Redis, which event was the last
        self._task: asyncio.Task[None] | None = None

    def start(self, layer: Any) -> None:
        """On the first run that is watched."""
        if self._task is None:
            alone = isinstance(layer, InMemoryChannelLayer)
            self._task = asyncio.create_task(self._follow() if alone else self._make_sure())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            elsewhere = [
                run for run, known in self._runs.items() if not known.behind and run not in HERE
            ]
            if not elsewhere:
                continue
            for run, (seq, length) in (await _looked(_progress, elsewhere)).items():
                known = self._runs.get(run)
                grown = self._seen.get(run, length) != length
                self._seen[run] = length
                if known is not None and (seq > known.seq or grown):
                    await self._try_to_catch_up(run)

    async def _make_sure(self) -> None:
        """Catch up where what the last look found has not come until now."""
        while True:
            await asyncio.sleep(SELDOM)
            for run, known in tuple(self._runs.items()):
                if self._seen.get(run, 0) > known.seq and not known.behind:
                    await self._try_to_catch_up(run)
            self._seen = await _looked(_last_events, list(self._runs))

    async def _try_to_catch_up(self, run: UUID) -> None:
        with suppress(DatabaseError):  # the next look may find it back
            await self._catch_up(run)


async def _looked[T](
    look: Callable[[list[UUID]], dict[UUID, T]], runs: list[UUID]
) -> dict[UUID, T]:
    """Nothing while the database is away; the next look may find it."""
    try:
        return await database_sync_to_async(look)(runs) if runs else {}
    except DatabaseError:
        return {}


def _last_events(runs: list[UUID]) -> dict[UUID, int]:
    return dict(Run.objects.filter(pk__in=runs).order_by().values_list("pk", "last_seq"))


def _progress(runs: list[UUID]) -> dict[UUID, tuple[int, int]]:
    """The last event of each run that goes on or has ended, and how much text its open streams have."""
    lengths = dict(
        Stream.objects.filter(run__in=runs, closed_seq__isnull=True)
        .order_by()
        .values_list("run")
        .annotate(length=Sum(Length("text")))
    )
    found = Run.objects.filter(pk__in=runs).order_by().values_list("pk", "last_seq")
    return {pk: (seq, lengths.get(pk, 0)) for pk, seq in found}
