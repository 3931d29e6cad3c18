"""Published versions of a project's other pipelines, which the palette offers as nodes."""

from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines import services
from pipelines.graph.graph import Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.sub_pipeline import pinned
from pipelines.models import Pipeline, PipelineVersion
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, get_or_404
from pipelines.views.canvas_graph import kind_json
from pipelines.views.requests import person

LISTED = 30
"""Saved pipelines in one answer; who looks for another types its name."""


@require_safe
@never_cache
def saved(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The latest version of each other pipeline, by name; with `q`, of those whose name holds it."""
    pipeline = get_or_404(person(request), Action.EDIT, Pipeline, pk=pk)
    typed = request.GET.get("q", "").replace("\x00", "")[:200].strip()
    rows = _latest(pipeline).filter(pipeline__name__icontains=typed)
    found = list(rows.order_by("pipeline__name", "pk")[: LISTED + 1])
    return JsonResponse(
        {"pipelines": [_row(each) for each in found[:LISTED]], "more": len(found) > LISTED}
    )


@require_safe
@never_cache
def saved_version(request: HttpRequest, pk: UUID, version_pk: UUID) -> HttpResponse:
    """A node that runs this version, as a kind that the palette can add; 422 says why it can't be."""
    user = person(request)
    into = get_or_404(user, Action.EDIT, Pipeline, pk=pk)
    found = PipelineVersion.objects.select_related("pipeline")
    version = get_or_404(user, Action.VIEW, found, pk=version_pk)
    try:
        config = services.pinned_config(version=version, into=into, user=user)
    except InvalidInput as error:
        return JsonResponse({"message": str(error)}, status=422)
    kind = kind_json(KINDS["pipeline"], config)
    return JsonResponse({**kind, "label": version.pipeline.name})


def _latest(into: Pipeline) -> QuerySet[PipelineVersion]:
    same = PipelineVersion.objects.filter(pipeline=OuterRef("pipeline")).published()
    found = PipelineVersion.objects.filter(
        pipeline__project=into.project_id, pipeline__archived=False
    )
    return (
        found.exclude(pipeline=into)
        .alias(latest=Subquery(same.values("number")[:1]))
        .filter(number=F("latest"))
        .select_related("pipeline")
    )


def _row(version: PipelineVersion) -> dict[str, Any]:
    graph = version.graph
    kind = kind_json(KINDS["pipeline"], pinned(str(version.pk), graph))
    return {
        "version": str(version.pk),
        "number": version.number,
        "name": version.pipeline.name,
        "description": graph.description[:200],
        "inputs": kind["inputs"],
        "outputs": kind["outputs"],
    }


def pin_of(pipeline: Pipeline, node: Node) -> dict[str, PipelineVersion | None]:
    """The version that a node pins, and the latest published one if that is newer."""
    rows = PipelineVersion.objects.defer("text").filter(pipeline__project=pipeline.project_id)
    try:
        version = rows.select_related("pipeline").get(pk=UUID(str(node.config.get("version"))))
    except (ValueError, PipelineVersion.DoesNotExist):
        return {"version": None, "newer": None}
    latest = version.pipeline.versions.published().defer("text").first()
    is_newer = latest is not None and (latest.number or 0) > (version.number or 0)
    return {"version": version, "newer": latest if is_newer else None}
