"""One step of a run, in full; and the last one of a node, for the editor's inspector."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.models import Pipeline
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.requests import person
from runner.engine.events import EventType
from runner.models import Event, Run, Step
from runner.views import figures
from runner.views.timeline import figures_of, title_of
from runner.views.values import Value, all_shown, event_value, shown

EVENTS = 200
CALLS = 50
"""Events of a step that are read, and LM calls shown with their prompts."""


@require_safe
@never_cache
def step(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The step at `path`."""
    rows = Run.objects.select_related("pipeline__project", "version")
    run = get_or_404(person(request), Action.VIEW, rows, pk=pk)
    found = Step.objects.filter(
        run=run, path=request.GET.get("path", "").replace("\x00", "")
    ).first()
    if found is None:
        raise Http404("This run has no such step yet.")
    context = {"run": run, **_detail(run, found)}
    if can(person(request), Action.RUN, run):
        context["traceback"] = context["failure"].get("traceback", "")
    return render(request, "runner/step.html", context)


@require_safe
@never_cache
def step_preview(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """What the node did in the pipeline's last run that reached it; nothing if there is none."""
    pipeline = get_or_404(person(request), Action.VIEW, Pipeline, pk=pk)
    recent = Run.objects.filter(pipeline=pipeline).order_by("-created_at").values("pk")[:20]
    found = (
        Step.objects.filter(run__in=list(recent.values_list("pk", flat=True)), path=node_id)
        .select_related("run__version")
        .order_by("-run__created_at")
        .first()
    )
    if found is None:
        return HttpResponse("")
    context = {"run": found.run, **_detail(found.run, found)}
    return render(request, "runner/step_preview.html", context)


def _detail(run: Run, found: Step) -> dict[str, Any]:
    events = list(Event.objects.of_step(found)[:EVENTS])
    for event in events:
        event.run = run
    last = _last(events, EventType.STEP_STARTED)
    outcome = _last(events, EventType.STEP_SUCCEEDED)
    failed = _last(events, EventType.STEP_FAILED)
    return {
        "step": found,
        "title": title_of(found.path, run.version.graph),
        "glyph": figures.GLYPHS[found.status],
        "word": figures.WORDS[found.status],
        "figures": figures_of(found),
        "inputs": all_shown(last.get("inputs")),
        "outputs": all_shown(outcome.get("outputs")),
        "failure": failed.get("failure") or {},
        "attempts": [_attempt(attempt) for attempt in found.attempts.order_by("epoch", "number")],
        "calls": [_call(event) for event in events if event.type == EventType.LM_CALL][:CALLS],
    }


def _last(events: list[Event], type_: EventType) -> dict[str, Any]:
    found = [event for event in events if event.type == type_]
    return event_value(found[-1]) if found else {}


def _attempt(attempt: Any) -> dict[str, Any]:
    took = figures.between(attempt.started_at, attempt.finished_at)
    return {
        "number": attempt.number,
        "backend": attempt.backend,
        "glyph": figures.GLYPHS[attempt.status],
        "word": figures.WORDS[attempt.status],
        "message": attempt.failure_message,
        "seconds": figures.seconds(took),
        "wait": figures.seconds(attempt.wait),
    }


_SOURCES = {"response_cache": "hit", "replay_log": "replayed"}


def _call(event: Event) -> dict[str, Any]:
    data = event_value(event)
    usage = data.get("usage") or {}
    return {
        "number": data.get("call"),
        "model": data.get("model") or data.get("profile"),
        "profile": data.get("profile"),
        "input_tokens": usage.get("input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cost": figures.cost(usage.get("cost") or 0.0),
        "seconds": figures.seconds(data.get("seconds")),
        "first": figures.seconds(data.get("first_token_s")),
        "source": _SOURCES.get(str(data.get("source")), "miss"),
        "messages": [_message(message) for message in data.get("messages") or ()],
        "response": shown("response", data.get("response") or ""),
        "failure": data.get("failure") or {},
    }


def _message(message: dict[str, Any]) -> tuple[str, Value]:
    role = str(message.get("role", ""))
    return role, shown(role, message.get("content") or "")
