"""Runs: the list, one run's page and its parts, and what one does to a run."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.graph import GraphError
from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.requests import go_to, person
from runner.engine.errors import RunnerError
from runner.engine.events import RunStatus
from runner.live import since as read_since
from runner.live.reading import as_json
from runner.models import Event, Run
from runner.recorder.payload import restored
from runner.services import cancel_run, resume_run, start_run
from runner.views import figures
from runner.views.timeline import timeline_of, titles_of
from runner.views.values import run_values, values_of

PAGE = 40
EVENTS = 100
PIPELINES = 300
"""Runs on a page, events shown at once, and pipelines to choose from."""

SHOWN = {"timeline": "Timeline", "output": "Inputs and outputs", "events": "Events"}


@require_safe
@never_cache
def run_list(request: HttpRequest) -> HttpResponse:
    asked = _asked(request)
    page = Paginator(_found(request, asked), PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "lines": [_line(run) for run in page],
        "asked": asked,
        "statuses": [(status.value, figures.WORDS[status.value]) for status in RunStatus],
        "pipelines": Pipeline.objects.visible_to(person(request))
        .order_by("name")
        .values_list("pk", "name")[:PIPELINES],
        "is_filtered": any(asked.values()),
    }
    part = "#results" if request.headers.get("HX-Target", "").endswith("#results") else ""
    return render(request, f"runner/runs.html{part}", context)


def _asked(request: HttpRequest) -> dict[str, str]:
    """What of the address is understood; the rest is left alone."""
    status, pipeline = request.GET.get("status", ""), request.GET.get("pipeline", "")
    try:
        pipeline = str(UUID(pipeline)) if pipeline else ""
    except ValueError:
        pipeline = ""
    return {
        "q": request.GET.get("q", "").replace("\x00", "")[:200].strip(),
        "status": status if status in set(RunStatus) else "",
        "pipeline": pipeline,
    }


def _found(request: HttpRequest, asked: dict[str, str]) -> QuerySet[Run]:
    found = Run.objects.visible_to(person(request)).listed()
    if asked["status"]:
        found = found.filter(status=asked["status"])
    if asked["pipeline"]:
        found = found.filter(pipeline=UUID(asked["pipeline"]))
    if asked["q"]:
        text = asked["q"]
        named = Q(pipeline__name__icontains=text) | Q(failure_message__icontains=text)
        found = found.filter(named | Q(author__username__icontains=text))
    return found.order_by("-created_at", "pk")


def _line(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "short": figures.short_id(run.pk),
        "version": f"v{run.version.number}" if run.version.number else "draft",
        **_state(run),
    }


def _state(run: Run) -> dict[str, Any]:
    """The run's state and figures, in words."""
    end = run.finished_at if run.is_final else timezone.now()
    return {
        "glyph": figures.GLYPHS[run.status],
        "word": figures.WORDS[run.status],
        "duration": figures.seconds(figures.between(run.started_at, end)),
        "tokens": figures.tokens(run.input_tokens + run.output_tokens),
        "cost": figures.cost(run.cost),
    }


@require_safe
@never_cache
def run(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page, or with `part` what of it changes while the run goes on: `head` or `pane`."""
    found = _run(request, pk)
    show = request.GET.get("show", "")
    show = show if show in SHOWN else "timeline"
    part = request.GET.get("part", "")
    context = {**_line(found), "show": show, "shown": SHOWN, "live": not found.is_final}
    if not part:
        context["titles"] = titles_of(found.version.graph)
    if part != "pane":
        context |= {
            "may_run": can(person(request), Action.RUN, found),
            "may_stop": found.status not in ("cancelling", *_FINAL),
            "started": found.started_at,
        }
    if part != "head":
        context |= _pane(found, show, request)
    name = f"runner/run.html#{part}" if part in ("head", "pane") else "runner/run.html"
    return render(request, name, context)


_FINAL = ("succeeded", "failed", "cancelled")


def _pane(found: Run, show: str, request: HttpRequest) -> dict[str, Any]:
    if show == "events":
        return _events(found, request)
    if show == "output":
        inputs, outputs = run_values(found)
        return {"inputs": inputs, "outputs": outputs}
    return {"timeline": timeline_of(found), "outputs": run_values(found)[1]}


def _events(found: Run, request: HttpRequest) -> dict[str, Any]:
    after = request.GET.get("after", "0")
    seq = int(after) if after.isdecimal() and len(after) < 10 else 0
    rows = list(Event.objects.after(found.pk, seq).defer("artifacts")[: EVENTS + 1])
    begin = found.started_at.timestamp() if found.started_at else 0.0
    shown = [
        {
            "event": row,
            "at": figures.seconds(max(row.at - begin, 0.0)),
            "word": row.type.capitalize().replace("_", " ").replace("Lm ", "LM "),
            "says": _says(row),
        }
        for row in rows[:EVENTS]
    ]
    return {"events": shown, "next_after": rows[EVENTS - 1].seq if len(rows) > EVENTS else None}


_TOLD = ("reason", "cause", "status", "profile", "model", "name")


def _says(event: Event) -> str:
    """One line of what the event holds."""
    data = event.value
    failure = data.get("failure") or {}
    parts = [f"{name} {data[name]}" for name in _TOLD if data.get(name)]
    if isinstance(data.get("seconds"), float):
        parts.append(figures.seconds(data["seconds"]))
    return " · ".join([*parts, *([str(failure.get("message"))] if failure else [])])[:500]


@require_safe
@never_cache
def since(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What happened after the event `after`, for browsers that get no socket."""
    after = request.GET.get("after", "0")
    seq = int(after) if after.isdecimal() and len(after) < 10 else 0
    text = as_json(read_since(_run(request, pk), seq))
    return HttpResponse(text, content_type="application/json")


@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop it. What shows the run hears of it by itself."""
    status = cancel_run(run=_run(request, pk, Action.RUN), user=person(request))
    if "HX-Request" in request.headers:
        return HttpResponse(status=204)
    return JsonResponse({"run": str(pk), "status": status})


@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _run(request, pk, Action.RUN)
    if not resume_run(run=found, user=person(request)):
        word = figures.WORDS[found.status].lower()
        messages.warning(request, f"Only a suspended run can go on; this one is {word}.")
    return go_to(reverse("runner:run", args=[pk]))


@require_POST
def repeat(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Run the same version with the same inputs again."""
    found = _run(request, pk, Action.RUN)
    aside = {place: key for place, key in found.artifacts.items() if place.startswith("inputs/")}
    inputs = restored({"inputs": found.inputs}, aside, values_of(found, aside))["inputs"]
    try:
        made = start_run(user=person(request), inputs=inputs, version=found.version)
    except (GraphError, PipelinesError, RunnerError) as error:
        messages.error(request, str(error))
        return go_to(reverse("runner:run", args=[found.pk]))
    return go_to(reverse("runner:run", args=[made.pk]))


def _run(request: HttpRequest, pk: UUID, action: Action = Action.VIEW) -> Run:
    rows = Run.objects.select_related("pipeline__project", "version", "author")
    return get_or_404(person(request), action, rows, pk=pk)
