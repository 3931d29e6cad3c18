"""Publishing, the history of a pipeline, what it was, and taking it back to that."""

import json
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pipelines import services
from pipelines.graph import codec
from pipelines.graph.graph import Graph
from pipelines.models import Pipeline
from pipelines.views import history
from pipelines.views.operation_words import words
from tests.graphs import chain, node
from tests.people import People, apply, people, pipeline_of

pytestmark = pytest.mark.django_db
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def who() -> People:
    return people()


def client_of(who: People, name: str = "owner") -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.named(name))
    return client


@pytest.fixture
def owner(who: People) -> Client:
    return client_of(who)


@pytest.fixture
def pipeline(who: People) -> Pipeline:
    return pipeline_of(who)


def rename(label: str, node: str = "s0") -> dict[str, Any]:
    return {"op": "rename", "node": node, "label": label}


def get(client: Client, name: str, pipeline: Pipeline, *more: Any, **query: Any) -> Any:
    return client.get(reverse(f"pipelines:{name}", args=[pipeline.pk, *more]), query)


def post(client: Client, name: str, pipeline: Pipeline, **body: Any) -> Any:
    address = reverse(f"pipelines:{name}", args=[pipeline.pk])
    return client.post(address, json.dumps(body), content_type="application/json")


def restored(client: Client, pipeline: Pipeline, base: int, **wanted: int) -> Any:
    body = {"id": str(uuid.uuid4()), "base_revision": base, **wanted}
    return post(client, "restore", pipeline, **body)


def published(client: Client, pipeline: Pipeline, revision: int = 0, note: str = "") -> Any:
    address = reverse("pipelines:publish", args=[pipeline.pk])
    return client.post(address, {"revision": revision, "note": note})


# What was done since


def test_what_was_done_since_comes_in_order_with_its_nodes(who: People, owner: Client) -> None:
    pipeline = pipeline_of(who)
    for revision, label in enumerate(("A", "B", "C")):
        apply(pipeline, who.editor, revision, **rename(label))
    caught = get(owner, "operations", pipeline, since=1).json()
    assert [each["revision"] for each in caught["operations"]] == [2, 3]
    assert [node["label"] for node in caught["nodes"]] == ["C"]
    assert (caught["revision"], caught["problems"]) == (3, [])


def test_who_is_far_behind_or_ahead_gets_the_whole_graph(
    who: People, owner: Client, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.views.editor.CAUGHT_UP_BY", 1)
    for revision in range(2):
        apply(pipeline, who.editor, revision, **rename(str(revision)))
    for since in (0, 99):
        assert "graph" in get(owner, "operations", pipeline, since=since).json()


@pytest.mark.parametrize("since", ["", "-1", "x", "1" * 20, "٣"])
def test_a_revision_that_is_none_is_refused(owner: Client, pipeline: Pipeline, since: str) -> None:
    assert get(owner, "operations", pipeline, since=since).status_code == 400


# Versions


def test_publishing_gives_the_next_number(owner: Client, pipeline: Pipeline, who: People) -> None:
    said = json.loads(published(owner, pipeline, note="First").headers["HX-Trigger"])
    assert said == {"published": {"number": 1, "anew": True}}
    version = pipeline.versions.get()
    assert (version.note, version.published_by) == ("First", who.owner)


def test_the_same_again_is_no_new_version(owner: Client, pipeline: Pipeline) -> None:
    published(owner, pipeline)
    said = json.loads(published(owner, pipeline).headers["HX-Trigger"])
    assert said == {"published": {"number": 1, "anew": False}}


def test_what_has_problems_is_not_published_and_says_why(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who, graph=Graph.of([node("lonely")]))
    response = published(owner, pipeline)
    assert response.status_code == 422
    assert "Not published." in response.content.decode()
    assert not pipeline.versions.exists()


def test_what_is_published_is_the_revision_that_one_saw(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    apply(pipeline, who.editor, 0, **rename("Later"))
    published(owner, pipeline, revision=0)
    assert pipeline.versions.get().graph.node("s0").label == ""


@pytest.mark.parametrize(
    ("name", "views", "publishes"),
    [("owner", 200, 200), ("editor", 200, 200), ("viewer", 200, 403), ("outsider", 404, 404)],
)
def test_who_may_see_and_publish(
    who: People, pipeline: Pipeline, name: str, views: int, publishes: int
) -> None:
    client = client_of(who, name)
    assert get(client, "history", pipeline).status_code == views
    assert get(client, "operations", pipeline, since=0).status_code == views
    assert get(client, "revision", pipeline, 0).status_code == views
    assert published(client, pipeline).status_code == publishes
    restores = {200: 200, 404: 404}.get(publishes, 403)
    assert restored(client, pipeline, 0, revision=0).status_code == restores


# The history


def test_the_history_tells_who_did_what(owner: Client, who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.editor, 0, **rename("First"))
    apply(pipeline, who.owner, 1, op="move_nodes", positions={"s0": [1, 2], "s1": [3, 4]})
    published(owner, pipeline, revision=2, note="All new")
    page = get(owner, "history", pipeline).content.decode()
    for said in ("Named Predict “First”", "Moved 2 nodes", "editor", "v1", "All new"):
        assert said in page


def test_a_long_history_comes_in_pages(
    owner: Client, who: People, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE", 2)
    for revision in range(3):
        apply(pipeline, who.editor, revision, **rename(f"Name {revision}"))
    first = get(owner, "history", pipeline).content.decode()
    assert "Name 1" in first and "Name 0" not in first and "?before=2" in first
    rest = get(owner, "history", pipeline, before=2).content.decode()
    assert "Name 0" in rest and "Versions" not in rest and "Show earlier" not in rest


def test_the_number_of_queries_does_not_grow_with_the_history(
    owner: Client, who: People, pipeline: Pipeline, django_assert_max_num_queries: Any
) -> None:
    for revision in range(20):
        author = who.editor if revision % 2 else who.owner
        apply(pipeline, author, revision, **rename(f"Name {revision}"))
    with django_assert_max_num_queries(7):
        get(owner, "history", pipeline)


def test_markup_in_names_and_notes_is_text(owner: Client, who: People, pipeline: Pipeline) -> None:
    apply(pipeline, who.editor, 0, **rename(MARKUP))
    published(owner, pipeline, revision=1, note=MARKUP)
    for response in (get(owner, "history", pipeline), get(owner, "version", pipeline, 1)):
        assert MARKUP not in response.content.decode()


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"op": "add_node", "node": "a"}, "Added Alpha"),
        ({"op": "remove_node", "node": "gone"}, "Removed gone"),
        ({"op": "set_config", "node": "a", "field": "max_rounds"}, "Changed max rounds of Alpha"),
        ({"op": "move_nodes", "positions": {}}, "Moved 0 nodes"),
        ({"op": "describe", "name": "New"}, "Named the pipeline “New”"),
        ({"op": "batch", "operations": []}, "0 changes at once"),
        ({"op": "batch", "operations": [{"op": "remove_node", "node": "a"}]}, "Removed Alpha"),
        (
            {"op": "batch", "operations": [{"op": "add_node", "node": "a"}, {"op": "connect"}]},
            "Added Alpha",
        ),
        ({"op": "of a later DSPex"}, "Changed the pipeline"),
    ],
)
def test_operations_are_told_in_words(operation: dict[str, Any], said: str) -> None:
    assert words(operation, {"a": "Alpha"}) == said


