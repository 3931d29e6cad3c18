"""Go to anything: what the palette of Mod+K finds."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

from pipelines.models import Collection, LMProfile, Pipeline, Signature
from pipelines.views.requests import person

EACH = 6
_PAGES = (
    ("Pipelines", "graph", "pipelines:list"),
    ("Templates", "graph", "pipelines:gallery"),
    ("Runs", "runs", "runner:runs"),
    ("Signatures", "sig", "pipelines:signatures"),
    ("Collections", "data", "pipelines:collections"),
    ("LM profiles", "lm", "pipelines:lm_profiles"),
    ("Workers", "pulse", "runner:workers"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    title: str
    kind: str
    icon: str
    address: str


@require_safe
def goto(request: HttpRequest) -> HttpResponse:
    q = request.GET.get("q", "").replace("\x00", "")[:100].strip()
    places = [*_pages(q), *_things(request, q)]
    return render(request, "partials/goto.html", {"places": places, "q": q})


def _pages(q: str) -> list[Place]:
    """The site's own pages; those of the runner, if it is there."""
    found = []
    for title, icon, name in _PAGES:
        if q.lower() not in title.lower():
            continue
        try:
            found.append(Place(title=title, kind="Page", icon=icon, address=reverse(name)))
        except NoReverseMatch:
            continue
    return found


def _things(request: HttpRequest, q: str) -> list[Place]:
    user = person(request)
    pipelines = Pipeline.objects.visible_to(user).active().order_by("-updated_at")
    sources: list[tuple[Any, str, str, str]] = [
        (pipelines, "Pipeline", "graph", "pipelines:editor"),
    ]
    if q:  # pipelines lead; the rest comes when it is asked for
        sources += [
            (Signature.objects.visible_to(user), "Signature", "sig", "pipelines:signature"),
            (Collection.objects.visible_to(user), "Collection", "data", "pipelines:collection"),
            (LMProfile.objects.visible_to(user), "LM profile", "lm", "pipelines:lm_profile"),
        ]
    return [
        Place(title=name, kind=kind, icon=icon, address=reverse(address, args=[pk]))
        for rows, kind, icon, address in sources
        for pk, name in rows.filter(name__icontains=q).values_list("pk", "name")[:EACH]
    ]
