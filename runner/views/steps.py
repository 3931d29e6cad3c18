"""One step of a run, in full; one of its values; and the last step of a node, for the editor."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.models import Person, Pipeline
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.requests import person
from runner.engine.events import EventType
from runner.models import Event, PinnedOutput, Run, Step
from runner.recorder.payload import json_text
from runner.services.parts import is_pinnable
from runner.views.outline import outline_of
from runner.views.step_detail import default_path, detail_of, step_context
from runner.views.timeline import LANES
from runner.views.values import event_value, run_values


@require_safe
@never_cache
def step(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The step at `path`; without a path the one to look at first."""
    run = _run(request, pk)
    path = _path(request)
    if not path:
        outline = outline_of(run.version)
        steps = Step.objects.filter(run=run)[:LANES]
        path = default_path(run, sorted(steps, key=lambda each: outline.place(each.path)))
    context = step_context(run, path) if path else None
    if context is None:
        raise Http404("This run has no such step.")
    shown = {
        "run": run,
        "detail": context,
        "traceback": traceback_for(request, run, context),
        "may_run": can(person(request), Action.RUN, run),
    }
    return render(request, "runner/step.html", shown)


def traceback_for(request: HttpRequest, run: Run, detail: dict[str, Any]) -> str:
    """Tracebacks name paths: they are for those who may run the pipeline."""
    if not can(person(request), Action.RUN, run):
        return ""
    return str((detail.get("failure") or {}).get("traceback", ""))


@require_safe
@never_cache
def value(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One value whole, as it is: of the run, or with `path` of a step. `place` is `outputs/text`."""
    run = _run(request, pk)
    side, _, name = request.GET.get("place", "").partition("/")
    if side not in ("inputs", "outputs"):
        raise Http404("The place is inputs/… or outputs/….")
    path = _path(request)
    values = _step_values(run, path, side) if path else run_values(run)[side]
    if name not in values:
        raise Http404("There is no such value.")
    whole = values[name]
    is_text = isinstance(whole, str)
    # As a file, and as text: a browser that opens it runs nothing of it.
    return HttpResponse(
        whole if is_text else json_text(whole),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="value.{_ending(is_text)}"'},
    )


def _ending(is_text: bool) -> str:
    return "txt" if is_text else "json"


def _step_values(run: Run, path: str, side: str) -> dict[str, Any]:
    found = Step.objects.filter(run=run, path=path).first()
    if found is None:
        return {}
    type_ = EventType.STEP_STARTED if side == "inputs" else EventType.STEP_SUCCEEDED
    event = Event.objects.of_step(found).filter(type=type_).last()
    if event is None:
        return {}
    event.run = run
    values: dict[str, Any] = event_value(event).get(side) or {}
    return values


@require_safe
@never_cache
def step_preview(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """What the node did in the pipeline's last run that reached it; nothing if there is none."""
    rows = Pipeline.objects.select_related("project", "draft")
    return preview(request, get_or_404(person(request), Action.VIEW, rows, pk=pk), node_id)


def preview(
    request: HttpRequest, pipeline: Pipeline, node_id: str, said: Sequence[str] = ()
) -> HttpResponse:
    """The Last result of a node, with what its person may do about it; `said` is what went wrong."""
    recent = Run.objects.filter(pipeline=pipeline).order_by("-created_at").values("pk")[:20]
    found = (
        Step.objects.filter(run__in=list(recent.values_list("pk", flat=True)), path=node_id)
        .select_related("run__version")
        .order_by("-run__created_at")
        .first()
    )
    user = person(request)
    may_pin = not pipeline.archived and can(user, Action.RUN, pipeline)
    context = {
        "pipeline": pipeline,
        "node": node_id,
        "said": said,
        "may_pin": may_pin and is_pinnable(pipeline.draft.graph, node_id),
        "pinned": _pinned(pipeline, user, node_id, found),
    }
    if found is not None:
        context |= {"run": found.run, **detail_of(found.run, found)}
        return render(request, "runner/step_preview.html", context)
    if not context["may_pin"]:
        return HttpResponse("")
    return render(request, "runner/step_preview.html#unrun", context)


def _pinned(pipeline: Pipeline, user: Person, node: str, step: Step | None) -> str:
    """Whether this person has pinned the outputs of this step (`this`) or `other` ones of the node."""
    if user.pk is None:
        return ""
    mine = PinnedOutput.objects.filter(pipeline=pipeline, author=user.pk, node=node).first()
    if mine is None:
        return ""
    is_this = step is not None and mine.value == _step_values(step.run, step.path, "outputs")
    return "this" if is_this else "other"


def _run(request: HttpRequest, pk: UUID) -> Run:
    rows = Run.objects.select_related("pipeline__project", "version")
    return get_or_404(person(request), Action.VIEW, rows, pk=pk)


def _path(request: HttpRequest) -> str:
    return request.GET.get("path", "").replace("\x00", "")
