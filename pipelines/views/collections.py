"""Collections: the list, one with its documents, and uploads."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Length, Substr
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipelines import services
from pipelines.forms import NewCollectionForm, UploadForm
from pipelines.models import Collection, Person, Pipeline, Reference
from pipelines.models.errors import InvalidInput, PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.services import DocumentText
from pipelines.views.document_files import documents_in
from pipelines.views.requests import go_to, person

LISTED = 300
PAGE = 50
SHOWN = 240
"""Collections and documents in their lists, and characters of a document there."""
MAX_FILES = 50


@require_safe
def collection_list(request: HttpRequest) -> HttpResponse:
    return render(request, f"pipelines/collections.html{_part(request)}", listed(request))


@require_safe
def collection(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = get_or_404(person(request), Action.VIEW, Collection, pk=pk)
    return _page(request, found, UploadForm())


@require_safe
def document(request: HttpRequest, pk: UUID, position: int) -> HttpResponse:
    """One document, whole."""
    found = get_or_404(person(request), Action.VIEW, Collection, pk=pk)
    shown = get_object_or_404(found.documents, position=position)
    return render(request, "partials/document.html", {"document": shown})


@require_POST
def upload(request: HttpRequest, pk: UUID) -> HttpResponse:
    """All files, or none of them."""
    user = person(request)
    found = get_or_404(user, Action.MANAGE_COLLECTIONS, Collection, pk=pk)
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            count = _store(found, user, form.cleaned_data["documents"], form.cleaned_data["how"])
            messages.success(request, f"{found.name} has {count:,} documents.")
            return redirect("pipelines:collection", pk=pk)
        except PipelinesError as error:
            form.say(error, "documents")
    return _page(request, found, form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = NewCollectionForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        values = form.cleaned_data
        try:
            made = services.create_collection(
                project=values["project"] or services.personal_project(user=request.user),
                user=request.user,
                name=values["name"],
                description=values["description"],
            )
            return go_to(reverse("pipelines:collection", args=[made.pk]))
        except (ValidationError, PipelinesError) as error:
            form.say(error, "name")
    words = {"form": form, "title": "New collection", "does": "Create collection"}
    status = 422 if form.is_bound else 200
    return render(request, "partials/dialog_form.html", words, status=status)


def listed(request: HttpRequest) -> dict[str, Any]:
    """What every page with the list of collections shows."""
    q = request.GET.get("q", "").replace("\x00", "")[:200].strip()
    found = Collection.objects.visible_to(person(request)).select_related("project")
    if q:
        found = found.filter(Q(name__icontains=q) | Q(description__icontains=q))
    rows = list(found.order_by("name", "pk")[: LISTED + 1])
    return {"collections": rows[:LISTED], "more": len(rows) > LISTED, "q": q}


def _part(request: HttpRequest) -> str:
    return "#entries" if request.headers.get("HX-Target", "").endswith("#entries") else ""


def _page(
    request: HttpRequest, found: Collection, form: UploadForm, status: int = 200
) -> HttpResponse:
    user = person(request)
    documents = (
        found.documents.defer("text")
        .annotate(start=Substr("text", 1, SHOWN), size=Length("text"))
        .order_by("position")
    )
    context = {
        **listed(request),
        "collection": found,
        "page": Paginator(documents, PAGE).get_page(request.GET.get("page")),
        "form": form,
        "uses": uses_of(user, found.name, found),
        "may_change": can(user, Action.MANAGE_COLLECTIONS, found),
    }
    name = f"pipelines/collections.html{_part(request)}"
    return render(request, name, context, status=status)


def _store(found: Collection, user: Person, files: "list[UploadedFile[Any]]", how: str) -> int:
    """How many documents there are afterwards. Two uploads at a time follow each other."""
    if len(files) > MAX_FILES:
        raise InvalidInput(f"These are {len(files)} files; {MAX_FILES} at a time is the limit.")
    read = [document for file in files for document in documents_in(file.name or "", file.read())]
    with transaction.atomic():
        Collection.objects.select_for_update().get(pk=found.pk)
        kept = _kept(found) if how == "add" else []
        services.replace_documents(collection=found, user=user, documents=[*kept, *read])
    return len(kept) + len(read)


def _kept(found: Collection) -> list[DocumentText]:
    rows = found.documents.order_by("position").values_list("text", "title", "source_name")
    return [DocumentText(text=text, title=title, source_name=name) for text, title, name in rows]


def uses_of(user: Person, name: str, found: Collection | None) -> list[Reference]:
    """Nodes of drafts that name it, in pipelines in which the name means this collection; without
    one, the collection of that name that comes with DSPex."""
    uses = Reference.objects.filter(
        kind=Reference.Kind.COLLECTION,
        key=name,
        version=None,
        pipeline__in=Pipeline.objects.visible_to(user).active(),
    )
    if found is not None and found.project_id:
        uses = uses.filter(pipeline__project=found.project_id)
    else:
        others = Collection.objects.filter(name=name)
        uses = uses.exclude(pipeline__project__in=others.exclude(project=None).values("project"))
        if found is None and others.filter(project=None).exists():
            return []
    return list(uses.select_related("pipeline").order_by("pipeline__name", "node")[:LISTED])
