"""The history of a pipeline: its versions, who did what to its draft, publishing and taking back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipelines import services
from pipelines.forms import PublishForm
from pipelines.graph.graph import Graph
from pipelines.graph.kinds import KINDS
from pipelines.models import OperationRecord, Pipeline, PipelineVersion
from pipelines.models.errors import Busy, InvalidInput
from pipelines.permissions import Action, allowed, get_or_404
from pipelines.services import NotPublishable, Refused
from pipelines.services.edits import MAX_BEHIND
from pipelines.views.canvas_graph import title_of
from pipelines.views.operation_words import words
from pipelines.views.requests import body_json, number_in, person, uuid_in

PAGE = 60
"""Operations of a page, and seconds that may lie between two that are told together."""
TOGETHER = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """What one person did without a long pause, the latest first."""

    author: Any
    at: datetime
    revision: int
    does: list[str]
    can_be_had: bool


@require_safe
@never_cache
def history(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The panel; with `before`, the operations that come before that revision."""
    pipeline = _pipeline(request, pk)
    before = request.GET.get("before", "")
    rows = pipeline.operations.select_related("author").order_by("-revision")
    if before:
        if not (before.isascii() and before.isdecimal()) or len(before) > 9:
            raise BadRequest("before is a revision.")
        rows = rows.filter(revision__lt=int(before))
    found = list(rows[: PAGE + 1])
    context = {
        "pipeline": pipeline,
        "sittings": list(_sittings(pipeline, found[:PAGE])),
        "next": found[PAGE - 1].revision if len(found) > PAGE else None,
        "may_edit": not pipeline.archived and Action.EDIT in allowed(person(request), pipeline),
    }
    if before:
        return render(request, "pipelines/history.html#operations", context)
    context["versions"] = pipeline.versions.published().defer("text").select_related("published_by")
    return render(request, "pipelines/history.html", context)


def _sittings(pipeline: Pipeline, rows: list[OperationRecord]) -> Iterator[Sitting]:
    graph, now = pipeline.draft.graph, pipeline.draft.revision
    titles = {node.id: title_of(node) for node in graph.nodes.values()}
    kinds = {node.id: KINDS[node.kind].title for node in graph.nodes.values() if node.kind in KINDS}
    for records in _together(rows):
        # The same thing done again and again is told once.
        does = [
            f"{text} ({count} times)" if (count := len(list(group))) > 1 else text
            for text, group in groupby(words(each.operation, titles, kinds) for each in records)
        ]
        yield Sitting(
            author=records[0].author,
            at=records[0].at,
            revision=records[0].revision,
            does=does,
            can_be_had=now - MAX_BEHIND <= records[0].revision < now,
        )


def _together(rows: list[OperationRecord]) -> Iterator[list[OperationRecord]]:
    sitting: list[OperationRecord] = []
    for row in rows:
        last = sitting[-1] if sitting else row
        if row.author_id != last.author_id or (last.at - row.at).total_seconds() > TOGETHER:
            yield sitting
            sitting = []
        sitting.append(row)
    if sitting:
        yield sitting


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def publish(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The dialog that makes the draft the next version."""
    pipeline = get_or_404(person(request), Action.PUBLISH, _found(), pk=pk)
    form = PublishForm(request.POST or None, initial={"revision": pipeline.draft.revision})
    next_number = next_version(pipeline)
    if request.method == "POST" and form.is_valid():
        try:
            version = services.publish_version(
                pipeline=pipeline, user=person(request), **form.cleaned_data
            )
        except NotPublishable as error:
            more = len(error.problems) - 1
            rest = f" And {more} more: see Problems." if more else ""
            form.add_error(None, f"Not published. {error.problems[0]}.{rest}".replace("..", "."))
        except InvalidInput as error:
            form.add_error(None, str(error))
        else:
            said = {"published": {"number": version.number, "anew": version.number == next_number}}
            return HttpResponse(headers={"HX-Trigger": json.dumps(said)})
    context = {"form": form, "title": f"Publish v{next_number}", "does": f"Publish v{next_number}"}
    status = 422 if form.is_bound else 200
    return render(request, "partials/dialog_form.html", context, status=status)


def next_version(pipeline: Pipeline) -> int:
    last = pipeline.versions.published().values_list("number", flat=True).first()
    return (last or 0) + 1


@require_POST
def restore(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Turn the draft into what it was: {id, base_revision, version or revision}."""
    pipeline = get_or_404(person(request), Action.EDIT, _found(), pk=pk)
    body = body_json(request)
    wanted = "version" if "version" in body else "revision"
    past = graph_of(pipeline, **{wanted: number_in(body, wanted)})
    try:
        answer = services.restore(
            pipeline=pipeline,
            user=person(request),
            operation_id=uuid_in(body, "id"),
            base_revision=number_in(body, "base_revision"),
            graph=past,
        )
    except Busy as error:
        return JsonResponse({"code": error.code, "message": error.message}, status=503)
    except InvalidInput as error:
        return JsonResponse({"status": "refused", "message": str(error)})
    if answer is None:
        return JsonResponse({"status": "same"})
    if isinstance(answer, Refused):
        return JsonResponse({"status": "refused", "message": answer.message})
    return JsonResponse(
        {"status": "applied", "id": answer.operation_id, "revision": answer.revision}
    )


def graph_of(
    pipeline: Pipeline, *, version: int | None = None, revision: int | None = None
) -> Graph:
    """The graph of a version or of an earlier revision. Raises Http404 for one that can't be had."""
    try:
        if version is not None:
            return pipeline.versions.get(number=version).graph
        return services.graph_at(pipeline=pipeline, revision=revision)
    except PipelineVersion.DoesNotExist:
        raise Http404(f"There is no version {version}.") from None
    except InvalidInput as error:
        raise Http404(str(error)) from None


def _found() -> Any:
    return Pipeline.objects.select_related("project", "draft")


def _pipeline(request: HttpRequest, pk: UUID) -> Pipeline:
    found: Pipeline = get_or_404(person(request), Action.VIEW, _found(), pk=pk)
    return found
