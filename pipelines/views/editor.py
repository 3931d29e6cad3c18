"""The editor: its page, the graph as JSON, and the operations that come in."""

from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipelines import services
from pipelines.graph import ops
from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.kinds import KINDS
from pipelines.graph.validate import Problem
from pipelines.models import Draft, Person, Pipeline
from pipelines.models.errors import Busy, PipelinesError
from pipelines.permissions import Action, allowed, can, get_or_404
from pipelines.services import Applied, Refused
from pipelines.services.operations import read_operation
from pipelines.views.canvas_graph import (
    graph_json,
    kind_json,
    nodes_json,
    problems_json,
    touched_by,
)
from pipelines.views.history import graph_of, next_version
from pipelines.views.kind_looks import look_of, palette
from pipelines.views.requests import body_json, number_in, person, uuid_in

CAUGHT_UP_BY = 200
"""Operations that a page takes one by one; one that is further behind takes the graph as it is."""


@require_safe
@never_cache
def editor(request: HttpRequest, pk: UUID) -> HttpResponse:
    pipeline = _pipeline(request, pk)
    user = person(request)
    can_do = allowed(user, pipeline)
    readonly = pipeline.archived or Action.EDIT not in can_do
    state = _state(pipeline, user, readonly)
    context = {
        "pipeline": pipeline,
        "revision": pipeline.draft.revision,
        "readonly": readonly,
        "may_run": Action.RUN in can_do,
        "may_publish": Action.PUBLISH in can_do and not pipeline.archived,
        "next_version": next_version(pipeline),
        "palette": _palette(),
        "graph": state.pop("graph"),
        "state": {
            **state,
            "me": user.pk,
            "kinds": {kind.name: kind_json(kind) for kind in KINDS.values()},
        },
    }
    return render(request, "pipelines/editor.html", context)


@require_safe
@never_cache
def past(
    request: HttpRequest, pk: UUID, version: int | None = None, revision: int | None = None
) -> HttpResponse:
    """A version, or the draft at an earlier revision, to look at."""
    pipeline = _pipeline(request, pk)
    graph = graph_of(pipeline, version=version, revision=revision)
    published = pipeline.versions.defer("text").select_related("published_by")
    context = {
        "pipeline": pipeline,
        "past": f"v{version}" if version is not None else f"rev {revision}",
        "query": f"version={version}" if version is not None else f"revision={revision}",
        "version": published.get(number=version) if version is not None else None,
        "readonly": True,
        "may_restore": not pipeline.archived and can(person(request), Action.EDIT, pipeline),
        "palette": [],
        "graph": graph_json(graph, [], readonly=True),
        "state": {
            "me": request.user.pk,
            "revision": pipeline.draft.revision,
            "name": graph.name,
            "problems": [],
            "kinds": {},
        },
    }
    return render(request, "pipelines/editor.html", context)


def _palette() -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "kinds": [
                {
                    "name": kind.name,
                    "title": kind.title,
                    "description": kind.description,
                    "icon": look_of(kind.name).icon,
                    "backend": next(iter(kind.backends))
                    if kind.routed and len(kind.backends) == 1
                    else "",
                }
                for kind in kinds
            ],
        }
        for title, kinds in palette()
    ]


