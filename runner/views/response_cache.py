"""The response cache on the pages of LM profiles: what it holds for whom, and clearing it."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.models import LMProfile, Person, Project
from pipelines.permissions import Action, get_or_404, projects_where
from pipelines.views.requests import person
from runner.engine.events import EventType
from runner.models import CachedAnswer, Event, Run
from runner.services import clear_response_cache
from runner.views.call_figures import CACHE

LISTED = 200
RECENT = 50
COUNTED = 1_000
"""Lines that are shown; last runs whose calls tell how often the cache answered, and such calls."""

type Held = dict[str, Any]


class _Called(msgspec.Struct):
    """What of a call's event is read."""

    profile: str = ""


_decode = msgspec.json.Decoder(_Called).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a project has cached of one LM profile. `hits` are those of its `RECENT` last runs."""

    project: UUID
    project_name: str
    profile: str
    answers: int
    size: int
    newest: datetime
    hits: int
    may_clear: bool


@require_safe
@never_cache
def held(request: HttpRequest) -> HttpResponse:
    """Of the person's projects; with `profile`, what is cached of that LM profile alone."""
    return render(request, "runner/response_cache.html", _context(request, _profile(request)))


@require_POST
def clear(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget what the project has cached; with `lm`, of the LM profile of this name alone."""
    user = person(request)
    project = get_or_404(user, Action.MANAGE_LM_PROFILES, Project, pk=pk)
    name = request.POST.get("lm") or None
    count = clear_response_cache(project=project, user=user, profile=name)
    about = f" of {name}" if name else ""
    answers = "1 answer" if count == 1 else f"{count:,} answers"
    context = _context(request, _profile(request))
    context["said"] = f"{answers}{about} in {project} cleared. What was asked is paid for again."
    return render(request, "runner/response_cache.html", context)


def _profile(request: HttpRequest) -> LMProfile | None:
    pk = request.GET.get("profile", "")
    return get_or_404(person(request), Action.VIEW, LMProfile, pk=pk) if pk else None


def _context(request: HttpRequest, profile: LMProfile | None) -> dict[str, object]:
    user = person(request)
    found = CachedAnswer.objects.visible_to(user)
    if profile is not None:
        found = found.filter(profile=profile.name[:100], **_meaning(profile))
    rows = found.held()[:LISTED]
    parts = _parts(user, rows)
    projects = {part.project: part.project_name for part in parts if part.may_clear}
    several = [
        (pk, name) for pk, name in projects.items() if sum(p.project == pk for p in parts) > 1
    ]
    return {"parts": parts, "profile": profile, "projects": several, "recent": RECENT}


def _meaning(profile: LMProfile) -> dict[str, Any]:
    """Where the profile's name means this profile: in its project, or where none has one of its own."""
    if profile.project_id is not None:
        return {"project": profile.project_id}
    own = LMProfile.objects.filter(name=profile.name, project__isnull=False)
    return {"project__in": Project.objects.exclude(pk__in=own.values("project"))}


def _parts(user: Person, rows: list[Held]) -> list[Part]:
    may = set(projects_where(user, Action.MANAGE_LM_PROFILES).values_list("pk", flat=True))
    hits = _hits({row["project"] for row in rows})
    return [
        Part(
            project=row["project"],
            project_name=row["project__name"],
            profile=row["profile"],
            answers=row["answers"],
            size=row["taken"],
            newest=row["newest"],
            hits=hits[row["project"], row["profile"]],
            may_clear=row["project"] in may,
        )
        for row in rows
    ]


def _hits(projects: set[UUID]) -> Counter[tuple[UUID, str]]:
    """Calls that were answered from the cache, by project and LM profile's name, in the last runs of all
    these projects together."""
    recent = Run.objects.filter(project__in=projects, lm_calls__gt=0).order_by("-created_at")
    ids = list(recent.values_list("pk", flat=True)[:RECENT])
    calls = Event.objects.filter(
        run__in=ids, type=EventType.LM_CALL, data__contains=f'"source":"{CACHE}"'
    )
    rows = calls.order_by().values_list("run__project", "data")[:COUNTED]
    return Counter((project, _decode(data).profile) for project, data in rows)
