"""The registry of signatures: new entries and new versions."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from pipelines.graph import signature as signatures
from pipelines.models import Person, Project, Signature, SignatureVersion
from pipelines.permissions import Action, require
from pipelines.services.graph_text import check_json_text

_MAX_PARTS = 1_000_000


def create_signature(
    *, project: Project | None, user: Person, name: str, description: str = ""
) -> Signature:
    """An entry without versions; in no project: for everybody."""
    require(user, Action.MANAGE_SIGNATURES, project)
    signature = Signature(project=project, name=name.strip(), description=description)
    signature.full_clean()
    signature.save()
    return signature


def new_signature_version(
    *,
    signature: Signature,
    user: Person,
    text: str,
    instructions: str = "",
    descriptions: Mapping[str, str] | None = None,
    constraints: Mapping[str, Mapping[str, Any]] | None = None,
    types: Mapping[str, Mapping[str, Any]] | None = None,
    note: str = "",
) -> SignatureVersion:
    """The next version; the one that there is, if one asks for exactly the same already.

    Raises SignatureError, with the place in the text, and nothing is stored.
    """
    require(user, Action.MANAGE_SIGNATURES, signature)
    parsed = signatures.parse(
        text,
        instructions=instructions,
        descriptions=descriptions or {},
        constraints=constraints or {},
        types=types or {},
    )
    parts = parsed.parts()
    _check_storable(parts)
    with transaction.atomic():
        # Numbers are given out one at a time.
        Signature.objects.select_for_update().get(pk=signature.pk)
        last = signature.versions.aggregate(last=Max("number"))["last"] or 0
        version, _ = SignatureVersion.objects.get_or_create(
            signature=signature,
            hash=parsed.hash,
            defaults={**parts, "number": last + 1, "note": note[:2_000], "author_id": user.pk},
        )
    return version


def _check_storable(parts: dict[str, Any]) -> None:
    text = json.dumps(parts, ensure_ascii=False)
    check_json_text(text, limit=_MAX_PARTS, what="The signature")
