"""The router's figures in the database: they survive a restart, and all runners add to the same.

A step never waits for them. What happens counts in memory at once; every other second it is added to the
database, and what others added or an administrator changed comes back.
"""

from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from pipelines.graph.graph import Backend
from runner.engine.figures import Entry, MemoryFigures, Outcome, Subject
from runner.models import RouterSubject
from runner.recorder.database_thread import DatabaseThread
from runner.services.router import Told, figures_since, keep_figures

MOST_KEPT = 5_000
"""Outcomes that wait while the database is not to be had; older ones are dropped."""


class DatabaseFigures:
    """A FigureStore. Lives on one event loop; `sync` is called again and again by its owner."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._memory = MemoryFigures()
        self._told: list[Told] = []
        self._seen: datetime | None = None

    def entry(self, subject: Subject) -> Entry:
        return self._memory.entry(subject)

    def add(self, subject: Subject, backend: Backend, outcome: Outcome) -> None:
        self._memory.add(subject, backend, outcome)
        self._told.append((subject, backend, outcome))
        del self._told[:-MOST_KEPT]

    async def sync(self) -> None:
        """Write what was told since the last time, and read what changed."""
        told, self._told = self._told, []
        try:
            rows, now = await self._thread.do(self._exchange, told)
        except BaseException:
            self._told = told + self._told
            raise
        self._seen = now
        for row in rows:
            self._take(row)

    def _exchange(self, told: Sequence[Told]) -> tuple[list[RouterSubject], datetime]:
        now = timezone.now()
        if told:
            keep_figures(told=told, now=now)
        return figures_since(self._seen), now

    def _take(self, row: RouterSubject) -> None:
        """A row as it is now, with what happened while it was read."""
        subject, stored = row.subject, row.entry
        entry = self._memory.entry(subject)
        entry.figures, entry.pin = stored.figures, stored.pin
        for about, backend, outcome in self._told:
            if about == subject:
                entry.figures[backend] = entry.of(backend).after(outcome)
