"""The registry of signatures: the list, one signature with its versions, and its text as it is typed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pipelines import services
from pipelines.forms import NewSignatureForm, SignatureTextForm
from pipelines.graph import signature as signatures
from pipelines.models import Person, Pipeline, Reference, Signature, SignatureVersion
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can, get_or_404
from pipelines.views.code_marks import mark_of
from pipelines.views.inspector import worded
from pipelines.views.marked_json import marked_json
from pipelines.views.requests import go_to, person
from pipelines.views.type_look import Chip, chips_of

LISTED = 300
_LATEST = SignatureVersion.objects.filter(signature=OuterRef("pk")).order_by("-number")
_BY_FIELD = ("descriptions", "constraints", "types")
_FIRST_TEXT = "question -> answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """A line of the table of fields."""

    chip: Chip
    direction: str
    description: str
    constraint: str


@require_safe
def signature_list(request: HttpRequest) -> HttpResponse:
    return render(request, f"pipelines/signatures.html{_part(request)}", _listed(request))


@require_safe
@never_cache
def signature(request: HttpRequest, pk: UUID) -> HttpResponse:
    user = person(request)
    found = get_or_404(user, Action.VIEW, Signature, pk=pk)
    versions = list(found.versions.select_related("author"))
    shown = _shown(versions, request.GET.get("version", ""))
    parts = parts_of(shown)
    if part := _part(request):
        context = {**_listed(request), "signature": found}
        return render(request, f"pipelines/signatures.html{part}", context)
    context = {
        **_listed(request),
        "signature": found,
        "versions": versions,
        "shown": shown,
        "next_number": versions[0].number + 1 if versions else 1,
        "parts": parts,
        "uses": uses_of(user, versions),
        "may_change": can(user, Action.MANAGE_SIGNATURES, found),
        **{f"{key}_json": _json_text(parts.get(key)) for key in _BY_FIELD},
        **read(parts),
    }
    return render(request, "pipelines/signatures.html", context)


@require_POST
@never_cache
def parse(request: HttpRequest) -> HttpResponse:
    """What a text means, while it is typed. Stores nothing, and asks for nothing that is stored."""
    form = SignatureTextForm(request.POST)
    form.is_valid()
    context = {"number": request.POST.get("number", "")[:9], **read(form.parts())}
    return render(request, "pipelines/signatures.html#parsed", context)


@require_POST
def new_version(request: HttpRequest, pk: UUID) -> HttpResponse:
    user = person(request)
    found = get_or_404(user, Action.MANAGE_SIGNATURES, Signature, pk=pk)
    form = SignatureTextForm(request.POST)
    if form.is_valid():
        try:
            made = services.new_signature_version(
                signature=found, user=user, note=form.cleaned_data["note"], **form.parts()
            )
            messages.success(request, f"{found.name} v{made.number} is saved.")
            return go_to(reverse("pipelines:signature", args=[pk]))
        except (signatures.SignatureError, PipelinesError) as error:
            said = worded(error) if isinstance(error, signatures.SignatureError) else str(error)
    else:
        said = " ".join(str(message) for errors in form.errors.values() for message in errors)
    context = {**read(form.parts()), "error": said}
    return render(request, "pipelines/signatures.html#parsed", context, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = NewSignatureForm(person(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        values = form.cleaned_data
        try:
            made = services.create_signature(
                project=values["project"] or services.personal_project(user=request.user),
                user=request.user,
                name=values["name"],
                description=values["description"],
            )
            return go_to(reverse("pipelines:signature", args=[made.pk]))
        except (ValidationError, PipelinesError) as error:
            form.say(error, "name")
    words = {"form": form, "title": "New signature", "does": "Create signature"}
    status = 422 if form.is_bound else 200
    return render(request, "partials/dialog_form.html", words, status=status)


def _listed(request: HttpRequest) -> dict[str, Any]:
    """What every page with the list of signatures shows."""
    found = Signature.objects.visible_to(person(request)).filter(archived=False)
    if q := _query(request):
        found = found.filter(Q(name__icontains=q) | Q(versions__text__icontains=q))
    latest = {"number": Subquery(_LATEST.values("number")[:1])}
    latest["text"] = Subquery(_LATEST.values("text")[:1])
    rows = list(found.distinct().annotate(**latest).order_by("name", "pk")[: LISTED + 1])
    return {"signatures": rows[:LISTED], "more": len(rows) > LISTED, "q": q}


def _query(request: HttpRequest) -> str:
    return request.GET.get("q", "").replace("\x00", "")[:200].strip()


def _part(request: HttpRequest) -> str:
    return "#entries" if request.headers.get("HX-Target", "").endswith("#entries") else ""


def _shown(versions: list[SignatureVersion], number: str) -> SignatureVersion | None:
    wanted = [version for version in versions if str(version.number) == number]
    return next(iter(wanted or versions), None)


def parts_of(version: SignatureVersion | None) -> dict[str, Any]:
    """As one types them: instructions that were made from the fields are made anew."""
    if version is None:
        return {"text": _FIRST_TEXT, "instructions": ""}
    parts = {key: getattr(version, key) for key in ("text", "instructions", *_BY_FIELD)}
    made = signatures.parse(**{**parts, "instructions": ""}).instructions
    return {**parts, "instructions": ""} if parts["instructions"] == made else parts


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


def read(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Chips, rows and schemas of a text, or what is wrong with it."""
    try:
        parsed = signatures.parse(**parts)
        schema = parsed.json_schema()
    except signatures.SignatureError as error:
        return {"error": worded(error), "mark": mark_of(error, error.text)}
    return {
        "inputs": chips_of(parsed.inputs.values()),
        "outputs": chips_of(parsed.outputs.values()),
        "rows": _rows(parsed),
        "schemas": {side: marked_json(schema[side]) for side in ("inputs", "outputs")},
    }


def _rows(parsed: signatures.Signature) -> list[FieldRow]:
    return [
        FieldRow(
            chip=chip,
            direction=direction,
            description=field.description,
            constraint=", ".join(f"{key} {value}" for key, value in field.constraints.items()),
        )
        for direction, fields in (("in", parsed.inputs), ("out", parsed.outputs))
        for chip, field in zip(chips_of(fields.values()), fields.values(), strict=True)
    ]


def uses_of(user: Person, versions: list[SignatureVersion]) -> list[dict[str, Any]]:
    """The nodes of drafts that have one of the versions, as far as the person may see them."""
    numbers = {version.hash: version.number for version in versions}
    found = Reference.objects.filter(
        kind=Reference.Kind.SIGNATURE,
        key__in=numbers,
        version=None,
        pipeline__in=Pipeline.objects.visible_to(user).active(),
    )
    return [
        {"pipeline": use.pipeline, "node": use.node, "number": numbers[use.key]}
        for use in found.select_related("pipeline").order_by("pipeline__name", "node")[:LISTED]
    ]
