"""The editor's run panel: a form of the pipeline's inputs, and the run that it starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.graph import Graph, GraphError, Port
from pipelines.graph.ports import node_ports
from pipelines.models import Person, Pipeline
from pipelines.models.errors import InvalidInput, PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.canvas_graph import title_of
from pipelines.views.requests import body_json, person
from runner.engine.errors import RunnerError
from runner.engine.events import RunStatus
from runner.host import InvalidPipeline
from runner.models import FINAL, PinnedOutput, Run
from runner.services import pins_of, read_partial, start_run
from runner.views import figures
from runner.views.outline import live_outline, outline_of
from runner.views.part_words import nodes_in, result_ports

PREFIX = "input-"
LISTED = 20
"""Runs that go on at once and are told of."""
JUST = 10
"""Seconds from a run's beginning in which a page hears of it, though it has ended."""
_GOING_ON = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLING)
PREFILLED = 20_000
"""Characters of an earlier input that are offered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An input of the pipeline as a field of the form. `widget`: text, line or yes_no."""

    name: str
    type: str
    widget: str
    required: bool
    hint: str
    text: str


@require_safe
@never_cache
def panel(request: HttpRequest, pk: UUID) -> HttpResponse:
    pipeline = _pipeline(request, pk, Action.VIEW)
    user = person(request)
    mine = Run.objects.filter(pipeline=pipeline, author=user.pk) if user.pk else Run.objects.none()
    last = mine.select_related("version").order_by("-created_at").first()
    asked = last
    if last and last.part and last.part.mode == "only":
        asked = mine.given_pipeline_inputs().order_by("-created_at").first()
    context = {
        "pipeline": pipeline,
        "fields": _fields(given(pipeline.draft.graph), asked.inputs if asked else {}),
        "may_run": can(user, Action.RUN, pipeline) and not pipeline.archived,
        "pins": _pins(pipeline, user),
    }
    # What goes on, or what the draft as it stands has given; else what others run now.
    relevant = last and (not last.is_final or last.created_at > pipeline.updated_at)
    if shown := last if relevant else _going_on(pipeline).first():
        context |= followed(shown, user)
    return render(request, "runner/panel.html", context)


@require_safe
@never_cache
def going(request: HttpRequest, pk: UUID) -> JsonResponse:
    """The runs of the pipeline that go on now or have just ended, whoever began them, the newest first."""
    pipeline, user = _pipeline(request, pk, Action.VIEW), person(request)
    since = timezone.now() - timedelta(seconds=JUST)
    ended = Run.objects.filter(pipeline=pipeline, status__in=FINAL, created_at__gt=since)
    found = [*_going_on(pipeline)[:LISTED], *ended.select_related("author")[:LISTED]]
    runs = [
        {
            "run": str(run.pk),
            "by": _name(run.author),
            "mine": run.author_id == user.pk,
            "ended": run.is_final,
        }
        for run in sorted(found, key=lambda run: run.created_at, reverse=True)
    ]
    return JsonResponse({"runs": runs})


@require_safe
@never_cache
def follow(request: HttpRequest, pk: UUID, run: UUID) -> HttpResponse:
    """The panel's part that follows this run of the pipeline."""
    pipeline, user = _pipeline(request, pk, Action.VIEW), person(request)
    found = Run.objects.filter(pipeline=pipeline).select_related("version", "pipeline", "author")
    shown = get_or_404(user, Action.VIEW, found, pk=run)
    return render(request, "runner/panel.html#started", followed(shown, user))


