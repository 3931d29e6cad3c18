"""What the database holds of each project, in rows and bytes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, QuerySet, Sum

from pipelines.models import Project
from runner.models import (
    Artifact,
    CachedAnswer,
    Event,
    PinnedOutput,
    ReplayAnswer,
    Run,
    RunQuerySet,
    Stream,
)
from runner.models.bytes import Bytes
from runner.services.sizes import measure, sums


@dataclass(slots=True)
class Share:
    """Rows of one sort, and the bytes of their values."""

    rows: int = 0
    size: int = 0

    def add(self, rows: int, size: int) -> None:
        self.rows, self.size = self.rows + rows, self.size + size


@dataclass(slots=True, kw_only=True)
class Kept:
    """What is kept of a project, by sort; `days`: how long its finished runs are, 0 for good."""

    project: Project
    days: int
    shares: dict[str, Share] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(share.size for share in self.shares.values())


SORTS = ("runs", "events", "artifacts", "answers", "cached")
"""Runs; what they told; large values of theirs; answers for resuming and pinned ones; the response cache."""

MEASURED = 1.0

type Taken = tuple[str, UUID, int, int]
"""Sort, project, rows and bytes."""


def kept(seconds: float = MEASURED) -> tuple[list[Kept], int]:
    """Of every project, the largest first; and how many runs are not in it yet, since measuring them would
    have taken longer than so many seconds."""
    found = {
        project.pk: Kept(
            project=project,
            days=settings.RETENTION_DAYS if project.keep_days is None else project.keep_days,
            shares={sort: Share() for sort in SORTS},
        )
        for project in Project.objects.all()
    }
    until = time.monotonic() + seconds
    while measure() and time.monotonic() < until:
        pass
    for sort, owner, rows, size in (*_of_runs(Run.objects.all()), *_of_projects()):
        if owner in found:
            found[owner].shares[sort].add(rows, size)
    left = Run.objects.to_be_measured().count()
    return sorted(found.values(), key=lambda each: -each.size), left


def shares_of(runs: RunQuerySet) -> dict[str, Share]:
    """What these runs, which have ended, take, by sort."""
    while measure(runs):
        pass
    found = {sort: Share() for sort in SORTS[:-1]}
    for sort, _, rows, size in _of_runs(runs):
        found[sort].add(rows, size)
    return found


def _of_runs(runs: RunQuerySet) -> Iterator[Taken]:
    """Of those that have ended what was measured; of the others all that they have told so far."""
    for owner, count, events, event_bytes, artifacts, artifact_bytes in sums(runs):
        yield "runs", owner, count, 0
        yield "events", owner, events, event_bytes
        yield "artifacts", owner, artifacts, artifact_bytes
    going_on = runs.filter(finished_at__isnull=True).order_by().values("pk")
    of_runs: tuple[tuple[str, Any, Any], ...] = (
        ("events", Event, Bytes("data")),
        ("events", Stream, Bytes("text")),
        ("artifacts", Artifact, "size"),
        ("answers", ReplayAnswer, Bytes("value")),
    )
    for sort, model, size in of_runs:
        yield from _grouped(sort, model.objects.filter(run__in=going_on), "run__project", size)


def _of_projects() -> Iterator[Taken]:
    pins = PinnedOutput.objects.all()
    yield from _grouped("answers", pins, "pipeline__project", Bytes("outputs"))
    yield from _grouped("cached", CachedAnswer.objects.all(), "project", "size")


def _grouped(sort: str, rows: "QuerySet[Any]", owner: str, size: Any) -> Iterator[Taken]:
    counted = rows.order_by().values_list(owner).annotate(rows=Count("*"), taken=Sum(size))
    for project, count, total in counted:
        yield sort, project, count, total or 0


def database_size() -> int:
    """Bytes of the whole database, room that was freed included; 0 where it is not known."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    path = Path(str(connection.settings_dict["NAME"]))
    files = (path, path.with_name(path.name + "-wal"))
    return sum(each.stat().st_size for each in files if each.is_file())
