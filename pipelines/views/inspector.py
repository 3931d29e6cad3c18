"""The inspector: the form for one node, and the check of one field while it is typed."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from pydantic import BaseModel, ValidationError

from pipelines.graph import sandbox
from pipelines.graph import signature as signatures
from pipelines.graph.codec import plain
from pipelines.graph.graph import Graph, GraphError, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.kind import expression_variables
from pipelines.graph.policy import StepPolicy
from pipelines.graph.ports import node_ports
from pipelines.graph.validate import misfits
from pipelines.models import Collection, LMProfile, Pipeline
from pipelines.permissions import Action, can, get_or_404
from pipelines.services.references import BUILT_IN_COLLECTIONS, BUILT_IN_PROFILES
from pipelines.views.code_marks import between, mark_of
from pipelines.views.history import graph_of
from pipelines.views.inspector_fields import (
    UNSET,
    BadValue,
    FormField,
    errors_in,
    form_fields,
    is_rare,
    path_in,
    read_text,
)
from pipelines.views.kind_looks import backend_of, look_of
from pipelines.views.requests import person
from pipelines.views.saved_pipelines import pin_of
from pipelines.views.type_look import Chip, chips_of, plain_chips, port_chips

type Option = tuple[str, str]


@require_safe
@never_cache
def node(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """The form for a node. It never saves: what changes goes out as operations."""
    pipeline, graph, found = _node(request, pk, node_id)
    user = person(request)
    past = _past(request)
    kind = KINDS.get(found.kind)
    pins = found.kind == "pipeline"
    fields = form_fields(kind.config, found.config, _lacks(found)) if kind and not pins else []
    by_runner, fields = _by_runner(found, past, fields)
    context = {
        "pipeline": pipeline,
        "node": found,
        "kind": kind,
        "look": look_of(found.kind),
        "backend": backend_of(found),
        "readonly": bool(past) or pipeline.archived or not can(user, Action.EDIT, pipeline),
        "past": bool(past),
        "fields": [_with_feedback(graph, found, each) for each in fields if not is_rare(each)],
        "by_runner": by_runner,
        "rare": [(each, {}) for each in fields if is_rare(each)],
        "pin": {**pin_of(pipeline, found), **_interface(graph, found)} if pins else None,
        "policy": _policy(found) if kind else [],
        "profiles": _with(_profiles(pipeline), found.config.get("lm")),
        "collections": _with(_collections(pipeline), found.config.get("collection")),
    }
    return render(request, "pipelines/inspector.html", context)


def _by_runner(
    found: Node, past: Mapping[str, int], fields: list[FormField]
) -> tuple[list[FormField], list[FormField]]:
    """Fields for which the runner may have better controls, as it knows the installed DSPy; the others."""
    asked = {"options", "inner_options"} if found.kind == "dspy_module" and not past else set()
    return (
        [each for each in fields if each.name in asked],
        [each for each in fields if each.name not in asked],
    )


@require_POST
@never_cache
def check(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """What a field would mean with this text in it: chips, a preview, or the error. Stores nothing."""
    _, graph, found = _node(request, pk, node_id)
    part, name = request.POST.get("part", ""), request.POST.get("field", "")
    model = _model(found, part)
    if model is None or name not in model.model_fields:
        raise Http404("There is no such field.")
    context = _checked(graph, found, part, model, name, request.POST.get("value", ""))
    return render(request, "pipelines/inspector.html#feedback", context)


@require_safe
@never_cache
def whole(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The inspector when nothing is selected: the pipeline itself."""
    pipeline = get_or_404(
        person(request), Action.VIEW, Pipeline.objects.select_related("project", "draft"), pk=pk
    )
    past = _past(request)
    graph = graph_of(pipeline, **past) if past else pipeline.draft.graph
    context = {
        "pipeline": pipeline,
        "description": graph.description,
        "counts": {"nodes": len(graph.nodes), "edges": len(graph.edges)},
        "readonly": bool(past)
        or pipeline.archived
        or not can(person(request), Action.EDIT, pipeline),
    }
    return render(request, "pipelines/inspector.html#whole", context)