@require_safe
@never_cache
def graph(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The draft for the canvas; 204 for who has the revision named by `since` already."""
    pipeline = _pipeline(request, pk)
    if request.GET.get("since") == str(pipeline.draft.revision):
        return HttpResponse(status=204)
    user = person(request)
    readonly = pipeline.archived or not can(user, Action.EDIT, pipeline)
    return JsonResponse(_state(pipeline, user, readonly))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def operations(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Apply one operation: {id, base_revision, operation}, or {id, undoes} to take one back.

    GET: what was done since the revision `since`.
    """
    if request.method != "POST":
        return JsonResponse(_since(request, pk))
    pipeline = _pipeline(request, pk, Action.EDIT)
    body = body_json(request)
    try:
        answer = _applied(pipeline, person(request), body)
    except Busy as error:
        return JsonResponse({"code": error.code, "message": error.message}, status=503)
    if isinstance(answer, Refused):
        return JsonResponse({"status": "refused", **_refused_json(answer)})
    return JsonResponse({"status": "applied", **_applied_json(pipeline, person(request), answer)})


def _since(request: HttpRequest, pk: UUID) -> dict[str, Any]:
    """The operations with the nodes and problems that follow from them; or, for who is too far behind,
    the whole graph."""
    pipeline, user = _pipeline(request, pk), person(request)
    since, now = request.GET.get("since", ""), pipeline.draft.revision
    if not (since.isascii() and since.isdecimal()) or len(since) > 9:
        raise BadRequest("since is a revision.")
    if not now - CAUGHT_UP_BY <= int(since) <= now:
        return _state(pipeline, user, pipeline.archived or not can(user, Action.EDIT, pipeline))
    graph, records = pipeline.draft.graph, pipeline.operations.between(int(since), now)
    done = [
        {
            "id": record.operation_id,
            "revision": record.revision,
            "operation": record.operation,
            "author_id": record.author_id,
        }
        for record in records
    ]
    found = _problems(pipeline, user)
    touched = {node.id: node for each in done for node in touched_by(graph, each["operation"])}
    return {
        "revision": now,
        "name": graph.name,
        "operations": done,
        "nodes": nodes_json(graph, touched.values(), found),
        "problems": problems_json(graph, found),
    }


@require_POST
def copy_with(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A copy of the pipeline as a refused edit knew it, with that edit: {base_revision, operation}."""
    pipeline = _pipeline(request, pk)
    body = body_json(request)
    assert isinstance(request.user, User)
    try:
        before = services.graph_at(pipeline=pipeline, revision=number_in(body, "base_revision"))
        graph = ops.apply(before, read_operation(body.get("operation")))
        made = services.create_pipeline(
            project=pipeline.project
            if can(request.user, Action.EDIT, pipeline)
            else services.personal_project(user=request.user),
            user=request.user,
            graph=replace(graph, name=f"{pipeline.name[:180]} (my edits)"),
        )
    except (GraphError, PipelinesError) as error:
        return JsonResponse({"message": str(error)}, status=422)
    return JsonResponse({"url": reverse("pipelines:editor", args=[made.pk])}, status=201)


def _pipeline(request: HttpRequest, pk: UUID, action: Action = Action.VIEW) -> Pipeline:
    found = Pipeline.objects.select_related("project", "draft")
    return get_or_404(person(request), action, found, pk=pk)


def _state(pipeline: Pipeline, user: Person, readonly: bool) -> dict[str, Any]:
    graph, found = pipeline.draft.graph, _problems(pipeline, user)
    return {
        "revision": pipeline.draft.revision,
        "name": graph.name,
        "graph": graph_json(graph, found, readonly=readonly),
        "problems": problems_json(graph, found),
    }


def _problems(pipeline: Pipeline, user: Person) -> list[Problem]:
    return services.problems_of(pipeline=pipeline, user=user)


def _applied(pipeline: Pipeline, user: Person, body: dict[str, Any]) -> Applied | Refused:
    operation_id = uuid_in(body, "id")
    if "undoes" in body:
        return services.undo(
            pipeline=pipeline, user=user, operation_id=operation_id, undoes=uuid_in(body, "undoes")
        )
    return services.apply_operation(
        pipeline=pipeline,
        user=user,
        operation_id=operation_id,
        base_revision=number_in(body, "base_revision"),
        operation=body.get("operation"),
    )


def _applied_json(pipeline: Pipeline, user: Person, answer: Applied) -> dict[str, Any]:
    """What has changed on the page. Moves change nothing else, and are by far the most."""
    made: dict[str, Any] = {
        "id": answer.operation_id,
        "revision": answer.revision,
        "operation": answer.operation,
    }
    if answer.operation.get("op") == "move_nodes":
        return made
    graph: Graph = Draft.objects.get(pipeline=pipeline).graph
    found = _problems(pipeline, user)
    return {
        **made,
        "name": graph.name,
        "nodes": nodes_json(graph, touched_by(graph, answer.operation), found),
        "problems": problems_json(graph, found),
    }


def _refused_json(answer: Refused) -> dict[str, Any]:
    """With the names of those whose edits are in the way."""
    ids = {conflict.author_id for conflict in answer.conflicts if conflict.author_id}
    names = {user.pk: user.get_full_name() or user.get_username() for user in _users(ids)}
    return {
        "id": answer.operation_id,
        "revision": answer.revision,
        "code": answer.code,
        "message": answer.message,
        "conflicts": [
            {**asdict(conflict), "author": names.get(conflict.author_id or 0, "Somebody")}
            for conflict in answer.conflicts
        ],
    }


def _users(ids: set[int]) -> list[User]:
    return list(User.objects.filter(pk__in=ids)) if ids else []
