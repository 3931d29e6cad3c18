"""What people ask of one node of the draft: to run it with other inputs, and to pin its output."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from pipelines.graph.graph import GraphError
from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.views.requests import person
from runner.engine.errors import RunnerError
from runner.engine.partial import PartialRun, check_partial
from runner.services import pins_of, start_run
from runner.services.parts import KnownInput, known_inputs
from runner.views.panel import followed, messages_of, value_of

EDITED = "edit-"
EDITABLE = 20_000
"""Characters of an input that are offered to be edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """An input of a step as a field. `long`: it has a value that is too long to be edited here."""

    name: str
    type: str
    text: str
    is_text: bool
    required: bool
    long: bool = False


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def step_inputs(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """The dialog in which the inputs of a step are edited before it is run alone; and its run."""
    pipeline, user = _pipeline(request, pk), person(request)
    wish = PartialRun(mode="only", node=node_id, pins=pins_of(pipeline, user))
    graph = pipeline.draft.graph
    known: list[KnownInput] = []
    said: list[str] = []
    try:
        check_partial(graph, wish)
        known = known_inputs(pipeline=pipeline, graph=graph, wish=wish, given={})
        if request.method == "POST":
            edited = _edited(known, request)
            run = start_run(user=user, pipeline=pipeline, inputs={}, part=wish, edited=edited)
            return render(request, "runner/step_inputs.html#begun", followed(run, user))
    except (GraphError, PipelinesError, RunnerError) as error:
        said = messages_of(error)
    fields = [_field(each, request) for each in known]
    context = {"pipeline": pipeline, "node": node_id, "fields": fields, "said": said}
    return render(request, "runner/step_inputs.html", context, status=422 if said else 200)


def _edited(known: list[KnownInput], request: HttpRequest) -> dict[str, Any]:
    """What was typed in place of what was there, as values. An empty field is no value."""
    typed = {each.port.name: request.POST.get(EDITED + each.port.name, "") for each in known}
    return {
        each.port.name: value_of(text, each.port.type)
        for each in known
        if (text := typed[each.port.name].replace("\r\n", "\n")).strip() and text != _text(each)
    }


def _text(each: KnownInput) -> str:
    if not each.is_known:
        return ""
    if isinstance(each.value, str):
        return each.value.replace("\r\n", "\n")
    return json.dumps(each.value, indent=2, ensure_ascii=False)


def _field(each: KnownInput, request: HttpRequest) -> StepInput:
    text = _text(each)
    long = len(text) > EDITABLE
    typed = request.POST.get(EDITED + each.port.name)
    return StepInput(
        name=each.port.name,
        type=each.port.type,
        text=typed if typed is not None else "" if long else text,
        is_text=each.port.type == "str",
        required=each.port.required,
        long=long,
    )


def _pipeline(request: HttpRequest, pk: UUID) -> Pipeline:
    found = Pipeline.objects.select_related("project", "draft")
    return get_or_404(person(request), Action.RUN, found, pk=pk)
