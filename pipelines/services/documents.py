"""What is in a collection."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from pipelines.models import Collection, Document, Person, Project
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.permissions import Action, require

MAX_DOCUMENTS = 20_000
MAX_DOCUMENT = 1_000_000
MAX_COLLECTION = 50_000_000
"""Bytes of text, of one document and of all."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText:
    """A document to be stored."""

    text: str
    title: str = ""
    source_name: str = ""


def create_collection(
    *, project: Project | None, user: Person, name: str, description: str = ""
) -> Collection:
    """A collection without documents; in no project: for everybody."""
    require(user, Action.MANAGE_COLLECTIONS, project)
    collection = Collection(project=project, name=name.strip(), description=description)
    collection.full_clean()
    collection.save()
    return collection


def replace_documents(
    *, collection: Collection, user: Person, documents: Sequence[DocumentText]
) -> Collection:
    """Make these the documents of the collection, in this order, all or none.

    Raises TooLarge and InvalidInput, each naming the document. Runs under way that look the
    collection up again find the new content under its new hash.
    """
    require(user, Action.MANAGE_COLLECTIONS, collection)
    if len(documents) > MAX_DOCUMENTS:
        raise TooLarge(
            f"There are {len(documents):,} documents; {MAX_DOCUMENTS:,} is the limit. "
            "Spread them over several collections."
        )
    sizes = [_checked_size(number, document) for number, document in enumerate(documents, 1)]
    if sum(sizes) > MAX_COLLECTION:
        raise TooLarge(
            f"The documents have {sum(sizes):,} bytes; {MAX_COLLECTION:,} is the limit. "
            "Spread them over several collections."
        )
    with transaction.atomic():
        kept = Collection.objects.select_for_update().get(pk=collection.pk)
        kept.documents.all().delete()
        Document.objects.bulk_create(_rows(kept, documents), batch_size=500)
        kept.content_hash = _content_hash(documents)
        kept.document_count, kept.byte_count = len(documents), sum(sizes)
        kept.save(update_fields=["content_hash", "document_count", "byte_count", "updated_at"])
    return kept


def _rows(collection: Collection, documents: Sequence[DocumentText]) -> Iterable[Document]:
    return (
        Document(
            collection=collection,
            position=position,
            title=_one_line(document.title, 300),
            text=document.text,
            source_name=_one_line(_last_part(document.source_name), 255),
        )
        for position, document in enumerate(documents)
    )


def _checked_size(number: int, document: DocumentText) -> int:
    name = f"Document {number}" + (f" ('{document.title[:60]}')" if document.title else "")
    try:
        for line in (document.title, document.source_name):
            line.encode()
        size = len(document.text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{name} is not valid Unicode. Save it as UTF-8.") from None
    if "\x00" in document.text:
        raise InvalidInput(f"{name} holds NUL characters, so it is no text. Leave it out.")
    if size > MAX_DOCUMENT:
        raise TooLarge(
            f"{name} is {size:,} bytes long; {MAX_DOCUMENT:,} is the limit. Cut it in parts."
        )
    return size


def _content_hash(documents: Sequence[DocumentText]) -> str:
    """What search sees, in order: titles and texts, not where they came from."""
    whole = hashlib.sha256()
    for document in documents:
        whole.update(json.dumps([_one_line(document.title, 300), document.text]).encode() + b"\n")
    return whole.hexdigest()


def _last_part(path: str) -> str:
    """A file's name without its folders. It is only ever shown."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _one_line(text: str, limit: int) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()[:limit]