@require_POST
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Run the draft as it is now: with {inputs} as JSON, or with the fields of the panel's form.

    JSON may have `part` ({mode, node, base, pins}), `edited` (inputs of a step that is run alone) and
    `timeout` (seconds); the form has `part-mode`, `part-node` and `timeout`, and what its person has
    pinned. A form is answered with the panel's part that follows the run.
    """
    pipeline = _pipeline(request, pk, Action.RUN)
    as_json = request.content_type == "application/json"
    try:
        asked = _json_asked(request) if as_json else _form_asked(request, pipeline)
        run = start_run(user=person(request), pipeline=pipeline, **asked)
    except (GraphError, PipelinesError, RunnerError) as error:
        said = messages_of(error)
        if as_json:
            return JsonResponse({"code": error.code, "messages": said}, status=422)
        return render(request, "runner/panel.html#refused", {"messages_": said}, status=422)
    url = reverse("runner:run", args=[run.pk])
    if as_json:
        return JsonResponse({"run": str(run.pk), "url": url}, status=201)
    return render(request, "runner/panel.html#started", followed(run, person(request)))


def _pins(pipeline: Pipeline, user: Person) -> list[tuple[str, str]]:
    """The nodes whose outputs this person has pinned: id and title."""
    nodes = pipeline.draft.graph.nodes
    mine = PinnedOutput.objects.filter(pipeline=pipeline, author=user.pk)
    pinned = mine.values_list("node", flat=True) if user.pk else []
    return [(node, title_of(nodes[node])) for node in pinned if node in nodes]


def _going_on(pipeline: Pipeline) -> QuerySet[Run]:
    """What is executed, or is about to be. What waits for a person may do so for days."""
    runs = Run.objects.filter(pipeline=pipeline, status__in=_GOING_ON)
    return runs.select_related("version", "pipeline", "author").order_by("-created_at")


def _name(author: User | None) -> str:
    return (author.get_full_name() or author.get_username()) if author else "Somebody"


def followed(run: Run, user: Person) -> dict[str, Any]:
    """What the panel's part that follows a run shows; `by` names who runs it, unless the user does."""
    return {
        "run": run,
        "by": "" if run.author_id == user.pk else _name(run.author),
        "may_run": can(user, Action.RUN, run),
        "short": figures.short_id(run.pk),
        "outline": live_outline(outline_of(run.version), nodes_in(run), result_ports(run)),
        "outline_id": f"outline-{run.pk}",
    }


def given(graph: Graph) -> tuple[Port, ...]:
    """What the pipeline asks for; nothing while its input node is broken or missing."""
    node = next((node for node in graph.children(None) if node.kind == "input"), None)
    try:
        return node_ports(graph, node).outputs if node else ()
    except (GraphError, ValueError):
        return ()


def _fields(ports: tuple[Port, ...], before: Mapping[str, Any]) -> list[Asked]:
    return [
        Asked(
            name=port.name,
            type=port.type,
            widget=_WIDGETS.get(port.type, "text"),
            required=port.required,
            hint=port.description,
            text=_text(before.get(port.name, port.default))[:PREFILLED],
        )
        for port in ports
    ]


_WIDGETS = {"int": "line", "float": "line", "bool": "yes_no"}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_asked(request: HttpRequest) -> dict[str, Any]:
    body = body_json(request)
    objects = {name: body.get(name, {}) for name in ("inputs", "edited", "part")}
    for name, value in objects.items():
        if not isinstance(value, dict):
            raise BadRequest(f"{name} is a JSON object.")
    return {
        "inputs": objects["inputs"],
        "edited": objects["edited"],
        "part": read_partial(objects["part"]) if objects["part"] else None,
        "timeout": _seconds(body.get("timeout")),
    }


def _form_asked(request: HttpRequest, pipeline: Pipeline) -> dict[str, Any]:
    mode, part = request.POST.get("part-mode", ""), None
    if mode:
        pins = pins_of(pipeline, person(request))
        part = read_partial({"mode": mode, "node": request.POST.get("part-node", ""), "pins": pins})
    return {
        "inputs": _form_inputs(request, pipeline.draft.graph),
        "part": part,
        "timeout": _seconds(request.POST.get("timeout", "").strip() or None),
    }


def _seconds(typed: Any) -> float | None:
    if typed is None:
        return None
    try:
        return float(typed)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"“Stop after” (timeout) is a number of seconds, not {typed!r:.100}."
        ) from None


def _form_inputs(request: HttpRequest, graph: Graph) -> dict[str, Any]:
    """What was typed, as values. An empty field is no value."""
    typed = {port.name: request.POST.get(PREFIX + port.name, "") for port in given(graph)}
    types = {port.name: port.type for port in given(graph)}
    return {name: value_of(text, types[name]) for name, text in typed.items() if text.strip()}


def value_of(text: str, type_: str) -> Any:
    """Text stays text; the rest is JSON. What is neither goes on as text, and is refused by its type."""
    text = text.replace("\r\n", "\n")
    if type_ == "str":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def messages_of(error: Exception) -> list[str]:
    if isinstance(error, InvalidPipeline):
        return [str(problem) for problem in error.problems]
    return [str(error)]


def _pipeline(request: HttpRequest, pk: UUID, action: Action) -> Pipeline:
    found = Pipeline.objects.select_related("project", "draft")
    return get_or_404(person(request), action, found, pk=pk)
