"""What the database holds of each project, in rows and bytes."""

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


@dataclass(slots=True)
class Share:
    """Rows of one sort, and the bytes of their values."""

    rows: int = 0
    size: int = 0


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


def kept() -> list[Kept]:
    """Of every project, the largest first. Reads every value: a second for each few hundred megabytes."""
    found = {
        project.pk: Kept(
            project=project,
            days=settings.RETENTION_DAYS if project.keep_days is None else project.keep_days,
            shares={sort: Share() for sort in SORTS},
        )
        for project in Project.objects.all()
    }
    for sort, owner, rows, size in _measured(None):
        if owner in found:
            share = found[owner].shares[sort]
            share.rows, share.size = share.rows + rows, share.size + size
    return sorted(found.values(), key=lambda each: -each.size)


def shares_of(runs: RunQuerySet) -> dict[str, Share]:
    """What these runs take, by sort."""
    found = {sort: Share() for sort in SORTS[:-1]}
    for sort, _, rows, size in _measured(runs):
        share = found[sort]
        share.rows, share.size = share.rows + rows, share.size + size
    return found


def _measured(runs: RunQuerySet | None) -> Iterator[tuple[str, UUID, int, int]]:
    """Sort, project, rows and bytes: of these runs, or of everything."""
    of_runs: list[tuple[str, Any, Any]] = [
        ("events", Event, Bytes("data")),
        ("events", Stream, Bytes("text")),
        ("artifacts", Artifact, "size"),
        ("answers", ReplayAnswer, Bytes("value")),
    ]
    own = Run.objects.all() if runs is None else runs
    for owner, rows in own.order_by().values_list("project").annotate(rows=Count("pk")):
        yield "runs", owner, rows, 0
    for sort, model, size in of_runs:
        rows = (
            model.objects.all() if runs is None else model.objects.filter(run__in=runs.values("pk"))
        )
        yield from _grouped(sort, rows, "run__project", size)
    if runs is None:
        yield from _grouped(
            "answers", PinnedOutput.objects.all(), "pipeline__project", Bytes("outputs")
        )
        yield from _grouped("cached", CachedAnswer.objects.all(), "project", Bytes("value"))


def _grouped(
    sort: str, rows: "QuerySet[Any]", owner: str, size: Any
) -> Iterator[tuple[str, UUID, int, int]]:
    counted = rows.order_by().values_list(owner).annotate(rows=Count("pk"), taken=Sum(size))
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