def _node(request: HttpRequest, pk: UUID, node_id: str) -> tuple[Pipeline, Graph, Node]:
    pipeline = get_or_404(
        person(request), Action.VIEW, Pipeline.objects.select_related("project", "draft"), pk=pk
    )
    past = _past(request)
    graph = graph_of(pipeline, **past) if past else pipeline.draft.graph
    if node_id not in graph.nodes:
        raise Http404("There is no such node.")
    return pipeline, graph, graph.nodes[node_id]


def _past(request: HttpRequest) -> dict[str, int]:
    """Which version or revision is looked at; nothing for the draft."""
    for name in ("version", "revision"):
        value = request.GET.get(name, "")
        if value.isdecimal() and len(value) < 10:
            return {name: int(value)}
    return {}


def _model(found: Node, part: str) -> type[BaseModel] | None:
    if part == "policy":
        return StepPolicy
    kind = KINDS.get(found.kind)
    return kind.config if kind and part == "config" else None


def _policy(found: Node) -> list[FormField]:
    """The policy's fields, with only those backends that the kind has."""
    kind = KINDS[found.kind]
    if kind.group == "interface":
        return []  # nothing is done there that could fail or take long
    fields = form_fields(StepPolicy, found.policy)
    if len(kind.backends) < 2:
        fields = [each for each in fields if each.name != "backend"]
    if "engine" in kind.backends:
        engine_ignores = ("cache", "backend", "retries", "backoff", "jitter", "retry")
        fields = [each for each in fields if each.name not in engine_ignores]
    order = ("timeout", "retries", "on_error", "cache", "backend")
    return sorted(fields, key=lambda each: order.index(each.name) if each.name in order else 9)


def _checked(
    graph: Graph, found: Node, part: str, model: type[BaseModel], name: str, text: str
) -> dict[str, Any]:
    """What the feedback partial needs. `value` is JSON; None: the field is taken away."""
    stored = found.policy if part == "policy" else found.config
    try:
        value = read_text(model, name, text)
    except BadValue as bad:
        return {"error": str(bad), "mark": bad.mark}
    values = {key: item for key, item in plain(stored).items() if key != name}
    if value is not UNSET:
        values[name] = value
    errors = errors_in(model, values)
    # What goes wrong elsewhere by it, where nothing was wrong, is this field's doing.
    whole = errors.get("signature", "") if "signature" not in errors_in(model, stored) else ""
    error = errors.get(name, "") or whole
    widget = next(each.widget for each in form_fields(model, values) if each.name == name)
    changed = Node(id=found.id, kind=found.kind, config=values, parent=found.parent)
    in_config = part == "config"
    feedback = _feedback(graph, changed, widget, str(text)) if in_config else {}
    valid = not error
    return {
        **feedback,
        "error": feedback.get("error") or error,
        "path": _path(model, changed, values, name) if in_config and widget == "json" else "",
        "lacks": _lacking(found, changed, name) if in_config else "",
        "valid": valid,
        "value": json.dumps(value) if valid and value is not UNSET else None,
    }


def _lacks(found: Node) -> dict[str, str]:
    """At which fields something is missing or does not fit the others. It keeps nothing from being saved."""
    kind = KINDS.get(found.kind)
    said: dict[str, str] = {}
    for field, what in misfits(kind, found.config) if kind else ():
        said.setdefault(field.partition(".")[0], what)
    return said


def _path(model: type[BaseModel], node: Node, values: Mapping[str, Any], name: str) -> str:
    """Where in a field's JSON the error is, or what does not fit the other fields."""
    if path := path_in(model, values, name):
        return path
    kind = KINDS.get(node.kind)
    places = (field.partition(".") for field, _ in (misfits(kind, node.config) if kind else ()))
    within = next((rest for field, _, rest in places if field == name), "")
    return json.dumps([within]) if within else ""


def _lacking(before: Node, changed: Node, name: str) -> str:
    """What the changed field lacks, or what the others lack by its change."""
    now, then = _lacks(changed), _lacks(before)
    if name in now:
        return now[name]
    return next((f"{field.capitalize()}: {now[field]}" for field in now if field not in then), "")


def _with_feedback(graph: Graph, found: Node, each: FormField) -> tuple[FormField, dict[str, Any]]:
    feedback = _feedback(graph, found, each.widget, each.text)
    if each.widget == "json" and each.error:
        feedback = {"path": _path(KINDS[found.kind].config, found, found.config, each.name)}
    return each, {**feedback, "error": feedback.get("error") or each.error}


