"""The DSPy modules that workers said they have: a page, and what the inspector shows of a node's."""

import json
import os
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.codec import plain
from pipelines.graph.graph import Node
from pipelines.graph.kinds import KINDS
from pipelines.models import Pipeline
from pipelines.permissions import Action, get_or_404
from pipelines.views.inspector_fields import UNSET, FormField, form_fields
from pipelines.views.requests import person
from runner.bridge import sandbox
from runner.bridge.tools import OPEN_TOOLS, REGISTERED
from runner.models import DSPyModule, RunnerSettings
from runner.views.module_fields import option_fields, read_option

INNER = KINDS["dspy_module"].config.model_fields["inner"].default


@require_safe
@never_cache
def modules(request: HttpRequest) -> HttpResponse:
    context = {
        "modules": [(each, options_of(each)) for each in DSPyModule.objects.all()],
        "run_code": RunnerSettings.current().run_code,
    }
    return render(request, "runner/dspy_modules.html", context)


@require_safe
@never_cache
def of_node(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """What the node's module takes, as controls; what is wrong with what it is given stands at each."""
    pipeline, node = _node(request, pk, node_id)
    known = _known()
    chosen = known.get(str(node.config.get("module", "")))
    inner = known.get(str(node.config.get("inner", INNER)))
    context: dict[str, Any] = {
        "pipeline": pipeline,
        "node": node,
        "names": [name for name, each in known.items() if "signature" in each.takes],
        "module": chosen,
        "unknown": bool(known) and chosen is None and node.config.get("module"),
        "run_code": RunnerSettings.current().run_code,
        "groups": _groups(node, chosen, inner),
        "json": _json_fields(node) if chosen is None else [],
    }
    if (
        chosen
        and chosen.runs_code
        and not (found := sandbox.ready(sandbox.worker_environment(os.environ))).ok
    ):
        context["no_sandbox"] = found.detail
    if chosen and "tools" in chosen.takes:
        context["tools"] = _tools(pipeline)
    return render(request, "runner/dspy_modules.html#of_node", context)


@require_POST
@never_cache
def check_option(request: HttpRequest, pk: UUID, node_id: str) -> HttpResponse:
    """What an option would be with this text in its control, or the error. Stores nothing."""
    _, node = _node(request, pk, node_id)
    part, option = request.POST.get("part", ""), request.POST.get("field", "")
    named = {
        "options": node.config.get("module", ""),
        "inner_options": node.config.get("inner", INNER),
    }
    module = _known().get(str(named.get(part, "")))
    if module is None:
        raise Http404("There is no such module.")
    text = request.POST.get("value", "")
    value, error = read_option(module.name, module.options, option, text)
    context = {
        "error": error,
        "valid": not error,
        "value": None if error or value is UNSET else json.dumps(value),
    }
    return render(request, "pipelines/inspector.html#feedback", context)


def _node(request: HttpRequest, pk: UUID, node_id: str) -> tuple[Pipeline, Node]:
    rows = Pipeline.objects.select_related("draft")
    pipeline = get_or_404(person(request), Action.VIEW, rows, pk=pk)
    node = pipeline.draft.graph.nodes.get(node_id)
    if node is None or node.kind != "dspy_module":
        raise Http404("There is no such node.")
    return pipeline, node


def _known() -> dict[str, DSPyModule]:
    return {each.name: each for each in DSPyModule.objects.all()}


def _groups(
    node: Node, chosen: DSPyModule | None, inner: DSPyModule | None
) -> list[tuple[str, str, list[FormField]]]:
    """By part of the node's config: whose options, and their controls."""
    asked = [("options", chosen)]
    if chosen and "inner" in chosen.takes:
        asked.append(("inner_options", inner))
    groups = [
        (part, each.name, option_fields(each.name, each.options, plain(node.config).get(part)))
        for part, each in asked
        if each is not None
    ]
    return [group for group in groups if group[2]]


def _json_fields(node: Node) -> list[FormField]:
    """The options as JSON, where nothing is known of the module."""
    fields = form_fields(KINDS["dspy_module"].config, node.config)
    return [each for each in fields if each.name in ("options", "inner_options")]


def options_of(module: DSPyModule) -> list[dict[str, object]]:
    """The options as a table, those that must be set first."""
    required = module.options.get("required", ())
    rows = [
        {
            "name": name,
            "type": schema["type"],
            "default": schema.get("default"),
            "required": name in required,
        }
        for name, schema in module.options.get("properties", {}).items()
    ]
    return sorted(rows, key=lambda row: not row["required"])


def _tools(pipeline: Pipeline) -> dict[str, str]:
    """The tools that the pipeline may use, with what they do."""
    allowed = pipeline.allowed_tools.values_list("name", flat=True)
    return OPEN_TOOLS | {
        name: REGISTERED[name].description for name in allowed if name in REGISTERED
    }
