"""Pinning what a node gives: what it gave last, or what a person types."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from pipelines.graph.graph import Graph
from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.views.canvas_graph import title_of
from pipelines.views.requests import person
from runner.engine.errors import RunnerError
from runner.engine.events import EventType, StepStatus
from runner.engine.typed_outputs import TypedOutput, check_outputs, outputs_to_type
from runner.models import Event, Run, Step
from runner.recorder import outputs_of
from runner.services import pin_output, pins_of, unpin_output
from runner.views.panel import messages_of, value_of
from runner.views.steps import preview

TYPED = "output-"
EDITABLE = 20_000
"""Characters of a value that are offered to be edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinField:
    """An output as a field. `long`: what it has is too long to be edited here, and stays when it is empty."""

    name: str
    type: str
    text: str
    needed: bool
    long: bool
    error: str

    @property
    def is_text(self) -> bool:
        return self.type == "str"


@require_POST
@never_cache
def pin(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """Pin what the node gave in the run `run`, or take the pin away with `off`; the Last result anew."""
    pipeline, user = _pipeline(request, pk), person(request)
    said: list[str] = []
    if request.GET.get("off"):
        unpin_output(pipeline=pipeline, user=user, node=node_id)
    else:
        outputs = _of_run(pipeline, request.GET.get("run", ""), node_id)
        try:
            pin_output(pipeline=pipeline, user=user, node=node_id, outputs=outputs)
        except PipelinesError as error:
            said = messages_of(error)
    answer = preview(request, pipeline, node_id, said)
    if not said:
        answer.headers["HX-Trigger"] = "pins-changed"
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def edit_pin(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """The dialog in which a pinned output is typed, for a node that has run or never did; and its pin,
    which `off` takes away."""
    pipeline, user = _pipeline(request, pk), person(request)
    if request.method == "POST" and request.GET.get("off"):
        unpin_output(pipeline=pipeline, user=user, node=node_id)
        return _done()
    graph = pipeline.draft.graph
    asked: list[TypedOutput] = []
    wrong: dict[str, str] = {}
    pinned = pins_of(pipeline, user).get(node_id)
    before = _before(pipeline, node_id) if pinned is None else pinned
    try:
        asked = outputs_to_type(graph, node_id)
        if request.method == "POST":
            values, wrong = check_outputs(graph, node_id, _typed(asked, before, request))
            if not wrong:
                pin_output(pipeline=pipeline, user=user, node=node_id, outputs=values)
                return _done()
    except (PipelinesError, RunnerError) as error:
        wrong = {"": str(error)}
    context = {
        "pipeline": pipeline,
        "node": node_id,
        "title": _title(graph, node_id),
        "fields": [_field(each, before, request, wrong) for each in asked],
        "said": wrong.get(""),
        "pinned": pinned is not None,
    }
    return render(request, "runner/pin.html", context, status=422 if wrong else 200)


def _done() -> HttpResponse:
    """The dialog goes."""
    return HttpResponse("<i hidden></i>", headers={"HX-Trigger": "pins-changed"})


def _typed(
    asked: list[TypedOutput], before: dict[str, Any], request: HttpRequest
) -> dict[str, Any]:
    """What was typed, as values. An empty field is no value, but for a text that other steps read, and
    where what was there is too long to be shown."""
    values: dict[str, Any] = {}
    for each in asked:
        name, type_ = each.port.name, each.port.type
        text = request.POST.get(TYPED + name, "").replace("\r\n", "\n")
        if text.strip():
            values[name] = value_of(text, type_)
        elif _is_long(before.get(name)):
            values[name] = before[name]
        elif each.needed and type_ == "str":
            values[name] = text
    return values


def _field(
    each: TypedOutput, before: dict[str, Any], request: HttpRequest, wrong: dict[str, str]
) -> PinField:
    name = each.port.name
    typed = request.POST.get(TYPED + name)
    long = _is_long(before.get(name))
    shown = "" if long or name not in before else _text(before[name])
    text = shown if typed is None else typed.replace("\r\n", "\n")
    return PinField(
        name=name,
        type=each.port.type,
        text=text,
        needed=each.needed,
        long=long,
        error=wrong.get(name, ""),
    )


def _is_long(value: Any) -> bool:
    return value is not None and len(_text(value)) > EDITABLE


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _title(graph: Graph, node_id: str) -> str:
    node = graph.nodes.get(node_id)
    return title_of(node) if node else node_id


def _before(pipeline: Pipeline, node_id: str) -> dict[str, Any]:
    """What the node gave last, if it gave anything."""
    recent = Run.objects.filter(pipeline=pipeline).order_by("-created_at").values("pk")[:20]
    steps = Step.objects.filter(
        run__in=list(recent.values_list("pk", flat=True)),
        path=node_id,
        status=StepStatus.SUCCEEDED,
    )
    step = steps.order_by("-run__created_at").first()
    event = step and Event.objects.of_step(step).filter(type=EventType.STEP_SUCCEEDED).last()
    return dict(outputs_of(event)) if event else {}


def _of_run(pipeline: Pipeline, run: str, node_id: str) -> dict[str, object]:
    try:
        step = Step.objects.get(run=UUID(run), run__pipeline=pipeline, path=node_id)
    except (ValueError, Step.DoesNotExist):
        raise Http404("This run has no such step.") from None
    event = Event.objects.of_step(step).filter(type=EventType.STEP_SUCCEEDED).last()
    if event is None:
        raise Http404("This step has given nothing.")
    return outputs_of(event)


def _pipeline(request: HttpRequest, pk: UUID) -> Pipeline:
    found = Pipeline.objects.select_related("project", "draft")
    return get_or_404(person(request), Action.RUN, found, pk=pk)