def _feedback(graph: Graph, found: Node, widget: str, text: str) -> dict[str, Any]:
    if widget == "signature":
        return _signature_feedback(graph, found, text)
    if widget == "template":
        return _template_feedback(text, _samples(graph, found))
    return _expression_feedback(text) if widget == "expression" else {}


def _signature_feedback(graph: Graph, found: Node, text: str) -> dict[str, Any]:
    """Chips of the fields, also those that the kind adds; or where the text goes wrong."""
    config = found.config
    types = config.get("types") or {}
    try:
        parsed = signatures.parse(text, types=types if isinstance(types, Mapping) else {})
    except signatures.SignatureError as error:
        return {"error": worded(error), "mark": mark_of(error, text)}
    outputs = chips_of(parsed.outputs.values())
    try:
        added = port_chips(node_ports(graph, found).outputs, parsed.outputs)
    except (ValidationError, GraphError):
        added = []
    return {"inputs": chips_of(parsed.inputs.values()), "outputs": [*added, *outputs]}


def worded(error: signatures.SignatureError) -> str:
    """The message with its place, as an editor counts."""
    mark = between(error.text, error.position, error.end)
    line = f"Line {mark.line}, column" if "\n" in error.text else "Column"
    return f"{line} {mark.column}: {error.message}"


def _template_feedback(text: str, samples: Mapping[str, Any]) -> dict[str, Any]:
    """The names that the template reads, and how it comes out with a sample for each."""
    try:
        names = sandbox.variables(text)
    except sandbox.SandboxError as error:
        return {"mark": mark_of(error, text)}  # the config's own check says what
    try:
        values = {name: samples.get(name, f"‹{name}›") for name in names}
        return {"names": names, "preview": sandbox.render(text, values)[:2_000]}
    except sandbox.SandboxError as error:
        return {"names": names, "note": str(error), "note_mark": mark_of(error, text)}


def _expression_feedback(text: str) -> dict[str, Any]:
    try:
        return {"names": expression_variables(text)} if text else {}
    except sandbox.SandboxError as error:
        return {"mark": mark_of(error, text)}
    except ValueError:
        return {}  # with braces; the config's own check says so


def _samples(graph: Graph, found: Node) -> dict[str, Any]:
    """By input, something of the type that arrives there."""
    samples = {}
    for edge in graph.edges_into(found.id):
        try:
            port = node_ports(graph, graph.node(edge.source)).output(edge.source_port)
        except (ValidationError, GraphError):
            continue
        if port is not None:
            samples[edge.target_port] = _sample(port.type, edge.target_port)
    return samples


def _sample(type_text: str, name: str) -> Any:
    if type_text.startswith("list["):
        inner = type_text.removeprefix("list[").removesuffix("]")
        return [_sample(inner, f"{name} {number}") for number in (1, 2)]
    if type_text.startswith("dict["):
        return {key: f"‹{key}›" for key in ("title", "text", "score")}
    plain_types: dict[str, Any] = {"int": 1, "float": 0.5, "bool": True}
    return plain_types.get(type_text, f"‹{name}›")


def _interface(graph: Graph, found: Node) -> dict[str, list[Chip]]:
    """The node's ports, as chips."""
    try:
        ports = node_ports(graph, found)
    except (ValidationError, GraphError):
        return {}
    return {side: plain_chips(getattr(ports, side)) for side in ("inputs", "outputs")}


def _profiles(pipeline: Pipeline) -> list[Option]:
    rows = LMProfile.objects.within(pipeline.project).only("name", "model", "is_default")
    found = {name: name for name in sorted(BUILT_IN_PROFILES)}
    found |= {row.name: " · ".join(filter(None, (row.name, row.model))) for row in rows}
    return [("", "Default profile"), *found.items()]


def _collections(pipeline: Pipeline) -> list[Option]:
    rows = Collection.objects.within(pipeline.project).only("name", "document_count")
    found = {name: name for name in sorted(BUILT_IN_COLLECTIONS)}
    found |= {row.name: f"{row.name} · {row.document_count:,} documents" for row in rows}
    return list(found.items())


def _with(options: list[Option], named: Any) -> list[Option]:
    """With what the node names, should it be gone: the choice must not change by being shown."""
    known = {value for value, _ in options}
    if isinstance(named, str) and named not in known:
        return [*options, (named, f"{named} · not there")]
    return options
