"""The DSPy modules that workers said they have: a page, and what the inspector shows of a node's."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.models import Pipeline
from pipelines.permissions import Action, get_or_404
from pipelines.views.requests import person
from runner.bridge.messages import ModuleInfo
from runner.bridge.module_options import check_options
from runner.bridge.tools import OPEN_TOOLS, REGISTERED
from runner.engine.errors import InvalidConfig
from runner.models import DSPyModule, RunnerSettings


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
    """What the node's module takes, and what is wrong with what it is given."""
    pipeline = get_or_404(
        person(request), Action.VIEW, Pipeline.objects.select_related("draft"), pk=pk
    )
    node = pipeline.draft.graph.nodes.get(node_id)
    if node is None or node.kind != "dspy_module":
        raise Http404("There is no such node.")
    known = {each.name: each for each in DSPyModule.objects.all()}
    chosen = known.get(str(node.config.get("module", "")))
    context: dict[str, Any] = {
        "names": [name for name, each in known.items() if "signature" in each.takes],
        "module": chosen,
        "unknown": bool(known) and chosen is None and node.config.get("module"),
        "options": options_of(chosen) if chosen else [],
        "problem": _problem(chosen, node.config.get("options")) if chosen else "",
        "run_code": RunnerSettings.current().run_code,
    }
    if chosen and "tools" in chosen.takes:
        context["tools"] = _tools(pipeline)
    return render(request, "runner/dspy_modules.html#of_node", context)


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


def _problem(module: DSPyModule, options: Any) -> str:
    """What the worker would say of the options."""
    info = ModuleInfo(name=module.name, options=module.options, takes=tuple(module.takes))
    try:
        check_options(info, options if isinstance(options, dict) else {})
    except InvalidConfig as error:
        return error.message
    return ""


def _tools(pipeline: Pipeline) -> dict[str, str]:
    """The tools that the pipeline may use, with what they do."""
    allowed = pipeline.allowed_tools.values_list("name", flat=True)
    return OPEN_TOOLS | {
        name: REGISTERED[name].description for name in allowed if name in REGISTERED
    }
