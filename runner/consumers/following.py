"""Runs that another process executes, where the channel layer does not reach that process.

With Redis between them nothing of this runs. Without it, a process that serves pages hears nothing of what
a runner beside it does, so each socket looks into the database, twice a second and for two numbers a run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from channels.db import database_sync_to_async
from channels.layers import InMemoryChannelLayer
from django.db import DatabaseError
from django.db.models import Sum
from django.db.models.functions import Length

from runner.live import HERE
from runner.models import Run, Stream

LOOK = 0.5
"""Seconds between looks."""


class Watched(Protocol):
    """A run on a socket."""

    seq: int
    behind: bool


class Following:
    """Catches up with runs of one socket that go on elsewhere."""

    def __init__(
        self, runs: Mapping[UUID, Watched], catch_up: Callable[[UUID], Awaitable[None]]
    ) -> None:
        self._runs, self._catch_up = runs, catch_up
        self._seen: dict[UUID, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, layer: Any) -> None:
        """On the first run that is watched."""
        if self._task is None and isinstance(layer, InMemoryChannelLayer):
            self._task = asyncio.create_task(self._follow())

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
            try:
                found = await database_sync_to_async(_progress)(elsewhere)
            except DatabaseError:
                continue  # it is away; the next look may find it
            for run, (seq, length) in found.items():
                known = self._runs.get(run)
                grown = self._seen.get(run, length) != length
                self._seen[run] = length
                if known is not None and (seq > known.seq or grown):
                    await self._catch_up(run)


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
