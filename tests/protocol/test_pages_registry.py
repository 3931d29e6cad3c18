"""Signatures, collections and LM profiles on their pages."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from pipelines import services
from pipelines.examples import example
from pipelines.models import Collection, Credential, LMProfile, Signature
from pipelines.models.errors import InvalidInput
from pipelines.views.document_files import documents_in
from tests.graphs import chain
from tests.people import SECRET, People, credential_of, host, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


@pytest.fixture
def owner(who: People) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.owner)
    return client


def html(response: Any) -> str:
    return str(response.content.decode())


def signature_of(who: People, text: str = "x -> y") -> Signature:
    made = services.create_signature(project=who.project, user=who.owner, name="Ask")
    services.new_signature_version(signature=made, user=who.owner, text=text)
    return made


# Signatures


def test_a_signature_is_made_in_ones_own_project(owner: Client, who: People) -> None:
    owner.post(reverse("pipelines:new_signature"), {"name": "Ask"})
    project = Signature.objects.get(name="Ask").project
    assert project is not None
    assert project.personal_of == who.owner


def test_a_name_that_is_taken_is_said_at_the_field(owner: Client, who: People) -> None:
    signature_of(who)
    data = {"name": "Ask", "project": who.project.pk}
    response = owner.post(reverse("pipelines:new_signature"), data)
    assert response.status_code == 422
    assert "already exists" in html(response)


def test_a_text_is_parsed_while_it_is_typed(owner: Client) -> None:
    response = owner.post(reverse("pipelines:parse_signature"), {"text": "x -> score: float"})
    assert "&quot;number&quot;" in html(response) or '"number"' in html(response)


def test_a_broken_text_keeps_what_was_shown_before(owner: Client) -> None:
    response = owner.post(reverse("pipelines:parse_signature"), {"text": "x -> y: flaot"})
    assert "Column 9" in html(response)
    assert "#schemas" not in html(response)


def test_a_new_version_is_saved_and_the_old_one_stays(owner: Client, who: People) -> None:
    made = signature_of(who)
    address = reverse("pipelines:new_signature_version", args=[made.pk])
    owner.post(address, {"text": "x, z -> y", "note": "Adds z"})
    assert list(made.versions.values_list("number", flat=True)) == [2, 1]
    page = html(owner.get(reverse("pipelines:signature", args=[made.pk]), {"version": "1"}))
    assert "not the latest" in page


@pytest.mark.parametrize(
    "data",
    [
        {"text": ""},
        {"text": "x -> y: flaot"},
        {"text": "x -> y", "constraints": "{"},
        {"text": "x -> y", "descriptions": '{"nobody": "?"}'},
    ],
)
def test_a_version_that_is_none_is_refused(
    owner: Client, who: People, data: dict[str, str]
) -> None:
    made = signature_of(who)
    address = reverse("pipelines:new_signature_version", args=[made.pk])
    assert owner.post(address, data).status_code == 422
    assert made.versions.count() == 1


def test_who_uses_a_signature_is_listed(owner: Client, who: People) -> None:
    pipeline_of(who, name="Uses it", graph=chain(1, signature="x -> y"))
    page = html(owner.get(reverse("pipelines:signature", args=[signature_of(who).pk])))
    assert "Uses it" in page


# Collections


def collection_of(who: People) -> Collection:
    return services.create_collection(project=who.project, user=who.owner, name="handbook")


def upload(client: Client, made: Collection, *files: tuple[str, bytes], how: str = "add") -> Any:
    sent = [SimpleUploadedFile(name, content) for name, content in files]
    address = reverse("pipelines:upload", args=[made.pk])
    return client.post(address, {"documents": sent, "how": how})


def test_files_of_every_kind_become_documents(owner: Client, who: People) -> None:
    made = collection_of(who)
    upload(
        owner,
        made,
        ("a.txt", b"Plain"),
        ("b.md", b"# Heading\n\nText"),
        ("c.csv", b'title,text\nOne,"First, of all"\nTwo,Second\n'),
        ("d.jsonl", b'{"text": "Third"}\n"Fourth"\n'),
    )
    titles = list(made.documents.values_list("title", flat=True))
    assert titles == ["a.txt", "Heading", "One", "Two", "", ""]
    assert made.documents.last().text == "Fourth"  # type: ignore[union-attr]


def test_an_upload_adds_or_replaces(owner: Client, who: People) -> None:
    made = collection_of(who)
    upload(owner, made, ("a.txt", b"A"))
    upload(owner, made, ("b.txt", b"B"))
    assert made.documents.count() == 2
    upload(owner, made, ("c.txt", b"C"), how="replace")
    assert [document.text for document in made.documents.all()] == ["C"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\x89PNG\r\n", "an image"),
        ("a.md", b"%PDF-1.7", "a PDF"),
        ("a.csv", b"PK\x03\x04", "a ZIP archive"),
        ("a.txt", "ä".encode("latin-1"), "not UTF-8"),
        ("a.txt", b"a\x00b", "NUL"),
        ("a.txt", b" \n", "no documents"),
        ("a.exe", b"text", "DSPex reads"),
        ("a.csv", b"name,price\na,1\n", "no column"),
        ("a.csv", b"text,title\na\n", "line 2: 1 values"),
        ("a.csv", b'text\n"a', "not CSV"),
        ("a.jsonl", b'{"text": "a"}\nnot json\n', "line 2"),
        ("a.jsonl", b'{"words": "a"}\n', "line 1"),
        ("a.jsonl", b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    name: str, content: bytes, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        documents_in(name, content)


def test_one_bad_file_stores_none(owner: Client, who: People) -> None:
    made = collection_of(who)
    response = upload(owner, made, ("a.txt", b"Good"), ("b.txt", b"\x89PNG"))
    assert response.status_code == 422
    assert "b.txt is an image" in html(response)
    assert not made.documents.exists()


def test_markup_in_a_document_is_text(owner: Client, who: People) -> None:
    made = collection_of(who)
    upload(owner, made, ("<b>x.txt", b"<img src=x>"))
    page = html(owner.get(reverse("pipelines:collection", args=[made.pk])))
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page


# LM profiles


def test_a_key_goes_in_and_never_comes_out(owner: Client, who: People) -> None:
    data = {"name": "Provider", "host": host().pk, "secret": SECRET, "project": who.project.pk}
    response = owner.post(reverse("pipelines:new_credential"), data)
    assert response.status_code == 204
    pages = html(owner.get(reverse("pipelines:lm_profiles")))
    assert "••••abcd" in pages
    assert SECRET not in pages
    assert Credential.objects.get().reveal("https://api.example.com/v1") == SECRET


def test_a_refused_key_is_not_sent_back(owner: Client) -> None:
    data = {"name": "Provider", "host": "", "secret": SECRET}
    response = owner.post(reverse("pipelines:new_credential"), data)
    assert response.status_code == 422
    assert SECRET not in html(response)


def test_team_mates_see_no_keys(who: People) -> None:
    credential_of(who)
    client = Client(headers={"host": "localhost"})
    client.force_login(who.editor)
    assert "••••" not in html(client.get(reverse("pipelines:lm_profiles")))


def test_a_profile_is_changed_and_its_revision_rises(owner: Client, who: People) -> None:
    profile = profile_of(who)
    address = reverse("pipelines:lm_profile", args=[profile.pk])
    response = owner.get(address)
    form = response.context["form"]
    data = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    data |= {"temperature": "0.4", "settings": "{}", "is_default": ""}
    data.pop("is_default")
    assert owner.post(address, data).status_code == 302
    profile.refresh_from_db()
    assert (profile.temperature, profile.revision) == (0.4, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "9"),
        ("timeout", "0"),
        ("concurrency", "x"),
        ("settings", '{"api_key": "x"}'),
        ("base_url", "https://not-approved.example/v1"),
        ("name", ""),
    ],
)
def test_a_value_that_can_not_be_is_said_at_its_field(
    owner: Client, who: People, field: str, value: str
) -> None:
    profile = profile_of(who)
    data = {
        **dict.fromkeys(("concurrency", "connect_timeout", "timeout", "retries"), "2"),
        **dict.fromkeys(("input_price", "output_price"), "0"),
        **{"name": "fast", "adapter": "scripted", "format": "chat", "settings": "{}"},
        field: value,
    }
    response = owner.post(reverse("pipelines:lm_profile", args=[profile.pk]), data)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert LMProfile.objects.get().revision == 1


def test_a_credential_of_another_project_is_not_offered(owner: Client, who: People) -> None:
    profile = profile_of(who)
    address = reverse("pipelines:lm_profile", args=[profile.pk])
    assert list(owner.get(address).context["form"].fields["credential"].queryset) == []


def test_a_profile_shows_its_fields_in_groups_and_keeps_the_limits(
    owner: Client, who: People
) -> None:
    profile = profile_of(who)
    address = reverse("pipelines:lm_profile", args=[profile.pk])
    page = owner.get(address).content.decode()
    for title in ("Limits", "Time limits, in seconds", "Prices, in US dollars"):
        assert title in page
    data = {
        **dict.fromkeys(("concurrency", "connect_timeout", "timeout", "retries"), "2"),
        **{"input_price": "1", "cached_input_price": "0.1", "output_price": "4"},
        **{"name": "fast", "adapter": "scripted", "format": "chat", "settings": "{}"},
        **{"requests_per_minute": "60", "tokens_per_minute": "", "first_token_timeout": "5"},
    }
    assert owner.post(address, data).status_code == 302
    profile.refresh_from_db()
    assert (profile.requests_per_minute, profile.tokens_per_minute) == (60, None)
    assert (profile.first_token_timeout, profile.cached_input_price) == (5.0, 0.1)


def test_a_budget_is_set_and_taken_away_in_a_dialog(owner: Client, who: People) -> None:
    address = reverse("pipelines:set_budget")
    set_ = {"project": who.project.pk, "period": "day", "tokens": "1000", "cost": ""}
    assert owner.post(address, set_).status_code in (200, 204)
    page = owner.get(reverse("pipelines:lm_profiles")).content.decode()
    assert "a day" in page and "no limit" in page
    assert owner.post(address, set_ | {"tokens": ""}).status_code in (200, 204)
    assert not who.project.budgets.exists()
    assert owner.post(address, set_ | {"cost": "-1"}).status_code == 422


def test_the_built_in_collection_is_listed_and_can_be_read(owner: Client) -> None:
    assert reverse("runner:docs") in html(owner.get(reverse("pipelines:collections")))
    page = html(owner.get(reverse("runner:docs")))
    assert "What DSPy is" in page
    assert "Upload" not in page
    passage = owner.get(reverse("runner:docs_document", args=[0]))
    assert "Python framework" in html(passage)
    assert owner.get(reverse("runner:docs_document", args=[9_999])).status_code == 404


def test_a_query_is_tried_on_a_collection(owner: Client) -> None:
    address = reverse("runner:search_docs")
    page = html(owner.get(address, {"query": "what does an optimizer do?"}))
    assert page.index("What optimizers do") < page.index("Pools")
    assert "No passage shares" in html(owner.get(address, {"query": "xyzzy"}))
    assert "Type a query" in html(owner.get(address, {"query": "\x00 "}))


def test_who_uses_the_built_in_collection_is_told_from_who_has_one_of_that_name(
    owner: Client, who: People
) -> None:
    pipeline_of(who, name="Asks docs", graph=example("ask_documents"))
    assert "Asks docs" in html(owner.get(reverse("runner:docs")))
    own = services.create_collection(project=who.project, user=who.owner, name="docs")
    assert "Asks docs" not in html(owner.get(reverse("runner:docs")))
    assert "Asks docs" in html(owner.get(reverse("pipelines:collection", args=[own.pk])))


def test_strangers_can_try_no_query_on_a_collection(who: People) -> None:
    address = reverse("runner:search", args=[collection_of(who).pk])
    for person, expected in ((who.viewer, 200), (who.outsider, 404)):
        client = Client(headers={"host": "localhost"})
        client.force_login(person)
        assert client.get(address).status_code == expected


def test_a_document_is_read_whole(owner: Client, who: People) -> None:
    made = collection_of(who)
    upload(owner, made, ("long.txt", b"word " * 200 + b"omega"))
    assert "omega" not in html(owner.get(reverse("pipelines:collection", args=[made.pk])))
    assert "word omega" in html(owner.get(reverse("pipelines:document", args=[made.pk, 0])))


def test_a_viewer_is_told_that_they_only_read(who: People) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.viewer)
    page = html(client.get(reverse("pipelines:signature", args=[signature_of(who).pk])))
    assert "read only" in page
    assert "Save as" not in page
    assert "Upload" not in html(client.get(collection_of_address(who)))


def collection_of_address(who: People) -> str:
    return reverse("pipelines:collection", args=[collection_of(who).pk])


def test_a_search_of_the_list_keeps_what_is_shown(owner: Client, who: People) -> None:
    address = reverse("pipelines:signature", args=[signature_of(who).pk])
    headers = {"HX-Request": "true", "HX-Target": "div#entries"}
    page = html(owner.get(address, {"q": "ask"}, headers=headers))
    assert page.strip().startswith('<div id="entries"')
    assert "?q=ask" in page
    assert 'aria-current="true"' in page


def test_instructions_that_were_made_from_the_fields_are_not_kept_as_if_typed(
    owner: Client, who: People
) -> None:
    page = owner.get(reverse("pipelines:signature", args=[signature_of(who).pk]))
    assert page.context["parts"]["instructions"] == ""
