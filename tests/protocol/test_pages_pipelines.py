"""The list of pipelines, and making, copying, renaming, archiving, importing and exporting one."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from pipelines import services
from pipelines.examples import EXAMPLES, example
from pipelines.graph import codec
from pipelines.graph.validate import validate
from pipelines.models import Pipeline, Project
from tests.graphs import chain
from tests.people import People, people, pipeline_of

pytestmark = pytest.mark.django_db
MARKUP = "<img src=x onerror=alert(1)>"


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


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_can_run_and_every_node_has_a_place(name: str) -> None:
    graph = example(name)
    assert validate(graph) == []
    assert set(graph.layout) == set(graph.nodes)
    assert graph.name
    assert graph.description


def test_a_newcomer_lands_on_the_gallery_and_others_on_their_list(
    owner: Client, who: People
) -> None:
    assert owner.get("/")["Location"] == reverse("pipelines:gallery")
    pipeline_of(who)
    assert owner.get("/")["Location"] == reverse("pipelines:list")


def test_the_gallery_offers_every_example(owner: Client) -> None:
    page = html(owner.get(reverse("pipelines:gallery")))
    assert all(example(name).name in page for name in EXAMPLES)


def test_a_template_becomes_a_pipeline_of_ones_own(owner: Client, who: People) -> None:
    data = {"name": "Mine", "template": "classify"}
    response = owner.post(reverse("pipelines:new"), data)
    made = Pipeline.objects.get(name="Mine")
    assert response["HX-Redirect"] == reverse("pipelines:editor", args=[made.pk])
    assert made.project.personal_of == who.owner
    assert codec.content_hash(made.draft.graph) == codec.content_hash(example("classify"))


def test_a_blank_pipeline_has_two_ends(owner: Client) -> None:
    owner.post(reverse("pipelines:new"), {"name": "Empty", "template": "no such template"})
    assert set(Pipeline.objects.get().draft.graph.nodes) == {"input", "output"}


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_name_that_is_none_is_refused_at_the_field(owner: Client, name: str) -> None:
    response = owner.post(reverse("pipelines:new"), {"name": name})
    assert response.status_code == 422
    assert 'aria-invalid="true"' in html(response)
    assert not Pipeline.objects.exists()


def test_nothing_is_made_in_a_project_of_others(owner: Client) -> None:
    others = Project.objects.create(name="Others")
    response = owner.post(reverse("pipelines:new"), {"name": "Mine", "project": others.pk})
    assert response.status_code == 422
    assert not Pipeline.objects.exists()


def test_the_list_finds_by_name_and_shows_nothing_of_others(owner: Client, who: People) -> None:
    pipeline_of(who, name="Triage mail")
    pipeline_of(who, name="Write notes")
    stranger = Client(headers={"host": "localhost"})
    stranger.force_login(who.outsider)
    address = reverse("pipelines:list")
    page = html(owner.get(address, {"q": "triage"}))
    assert "Triage mail" in page
    assert "Write notes" not in page
    assert "Triage mail" not in html(stranger.get(address))


def test_markup_in_a_name_is_text(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who, name=MARKUP)
    for address in (reverse("pipelines:list"), reverse("pipelines:editor", args=[pipeline.pk])):
        page = html(owner.get(address, {"q": MARKUP}))
        assert MARKUP not in page
        assert "&lt;img" in page


@pytest.mark.parametrize(
    "query",
    [{"sort": "project__owner"}, {"page": "-1"}, {"page": "x" * 99}, {"q": "\x00"}, {"show": "?"}],
)
def test_what_an_address_says_wrongly_is_left_alone(owner: Client, query: dict[str, str]) -> None:
    assert owner.get(reverse("pipelines:list"), query).status_code == 200


def test_more_rows_take_no_more_queries(
    owner: Client, who: People, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        pipeline_of(who, name=f"Pipeline {number}", graph=chain(1))
    with django_assert_max_num_queries(7):
        assert owner.get(reverse("pipelines:list")).status_code == 200


def test_a_search_answers_with_the_rows_alone(owner: Client, who: People) -> None:
    pipeline_of(who)
    headers = {"HX-Request": "true", "HX-Target": "div#results"}
    page = html(owner.get(reverse("pipelines:list"), headers=headers))
    assert page.strip().startswith('<div id="results"')


def test_rename_goes_through_an_operation(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    owner.post(reverse("pipelines:rename", args=[pipeline.pk]), {"name": "Sort mail"})
    pipeline.refresh_from_db()
    assert (pipeline.name, pipeline.draft.revision) == ("Sort mail", 1)


def test_the_archive_hides_and_gives_back(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    address = reverse("pipelines:archive", args=[pipeline.pk])
    owner.post(address)
    page = html(owner.get(reverse("pipelines:editor", args=[pipeline.pk])))
    assert "In the archive" in page
    owner.post(address, {"back": "1"})
    pipeline.refresh_from_db()
    assert not pipeline.archived


def test_a_copy_is_made_by_whoever_may_look(who: People) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.viewer)
    pipeline = pipeline_of(who)
    client.post(reverse("pipelines:copy", args=[pipeline.pk]), {"name": "For me"})
    assert Pipeline.objects.get(name="For me").project.personal_of == who.viewer


def test_what_is_exported_can_be_imported(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    response = owner.get(reverse("pipelines:export", args=[pipeline.pk]))
    assert response["Content-Disposition"] == 'attachment; filename="answer-mail.json"'
    file = SimpleUploadedFile("answer-mail.json", response.content)
    owner.post(reverse("pipelines:import"), {"file": file})
    made = Pipeline.objects.exclude(pk=pipeline.pk).get()
    assert made.draft.text == pipeline.draft.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG", "text in UTF-8"),
        (b"{}", "format"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"format": 1, "nodes": {"a": {"kind": "lm", "code": "x"}}}', "wrong at nodes.a.code"),
        (b'{"format": 1, "nodes": {}, "owner": "me"}', "wrong at owner"),
        (b'{"format": 1, "nodes": {}, "name": "a\\u0000b"}', "NUL"),
        (b"", "Choose a file"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(owner: Client, content: bytes, said: str) -> None:
    file = SimpleUploadedFile("pipeline.json", content)
    response = owner.post(reverse("pipelines:import"), {"file": file})
    assert response.status_code == 422
    assert said in html(response) or "empty" in html(response)
    assert not Pipeline.objects.exists()


def test_a_pipeline_of_ten_thousand_nodes_is_refused(owner: Client) -> None:
    nodes = {f"n{number}": {"kind": "lm"} for number in range(10_000)}
    text = json.dumps({"format": 1, "nodes": nodes})
    response = owner.post(reverse("pipelines:import"), {"text": text})
    assert response.status_code == 422
    assert "5,000 is the limit" in html(response)


def test_go_to_finds_by_name_what_one_may_see(owner: Client, who: People) -> None:
    pipeline_of(who, name="Triage mail")
    stranger = Client(headers={"host": "localhost"})
    stranger.force_login(who.outsider)
    assert "Triage mail" in html(owner.get(reverse("pipelines:goto"), {"q": "triage"}))
    assert "Triage mail" not in html(stranger.get(reverse("pipelines:goto"), {"q": "mail"}))


def test_a_viewers_menu_holds_what_a_viewer_may_do(who: People) -> None:
    pipeline = pipeline_of(who)
    client = Client(headers={"host": "localhost"})
    client.force_login(who.viewer)
    page = html(client.get(reverse("pipelines:list")))
    assert "You may look at Support desk" in page
    assert reverse("pipelines:copy", args=[pipeline.pk]) in page
    for name in ("rename", "archive"):
        assert reverse(f"pipelines:{name}", args=[pipeline.pk]) not in page


def test_the_list_is_narrowed_to_a_project(owner: Client, who: People) -> None:
    other = services.create_project(user=who.owner, name="Other")
    pipeline_of(who, name="Here")
    services.create_pipeline(project=other, user=who.owner, name="There")
    address = reverse("pipelines:list")
    assert "All projects" in html(owner.get(address))
    page = html(owner.get(address, {"project": other.pk}))
    assert "There" in page
    assert ">Here<" not in page
    assert owner.get(address, {"project": "x"}).status_code == 200
