"""The list of pipelines, and what one does to a whole pipeline: make, copy, rename, archive, import,
export."""

import uuid
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipelines import services
from pipelines.examples import EXAMPLES, example
from pipelines.forms import (
    CopyPipelineForm,
    ImportPipelineForm,
    InProject,
    NewPipelineForm,
    RenamePipelineForm,
)
from pipelines.graph.graph import Graph, GraphError, Node, Position
from pipelines.models import Draft, Person, Pipeline, PipelineVersion, Project
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, get_or_404, projects_where
from pipelines.services import Refused
from pipelines.views.home import templates
from pipelines.views.requests import go_to, person

PAGE = 30
PROJECTS = 300
"""Pipelines on a page, and projects to choose from."""

SORTS = {
    "name": ("name", "pk"),
    "-name": ("-name", "pk"),
    "changed": ("updated_at", "pk"),
    "-changed": ("-updated_at", "pk"),
}
SHOWN = {"all": "All", "mine": "Mine", "published": "Published", "archived": "Archive"}
_NUMBERED = PipelineVersion.objects.filter(pipeline=OuterRef("pk")).published()


@require_safe
def pipeline_list(request: HttpRequest) -> HttpResponse:
    asked = _asked(request)
    user = person(request)
    page = Paginator(_found(user, asked), PAGE).get_page(request.GET.get("page"))
    part = "#results" if request.headers.get("HX-Target", "").endswith("#results") else ""
    here = {pipeline.project_id for pipeline in page}
    editable = projects_where(user, Action.EDIT).filter(pk__in=here)
    context = {
        "page": page,
        "part": part,
        "asked": asked,
        "editable": set(editable.values_list("pk", flat=True)),
        "projects": Project.objects.visible_to(user).order_by("name").distinct()[:PROJECTS],
        "shown": SHOWN,
        "templates": templates()[:4],
        "next_sort": {
            name: f"-{name}" if asked["sort"] == name else name for name in ("name", "changed")
        },
    }
    return render(request, f"pipelines/list.html{part}", context)


def _asked(request: HttpRequest) -> dict[str, str]:
    """What of the address is understood; the rest is left alone."""
    show, sort = request.GET.get("show", "all"), request.GET.get("sort", "-changed")
    return {
        "q": request.GET.get("q", "").replace("\x00", "")[:200].strip(),
        "show": show if show in SHOWN else "all",
        "sort": sort if sort in SORTS else "-changed",
        "project": _uuid(request.GET.get("project", "")),
    }


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _found(user: Person, asked: dict[str, str]) -> QuerySet[Pipeline]:
    found: QuerySet[Pipeline] = Pipeline.objects.visible_to(user).filter(
        archived=asked["show"] == "archived"
    )
    if asked["show"] == "mine":
        found = found.filter(created_by=user.pk)
    if asked["show"] == "published":
        found = found.filter(Exists(_NUMBERED))
    if asked["q"]:
        found = found.filter(name__icontains=asked["q"])
    if asked["project"]:
        found = found.filter(project=UUID(asked["project"]))
    return (
        found.select_related("project", "created_by")
        .defer("description")
        .annotate(published=Subquery(_NUMBERED.values("number")[:1]))
        .order_by(*SORTS[asked["sort"]])
    )


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The dialog for a pipeline from a template, or an empty one."""
    form = NewPipelineForm(person(request), request.POST or None, initial=_first_words(request))
    template = form.data.get("template") or form.initial.get("template") or ""
    if request.method == "POST" and form.is_valid():
        try:
            pipeline = services.create_pipeline(
                project=_project(request, form),
                user=person(request),
                name=form.cleaned_data["name"],
                graph=_start(form.cleaned_data["template"]),
            )
            return go_to(reverse("pipelines:editor", args=[pipeline.pk]))
        except (GraphError, PipelinesError) as error:
            form.say(error)
    title = f"New from “{example(template).name}”" if template in EXAMPLES else "New pipeline"
    return _dialog(request, form, title=title, does="Create pipeline")


def _first_words(request: HttpRequest) -> dict[str, Any]:
    key = request.GET.get("template", "")
    return {"template": key, "name": example(key).name if key in EXAMPLES else ""}


def _start(template: str) -> Graph:
    """A template's graph; without one, an input and an output, side by side."""
    if template in EXAMPLES:
        return example(template)
    graph = Graph.of(
        [
            Node(id="input", kind="input", config={"fields": [{"name": "text", "type": "str"}]}),
            Node(
                id="output", kind="output", config={"fields": [{"name": "answer", "type": "str"}]}
            ),
        ]
    )
    layout = {"input": Position(x=40, y=120), "output": Position(x=680, y=120)}
    return Graph(nodes=graph.nodes, layout=layout)


