"""What is kept, how much of it, for how long; and deleting what is old now, a little at a time."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.models import Project
from pipelines.models.errors import InvalidInput, PipelinesError
from pipelines.permissions import Action, require
from pipelines.views.requests import person
from runner.services import due_runs, prune_as
from runner.services.kept import SORTS, Kept, Share, database_size, shares_of
from runner.services.kept import kept as kept_of_all

MOST_DAYS = 3_650
LISTED = 200
_TITLES = {
    "runs": "Runs",
    "events": "Events",
    "artifacts": "Large values",
    "answers": "Answers, pins",
    "cached": "Cached answers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to go: finished runs older than so many days (None: than they are kept), of one project or
    of all. `project` and `days` are as they were sent."""

    project: Project | None
    days: int | None

    @property
    def keep(self) -> timedelta | None:
        return None if self.days is None else timedelta(days=self.days)


@require_safe
@never_cache
def kept(request: HttpRequest) -> HttpResponse:
    """The page; with `part=figures` what is counted, which may take a second."""
    require(person(request), Action.ADMINISTER, None)
    if request.GET.get("part") != "figures":
        projects = Project.objects.all()[:LISTED]
        context = {"projects": projects, "days": settings.RETENTION_DAYS}
        return render(request, "runner/kept.html", context)
    found, left = kept_of_all()
    context = {
        "titles": [_TITLES[sort] for sort in SORTS],
        "rows": [(each, [each.shares[sort] for sort in SORTS]) for each in found[:LISTED]],
        "left": left,
        "more": max(0, len(found) - LISTED),
        "sum": [_sum(found, sort) for sort in SORTS],
        "size": sum(each.size for each in found),
        "database": database_size(),
    }
    return render(request, "runner/kept.html#figures", context)


@require_safe
@never_cache
def due(request: HttpRequest) -> HttpResponse:
    """What would go, before it goes."""
    require(person(request), Action.ADMINISTER, None)
    try:
        wish = _wish(request.GET.get("days", ""), request.GET.get("project", ""))
    except PipelinesError as error:
        return render(request, "runner/kept.html#due", {"error": error.message})
    runs = due_runs(now=timezone.now(), keep_runs=wish.keep, project=wish.project)
    shares = shares_of(runs)
    context = {
        "wish": wish,
        "counts": [(_TITLES[sort], share.rows) for sort, share in shares.items()],
        "total": shares["runs"].rows,
        "size": sum(share.size for share in shares.values()),
    }
    return render(request, "runner/kept.html#due", context)


@require_POST
def delete(request: HttpRequest) -> HttpResponse:
    """Delete some of what is due; the answer asks for more until nothing is left. `total` and `done` are
    for the bar."""
    user = person(request)
    require(user, Action.ADMINISTER, None)
    try:
        wish = _wish(request.POST.get("days", ""), request.POST.get("project", ""))
        total, done = _count(request.POST.get("total", "")), _count(request.POST.get("done", ""))
        deleted = prune_as(user=user, now=timezone.now(), keep_runs=wish.keep, project=wish.project)
    except PipelinesError as error:
        return render(request, "runner/kept.html#due", {"error": error.message}, status=422)
    done += deleted
    context = {"wish": wish, "done": done, "total": max(total, done), "more": deleted > 0}
    return render(request, "runner/kept.html#progress", context)


def _wish(days: str, project: str) -> Wish:
    if days and not (days.isdecimal() and len(days) < 6 and int(days) <= MOST_DAYS):
        raise InvalidInput(f"Days are a whole number from 0 to {MOST_DAYS:,}, or nothing.")
    return Wish(project=_project(project), days=int(days) if days else None)


def _project(pk: str) -> Project | None:
    if not pk:
        return None
    try:
        found = Project.objects.filter(pk=UUID(pk)).first()
    except ValueError:
        found = None
    if found is None:
        raise InvalidInput("There is no such project any more. Load the page again.")
    return found


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def _sum(found: list[Kept], sort: str) -> Share:
    shares = [each.shares[sort] for each in found]
    return Share(sum(each.rows for each in shares), sum(each.size for each in shares))
