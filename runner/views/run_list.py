"""The list of runs: what is asked for, a line each, and what one does to several."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.graph import GraphError
from pipelines.models import Person, Pipeline, Project
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can
from pipelines.views.requests import go_to, person
from runner.engine.errors import RunnerError
from runner.engine.events import RunStatus
from runner.models import FINAL, Run
from runner.services import cancel_run
from runner.views import figures
from runner.views.part_words import part_words
from runner.views.repeating import start_again

PAGE = 25
CHOICES = 300
SEVERAL = 100
"""Runs on a page, pipelines or people to choose from, and runs that are stopped or repeated at once."""

UNFINISHED = "unfinished"
SINCE = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}


@require_safe
@never_cache
def run_list(request: HttpRequest) -> HttpResponse:
    user, asked = person(request), asked_for(request)
    page = Paginator(found(user, asked), PAGE).get_page(request.GET.get("page"))
    lines = [line(run) for run in page]
    part = "#results" if request.headers.get("HX-Target", "").endswith("#results") else ""
    context = {
        "page": page,
        "lines": lines,
        "going_on": [each["run"].pk for each in lines if not each["run"].is_final],
        "asked": asked,
        "is_filtered": any(asked.values()),
    }
    if not part:
        context |= {
            "statuses": [
                (UNFINISHED, "Not ended"),
                *((status.value, figures.WORDS[status.value]) for status in RunStatus),
            ],
            "pipelines": Pipeline.objects.visible_to(user)
            .order_by("name")
            .values_list("pk", "name")[:CHOICES],
            "people": _people(user),
            "since": [(key, words) for key, (words, _) in SINCE.items()],
        }
    return render(request, f"runner/runs.html{part}", context)


@require_safe
@never_cache
def run_lines(request: HttpRequest) -> HttpResponse:
    """The lines of the runs named by `run`, for a list in which some go on."""
    asked = [pk for text in request.GET.getlist("run")[:PAGE] if (pk := _uuid(text))]
    runs = Run.objects.visible_to(person(request)).listed().filter(pk__in=asked)
    lines = [line(run) for run in runs]
    going_on = [each["run"].pk for each in lines if not each["run"].is_final]
    return render(request, "runner/run_lines.html", {"lines": lines, "going_on": going_on})


@require_POST
def several(request: HttpRequest) -> HttpResponse:
    """Stop or repeat the runs named by `run`; those that one may not are left as they are."""
    asked = [pk for text in request.POST.getlist("run")[:SEVERAL] if (pk := _uuid(text))]
    runs = Run.objects.visible_to(person(request)).select_related("pipeline__project", "version")
    chosen = [run for run in runs.filter(pk__in=asked) if can(person(request), Action.RUN, run)]
    if request.POST.get("do") == "repeat":
        _repeat(request, chosen)
    else:
        _stop(request, chosen)
    return go_to(_where(request))


def _stop(request: HttpRequest, runs: Iterable[Run]) -> None:
    going_on = [run for run in runs if not run.is_final]
    for run in going_on:
        cancel_run(run=run, user=person(request))
    if going_on:
        messages.success(request, f"{_counted(len(going_on))} told to stop.")
    else:
        messages.warning(request, "None of these was going on, or none is yours to stop.")


def _repeat(request: HttpRequest, runs: list[Run]) -> None:
    made = 0
    for run in runs:
        try:
            start_again(run=run, user=person(request))
        except (GraphError, PipelinesError, RunnerError) as error:
            messages.error(request, f"Run {figures.short_id(run.pk)}: {error}")
        else:
            made += 1
    if made:
        messages.success(request, f"{_counted(made)} started.")
    elif not runs:
        messages.warning(request, "None of these is yours to run again.")


def _counted(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _where(request: HttpRequest) -> str:
    """The list as it was asked for: its own address, with the page's query."""
    query = urlsplit(request.headers.get("HX-Current-URL", "")).query
    here = reverse("runner:runs")
    return f"{here}?{query}" if query else here


def asked_for(request: HttpRequest) -> dict[str, str]:
    """What of the address is understood; the rest is left alone."""
    status, since = request.GET.get("status", ""), request.GET.get("since", "")
    pipeline = _uuid(request.GET.get("pipeline", ""))
    by = request.GET.get("by", "")
    return {
        "q": request.GET.get("q", "").replace("\x00", "")[:200].strip(),
        "status": status if status in {UNFINISHED, *RunStatus} else "",
        "pipeline": str(pipeline) if pipeline else "",
        "by": by if by == "me" or (by.isdecimal() and len(by) < 10) else "",
        "since": since if since in SINCE else "",
    }


def found(user: Person, asked: dict[str, str]) -> QuerySet[Run]:
    runs = Run.objects.visible_to(user).listed()
    if asked["status"] == UNFINISHED:
        runs = runs.exclude(status__in=FINAL)
    elif asked["status"]:
        runs = runs.filter(status=asked["status"])
    if asked["pipeline"]:
        runs = runs.filter(pipeline=UUID(asked["pipeline"]))
    if asked["by"]:
        runs = runs.filter(author=user.pk if asked["by"] == "me" else int(asked["by"]))
    if asked["since"]:
        runs = runs.filter(created_at__gte=timezone.now() - SINCE[asked["since"]][1])
    if text := asked["q"]:
        named = Q(pipeline__name__icontains=text) | Q(failure_message__icontains=text)
        runs = runs.filter(named | Q(author__username__icontains=text))
    return runs.order_by("-created_at", "pk")


def line(run: Run) -> dict[str, Any]:
    """The run's state and figures, in words."""
    # A suspended run does nothing: what has passed since is no time of its own.
    end = run.finished_at if run.is_final or run.status == "suspended" else timezone.now()
    return {
        "run": run,
        "short": figures.short_id(run.pk),
        "version": f"v{run.version.number}" if run.version.number else "draft",
        "glyph": figures.GLYPHS[run.status],
        "word": figures.WORDS[run.status],
        "duration": figures.seconds(figures.between(run.started_at, end)),
        "tokens": figures.tokens(run.input_tokens + run.output_tokens),
        "cost": figures.cost(run.cost),
        "part": part_words(run),
    }


def _people(user: Person) -> list[tuple[str, str]]:
    """Those whose runs one may see: the members of one's projects."""
    members = User.objects.filter(projects__in=Project.objects.visible_to(user)).exclude(
        pk=user.pk or 0
    )
    rows = members.distinct().order_by("username")[:CHOICES]
    return [("me", "Me"), *((str(each.pk), each.get_full_name() or str(each)) for each in rows)]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
