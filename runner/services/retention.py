"""What is kept, and for how long."""

from collections import defaultdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from pipelines.models import Collection, Person, Project
from pipelines.permissions import Action, require
from runner.host import HostSettings
from runner.models import CachedAnswer, Run, RunQuerySet
from runner.native import corpus

KEEP_ANSWERS = timedelta(days=30)
KEEP_INDEXES = timedelta(days=30)
AT_ONCE = 50
"""Runs that one transaction deletes: others want to write in between."""


def prune(
    *,
    now: datetime,
    keep_runs: timedelta | None = None,
    keep_answers: timedelta = KEEP_ANSWERS,
    project: Project | None = None,
) -> int:
    """Delete some of the runs that are due, with all they told, and old cached answers; how many runs.
    Ask again until there are none. What is not finished stays, however old.

    Asks nobody: it is for the runner and for whoever is at the machine.
    """
    old = CachedAnswer.objects.filter(created_at__lt=now - keep_answers)
    (old if project is None else old.filter(project=project)).delete()
    due = due_runs(now=now, keep_runs=keep_runs, project=project).order_by("finished_at")
    ids = list(due.values_list("pk", flat=True)[:AT_ONCE])
    Run.objects.filter(pk__in=ids).delete()
    return len(ids)


def prune_as(
    *, user: Person, now: datetime, keep_runs: timedelta | None, project: Project | None
) -> int:
    """`prune`, for a person; of the same who may see what is kept."""
    require(user, Action.ADMINISTER, None)
    return prune(now=now, keep_runs=keep_runs, project=project)


def due_runs(
    *, now: datetime, keep_runs: timedelta | None = None, project: Project | None = None
) -> RunQuerySet:
    """The runs that finished longer ago than they are kept: than `keep_runs`; without it, than their
    project says, or else the installation's setting. Of both, 0 days keep runs for good."""
    of = Q() if project is None else Q(project=project)
    if keep_runs is not None:
        return Run.objects.finished_before(now - keep_runs).filter(of)
    found = Q(pk__in=())
    own = _days_of_projects()
    named = [pk for projects in own.values() for pk in projects]
    if settings.RETENTION_DAYS:
        before = now - timedelta(days=settings.RETENTION_DAYS)
        found |= Q(finished_at__lt=before) & ~Q(project__in=named)
    for days, projects in own.items():
        if days:
            found |= Q(finished_at__lt=now - timedelta(days=days), project__in=projects)
    return Run.objects.finished_before(now).filter(found & of)


def _days_of_projects() -> dict[int, list[UUID]]:
    """Which projects say themselves for how many days."""
    found: dict[int, list[UUID]] = defaultdict(list)
    rows = Project.objects.exclude(keep_days=None).values_list("keep_days", "pk")
    for days, pk in rows:
        found[days or 0].append(pk)
    return found


def forget_unused_indexes(*, age: timedelta = KEEP_INDEXES) -> int:
    """Delete this machine's old indexes of what no collection holds any more; how many files."""
    used = set(Collection.objects.values_list("content_hash", flat=True))
    return corpus.forget_unused_indexes(_indexes(), keep=used, age=age.total_seconds())


def forget_with(*, collection: Collection) -> None:
    """When a collection goes, so does this machine's index, once that is certain."""
    transaction.on_commit(partial(_forget, collection.content_hash))


def _forget(version: str) -> None:
    if not Collection.objects.filter(content_hash=version).exists():
        corpus.forget_indexes(_indexes(), {version})


def _indexes() -> Path:
    return HostSettings().cache_directory / "collections"