def _project(request: HttpRequest, form: InProject) -> Project:
    """The chosen one, or the person's own, which is made when it is first needed."""
    chosen: Project | None = form.cleaned_data["project"]
    if chosen is not None:
        return chosen
    assert isinstance(request.user, User)
    return services.personal_project(user=request.user)


@require_http_methods(["GET", "HEAD", "POST"])
def import_file(request: HttpRequest) -> HttpResponse:
    form = ImportPipelineForm(person(request), request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            pipeline = services.import_pipeline(
                project=_project(request, form), user=person(request), text=form.content()
            )
            return go_to(reverse("pipelines:editor", args=[pipeline.pk]))
        except (GraphError, PipelinesError) as error:
            form.say(error, "file" if form.cleaned_data["file"] else "text")
    return _dialog(request, form, title="Import a pipeline", does="Import", upload=True)


@require_http_methods(["GET", "HEAD", "POST"])
def copy(request: HttpRequest, pk: UUID) -> HttpResponse:
    pipeline = get_or_404(person(request), Action.VIEW, Pipeline, pk=pk)
    first = {"name": f"{pipeline.name[:190]} (copy)"}
    form = CopyPipelineForm(person(request), request.POST or None, initial=first)
    if request.method == "POST" and form.is_valid():
        made = services.copy_pipeline(
            pipeline=pipeline,
            user=person(request),
            project=_project(request, form),
            name=form.cleaned_data["name"],
        )
        return go_to(reverse("pipelines:editor", args=[made.pk]))
    return _dialog(request, form, title=f"Copy {pipeline.name}", does="Make a copy")


@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, pk: UUID) -> HttpResponse:
    pipeline = get_or_404(person(request), Action.EDIT, Pipeline, pk=pk)
    first = {"name": pipeline.name, "description": pipeline.description}
    form = RenamePipelineForm(request.POST or None, initial=first)
    if request.method == "POST" and form.is_valid():
        answer = services.apply_operation(
            pipeline=pipeline,
            user=person(request),
            operation_id=uuid.uuid4(),
            base_revision=Draft.objects.values_list("revision", flat=True).get(pipeline=pipeline),
            operation={"op": "describe", **form.cleaned_data},
        )
        if not isinstance(answer, Refused):
            return go_to(reverse("pipelines:list"))
        form.add_error(None, answer.message)
    return _dialog(request, form, title="Rename pipeline", does="Rename")


@require_POST
def archive(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Into the archive, or with `back` out of it."""
    pipeline = get_or_404(person(request), Action.EDIT, Pipeline, pk=pk)
    archived = "back" not in request.POST
    services.archive_pipeline(pipeline=pipeline, user=person(request), archived=archived)
    where = "is in the archive" if archived else "is out of the archive"
    messages.success(request, f"{pipeline.name} {where}.")
    return go_to(reverse("pipelines:list"))


@require_safe
def export(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The draft as a file: the canonical text, which `import_file` reads."""
    pipeline = get_or_404(person(request), Action.VIEW, Pipeline, pk=pk)
    text = Draft.objects.values_list("text", flat=True).get(pipeline=pipeline)
    name = f'attachment; filename="{pipeline.slug}.json"'
    return HttpResponse(
        text, content_type="application/json", headers={"Content-Disposition": name}
    )


def _dialog(request: HttpRequest, form: Any, **words: Any) -> HttpResponse:
    status = 422 if form.is_bound else 200
    return render(request, "partials/dialog_form.html", {"form": form, **words}, status=status)
