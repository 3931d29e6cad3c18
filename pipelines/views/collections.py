"""Collections: the list, one with its documents, and uploads."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models.functions import Length, Substr
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
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
"""Characters of a document in the list."""
MAX_FILES = 50


@require_safe
def collection_list(request: HttpRequest) -> HttpResponse:
    return render(request, "pipelines/collections.html", {"collections": _listed(request)})


@require_safe
def collection(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = get_or_404(person(request), Action.VIEW, Collection, pk=pk)
    return _page(request, found, UploadForm())


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


def _listed(request: HttpRequest) -> list[Collection]:
    return list(Collection.objects.visible_to(person(request)).order_by("name")[:LISTED])


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
        "collections": _listed(request),
        "collection": found,
        "page": Paginator(documents, PAGE).get_page(request.GET.get("page")),
        "form": form,
        "uses": _uses(user, found),
        "may_change": can(user, Action.MANAGE_COLLECTIONS, found),
    }
    return render(request, "pipelines/collections.html", context, status=status)


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


def _uses(user: Person, found: Collection) -> list[Reference]:
    """Nodes of drafts that name it, in pipelines in which the name means this collection."""
    uses = Reference.objects.filter(
        kind=Reference.Kind.COLLECTION,
        key=found.name,
        version=None,
        pipeline__in=Pipeline.objects.visible_to(user),
    )
    if found.project_id:
        uses = uses.filter(pipeline__project=found.project_id)
    return list(uses.select_related("pipeline").order_by("pipeline__name", "node")[:LISTED])
