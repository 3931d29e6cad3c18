"""One run: its page, the parts of it that change, and what one does to a run."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.graph import GraphError
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.requests import go_to, person
from runner.engine.errors import RunnerError
from runner.live import since as read_since
from runner.live.reading import as_json
from runner.models import Event, Run, Step
from runner.services import cancel_run, read_partial, resume_run, stop_step
from runner.views import figures
from runner.views.event_lines import event_lines
from runner.views.mends import mend_of
from runner.views.outline import live_outline, outline_of
from runner.views.part_words import nodes_in
from runner.views.repeating import start_again
from runner.views.run_list import line
from runner.views.step_detail import default_path, step_context
from runner.views.steps import traceback_for
from runner.views.strip import strip_of
from runner.views.timeline import Timeline, timeline_of
from runner.views.values import all_shown, run_values

EVENTS = 100
"""Events shown at once."""

SHOWN = {"timeline": "Timeline", "output": "Inputs and outputs", "events": "Events"}
PARTS = ("head", "pane")


@require_safe
@never_cache
def run(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page, or with `part` what of it changes while the run goes on: `head` or `pane`."""
    found = _run(request, pk)
    show = request.GET.get("show", "")
    show = show if show in SHOWN else "timeline"
    part = request.GET.get("part", "")
    part = part if part in PARTS else ""
    context = {**line(found), "show": show, "shown": SHOWN, "live": not found.is_final}
    if part != "pane":
        context |= _head(request, found)
    if part != "head":
        timeline = timeline_of(found)
        context |= {"timeline": timeline, "strip": strip_of(found, timeline)}
        context |= _pane(found, show, request)
        if not part:
            context |= _beside(request, found, timeline)
    return render(request, f"runner/run.html#{part}" if part else "runner/run.html", context)


def _head(request: HttpRequest, found: Run) -> dict[str, Any]:
    retries = sum(
        count - 1
        for count in Step.objects.filter(run=found, attempt_count__gt=1).values_list(
            "attempt_count", flat=True
        )
    )
    return {
        "may_run": can(person(request), Action.RUN, found),
        "may_stop": found.status != "cancelling" and not found.is_final,
        "started": found.started_at,
        "retries": retries,
        "mend": mend_of(found.failure_code, found),
        "taken_count": Step.objects.filter(run=found).exclude(taken_from="").count(),
    }


def _pane(found: Run, show: str, request: HttpRequest) -> dict[str, Any]:
    if show == "events":
        return _events(found, request)
    values = run_values(found)
    outputs = all_shown(values["outputs"], "outputs")
    if show == "output":
        return {"inputs": all_shown(values["inputs"], "inputs"), "outputs": outputs}
    return {"outputs": outputs}


def _beside(request: HttpRequest, found: Run, timeline: Timeline) -> dict[str, Any]:
    """What stands beside the timeline: the step asked for, or the one to look at first; while the run
    goes on, what its steps write."""
    outline = outline_of(found.version)
    asked = request.GET.get("step", "").replace("\x00", "")
    steps = sorted(timeline.steps.values(), key=lambda each: outline.place(each.path))
    settled = found.is_final or found.status in ("waiting", "suspended")
    path = asked or (default_path(found, steps) if settled else "")
    context = step_context(found, path) if path else None
    return {
        "outline": live_outline(outline, nodes_in(found)),
        "step_asked": bool(asked),
        "detail": context,
        "traceback": traceback_for(request, found, context) if context else "",
        "may_run": can(person(request), Action.RUN, found),
    }


def _events(found: Run, request: HttpRequest) -> dict[str, Any]:
    seq = _number(request)
    rows = list(Event.objects.after(found.pk, seq).defer("artifacts")[: EVENTS + 1])
    more = len(rows) > EVENTS
    return {
        "events": event_lines(found, rows[:EVENTS]),
        "next_after": rows[EVENTS - 1].seq if more else None,
    }


@require_safe
@never_cache
def since(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What happened after the event `after`, for browsers that get no socket."""
    text = as_json(read_since(_run(request, pk), _number(request)))
    return HttpResponse(text, content_type="application/json")


def _number(request: HttpRequest) -> int:
    after = request.GET.get("after", "0")
    return int(after) if after.isdecimal() and len(after) < 10 else 0


@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop it. What shows the run hears of it by itself."""
    status = cancel_run(run=_run(request, pk, Action.RUN), user=person(request))
    if "HX-Request" in request.headers:
        return HttpResponse(status=204)
    return JsonResponse({"run": str(pk), "status": status})


@require_POST
def stop(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop the step or the map's item at `path`. What shows the run hears of it by itself."""
    found = _run(request, pk, Action.RUN)
    try:
        stop_step(run=found, user=person(request), path=_path(request))
    except PipelinesError as error:
        if "HX-Request" not in request.headers:
            return JsonResponse({"code": error.code, "messages": [str(error)]}, status=422)
        messages.error(request, str(error))
        return go_to(reverse("runner:run", args=[pk]))
    return HttpResponse(status=204)


def _path(request: HttpRequest) -> str:
    return request.POST.get("path", "").replace("\x00", "")


@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = _run(request, pk, Action.RUN)
    if not resume_run(run=found, user=person(request)):
        word = figures.WORDS[found.status].lower()
        messages.warning(request, f"Only a suspended run can go on; this one is {word}.")
    return go_to(reverse("runner:run", args=[pk]))


@require_POST
def repeat(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Run the same version with the same inputs again; with `mode` and `node`, that part of it, which
    takes what this run recorded."""
    found = _run(request, pk, Action.RUN)
    mode, node = request.GET.get("mode", ""), request.GET.get("node", "")
    try:
        part = read_partial({"mode": mode, "node": node, "base": str(pk)}) if mode else None
        made = start_again(run=found, user=person(request), part=part)
    except (GraphError, PipelinesError, RunnerError) as error:
        messages.error(request, str(error))
        made = found
    return go_to(reverse("runner:run", args=[made.pk]))


def _run(request: HttpRequest, pk: UUID, action: Action = Action.VIEW) -> Run:
    rows = Run.objects.select_related("pipeline__project", "version", "author")
    return get_or_404(person(request), action, rows, pk=pk)