# What was


def test_a_version_is_shown_as_it_was_and_only_shown(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    published(owner, pipeline)
    apply(pipeline, who.editor, 0, op="remove_node", node="s0")
    response = get(owner, "version", pipeline, 1)
    graph = response.context["graph"]
    assert graph["readonly"]
    assert "s0" in {node["id"] for node in graph["nodes"]}
    assert b'id="run"' not in response.content and b'id="name"' in response.content


def test_a_node_of_a_version_is_shown_as_it_was(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    published(owner, pipeline)
    apply(pipeline, who.editor, 0, **rename("Later"))
    page = get(owner, "node", pipeline, "s0", version=1).content.decode()
    assert "Later" not in page and "readonly" in page and "Remove" not in page
    assert "Later" in get(owner, "node", pipeline, "s0").content.decode()


@pytest.mark.parametrize(
    ("name", "number"), [("version", 1), ("revision", 7), ("version", 2**40), ("revision", 2**40)]
)
def test_what_never_was_is_not_found(
    owner: Client, pipeline: Pipeline, name: str, number: int
) -> None:
    assert get(owner, name, pipeline, number).status_code == 404
    assert get(owner, "node", pipeline, "s0", **{name: 99}).status_code == 404


def test_the_draft_goes_back_to_a_version_and_forth_again(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    before = pipeline.draft.text
    published(owner, pipeline)
    apply(pipeline, who.editor, 0, op="remove_node", node="s1")
    changed = Pipeline.objects.get().draft.text
    answer = restored(owner, pipeline, 1, version=1).json()
    assert (answer["status"], answer["revision"]) == ("applied", 2)
    assert Pipeline.objects.get().draft.text == before
    post(owner, "operations", pipeline, id=str(uuid.uuid4()), undoes=answer["id"])
    assert Pipeline.objects.get().draft.text == changed


def test_the_draft_goes_back_to_an_earlier_revision(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    for revision, label in enumerate(("A", "B")):
        apply(pipeline, who.editor, revision, **rename(label))
    assert restored(owner, pipeline, 2, revision=1).json()["status"] == "applied"
    assert Pipeline.objects.get().draft.graph.node("s0").label == "A"


def test_going_back_does_not_overwrite_what_one_has_not_seen(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    apply(pipeline, who.owner, 0, **rename("Mine"))
    apply(pipeline, who.editor, 1, **rename("Theirs"))
    answer = restored(owner, pipeline, 1, revision=0).json()
    assert answer["status"] == "refused" and "Somebody changed this" in answer["message"]
    assert Pipeline.objects.get().draft.graph.node("s0").label == "Theirs"


def test_going_back_to_what_is_there_changes_nothing(owner: Client, pipeline: Pipeline) -> None:
    published(owner, pipeline)
    assert restored(owner, pipeline, 0, version=1).json() == {"status": "same"}
    assert Pipeline.objects.get().draft.revision == 0


def test_an_archived_pipeline_is_not_taken_back(
    owner: Client, who: People, pipeline: Pipeline
) -> None:
    apply(pipeline, who.owner, 0, **rename("Mine"))
    services.archive_pipeline(pipeline=pipeline, user=who.owner, archived=True)
    answer = restored(owner, pipeline, 1, revision=0).json()
    assert answer["status"] == "refused" and "archive" in answer["message"]


@pytest.mark.parametrize("body", [{}, {"version": "1"}, {"version": -1}, {"revision": True}])
def test_a_body_that_says_nothing_is_refused(
    owner: Client, pipeline: Pipeline, body: dict[str, Any]
) -> None:
    assert restored(owner, pipeline, 0, **body).status_code == 400


def test_a_version_is_found_by_its_number_within_its_pipeline(owner: Client, who: People) -> None:
    mine, other = pipeline_of(who, name="Mine"), pipeline_of(who, graph=chain(1), name="Other")
    published(owner, other)
    assert codec.content_hash(other.versions.get().graph) == codec.content_hash(chain(1))
    assert get(owner, "version", mine, 1).status_code == 404
