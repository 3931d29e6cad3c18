from typing import Any

import pytest
from django.core.exceptions import ValidationError

from pipelines import services
from pipelines.models import Collection
from pipelines.models.collection import EMPTY
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.services import DocumentText, documents
from tests.people import People, people

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


@pytest.fixture
def faq(who: People) -> Collection:
    return services.create_collection(project=who.project, user=who.editor, name="faq")


def fill(collection: Collection, who: People, *texts: str, **parts: Any) -> Collection:
    found = [DocumentText(text=text, **parts) for text in texts]
    return services.replace_documents(collection=collection, user=who.editor, documents=found)


def test_documents_replace_what_was_there(who: People, faq: Collection) -> None:
    assert faq.content_hash == EMPTY
    fill(faq, who, "one", "two", "three")
    filled = fill(faq, who, "Grüße")
    assert [document.text for document in filled.documents.all()] == ["Grüße"]
    assert (filled.document_count, filled.byte_count) == (1, 7)


def test_the_same_content_has_the_same_hash(who: People, faq: Collection) -> None:
    first = fill(faq, who, "one", "two").content_hash
    assert fill(faq, who, "two", "one").content_hash != first
    assert fill(faq, who, "one", "two", source_name="moved.txt").content_hash == first
    assert fill(faq, who, "one", "two", title="Titled").content_hash != first
    assert fill(faq, who).content_hash == EMPTY


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/var/log/", "log"),
        ("a\x00b\n.txt", "a b .txt"),
        ("x" * 300, "x" * 255),
        ("<img onerror=alert(1)>", "<img onerror=alert(1)>"),
    ],
)
def test_a_source_is_a_name_and_never_a_path(
    who: People, faq: Collection, name: str, shown: str
) -> None:
    filled = fill(faq, who, "text", source_name=name)
    assert filled.documents.get().source_name == shown


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a\x00b", InvalidInput, r"Document 2 \('Bad'\) holds NUL"),
        ("\ud800", InvalidInput, "not valid Unicode"),
        ("x" * 1_000_001, TooLarge, "1,000,001 bytes long; 1,000,000 is the limit. Cut"),
    ],
)
def test_a_bad_document_is_named_and_nothing_is_lost(
    who: People, faq: Collection, text: str, error: type[Exception], message: str
) -> None:
    kept = fill(faq, who, "kept")
    found = [DocumentText(text="good"), DocumentText(text=text, title="Bad")]
    with pytest.raises(error, match=message):
        services.replace_documents(collection=faq, user=who.owner, documents=found)
    assert kept.documents.get().text == "kept"


@pytest.mark.parametrize(("limit", "value"), [("MAX_DOCUMENTS", 1), ("MAX_COLLECTION", 5)])
def test_a_collection_has_limits(
    who: People, faq: Collection, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, limit, value)
    with pytest.raises(TooLarge, match=f"{value} is the limit. Spread"):
        fill(faq, who, "abc", "def")


def test_two_collections_of_a_project_have_two_names(who: People, faq: Collection) -> None:
    with pytest.raises(ValidationError):
        services.create_collection(project=who.project, user=who.owner, name="faq ")
