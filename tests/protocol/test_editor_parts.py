"""What the editor takes into a pipeline: saved pipelines as nodes, and programs that DSPy saved."""

import json
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pipelines import services
from pipelines.graph.graph import Graph, Node
from pipelines.models import Draft, Pipeline, PipelineVersion
from pipelines.views.saved_pipelines import LISTED
from tests.graphs import chain
from tests.people import People, apply, people, pipeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


def client_of(who: People, name: str = "editor") -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.named(name))  # type: ignore[arg-type]
    return client


def published(who: People, name: str, versions: int = 1) -> PipelineVersion:
    """A pipeline with so many versions; the last."""
    pipeline = pipeline_of(who, name=name)
    for number in range(versions):
        apply(pipeline, who.owner, number, op="rename", node="s0", label=f"Step {number}")
        version = services.publish_version(pipeline=pipeline, user=who.owner)
    return version


def saved(who: People, into: Pipeline, name: str = "editor", **query: str) -> Any:
    address = reverse("pipelines:saved", args=[into.pk])
    return client_of(who, name).get(address, query).json()


def named(found: Any) -> list[tuple[str, int]]:
    return [(each["name"], each["number"]) for each in found["pipelines"]]


# Saved pipelines


def test_the_latest_versions_of_other_pipelines_are_offered(who: People) -> None:
    into = published(who, "Own").pipeline
    published(who, "Sort mail", versions=2)
    published(who, "Answer")
    pipeline_of(who, name="Only a draft")
    archived = published(who, "Old").pipeline
    services.archive_pipeline(pipeline=archived, user=who.owner, archived=True)
    found = saved(who, into)
    assert named(found) == [("Answer", 1), ("Sort mail", 2)]
    assert [port["name"] for port in found["pipelines"][0]["inputs"]] == ["x"]
    assert named(saved(who, into, q="MAIL")) == [("Sort mail", 2)]


def test_nothing_of_another_project_is_offered(who: People) -> None:
    theirs = services.create_project(user=who.outsider, name="Theirs")
    other = services.create_pipeline(project=theirs, user=who.outsider, graph=chain(), name="Other")
    version = services.publish_version(pipeline=other, user=who.outsider)
    into = pipeline_of(who)
    assert named(saved(who, into)) == []
    address = reverse("pipelines:saved_version", args=[into.pk, version.pk])
    assert client_of(who).get(address).status_code == 404
    said = client_of(who, "superuser").get(address)
    assert said.status_code == 422
    assert "belongs to another project" in said.json()["message"]


def test_many_saved_pipelines_cost_as_many_questions_as_few(who: People) -> None:
    into = pipeline_of(who)
    published(who, "First")
    with CaptureQueriesContext(connection) as few:
        assert not saved(who, into)["more"]
    for number in range(LISTED):
        published(who, f"Number {number}")
    with CaptureQueriesContext(connection) as many:
        found = saved(who, into)
    assert (len(found["pipelines"]), found["more"]) == (LISTED, True)
    assert len(many) == len(few)


def test_a_version_becomes_a_node_that_validates(who: People) -> None:
    into, version = pipeline_of(who), published(who, "Sort mail")
    address = reverse("pipelines:saved_version", args=[into.pk, version.pk])
    kind = client_of(who).get(address).json()
    assert (kind["kind"], kind["label"]) == ("pipeline", "Sort mail")
    added = {"op": "add_node", "node": "sub", "kind": "pipeline", "config": kind["config"]}
    apply(into, who.editor, 0, kind_version=kind["kind_version"], **added)
    problems = services.problems_of(pipeline=into, user=who.editor)
    assert [problem.port for problem in problems if problem.node == "sub"] == [
        "x"
    ]  # not joined yet


def test_a_pipeline_that_holds_this_one_is_refused_in_words(who: People) -> None:
    into = published(who, "Inner")
    config = services.pinned_config(version=into, into=pipeline_of(who), user=who.editor)
    graph = Graph.of([Node(id="sub", kind="pipeline", config=config)])
    outer = pipeline_of(who, graph, name="Outer")
    version = services.freeze_version(pipeline=outer, user=who.owner)
    address = reverse("pipelines:saved_version", args=[into.pipeline.pk, version.pk])
    answer = client_of(who).get(address)
    assert answer.status_code == 422
    assert "can't be a part of itself" in answer.json()["message"]


def pinning(who: People, version: PipelineVersion) -> Pipeline:
    config = services.pinned_config(version=version, into=pipeline_of(who), user=who.editor)
    return pipeline_of(who, Graph.of([Node(id="sub", kind="pipeline", config=config)]))


def form(who: People, pipeline: Pipeline, name: str = "editor") -> str:
    address = reverse("pipelines:node", args=[pipeline.pk, "sub"])
    return client_of(who, name).get(address).text


def test_the_inspector_says_what_is_pinned_and_offers_what_is_newer(who: People) -> None:
    version = published(who, "Sort mail")
    outer = pinning(who, version)
    assert "Sort mail" in form(who, outer)
    assert "Update to" not in form(who, outer)
    apply(version.pipeline, who.owner, 1, op="rename", node="s0", label="Anew")
    services.publish_version(pipeline=version.pipeline, user=who.owner)
    assert "Update to v2" in form(who, outer)
    assert "Update to v2" not in form(who, outer, "viewer")


@pytest.mark.parametrize("version", ["", "nonsense", str(uuid.UUID(int=1))])
def test_a_pin_that_leads_nowhere_is_said(who: People, version: str) -> None:
    graph = Graph.of([Node(id="sub", kind="pipeline", config={"version": version})])
    assert "is not in this project" in form(who, pipeline_of(who, graph))


# Programs


def program(*paths: str, lm: Any = None) -> bytes:
    told = [{"prefix": f"{n}:", "description": f"${{{n.lower()}}}"} for n in ("X", "Y")]
    state = {"demos": [], "signature": {"instructions": "Be brief.", "fields": told}, "lm": lm}
    return json.dumps(dict.fromkeys(paths, state)).encode()


def send(who: People, pipeline: Pipeline, data: bytes | None) -> Any:
    address = reverse("pipelines:import_program", args=[pipeline.pk])
    files = {} if data is None else {"file": SimpleUploadedFile("program.json", data)}
    return client_of(who).post(address, files)


def instructions(pipeline: Pipeline, node: str) -> str | None:
    return Draft.objects.get(pipeline=pipeline).graph.node(node).config.get("instructions")


def test_an_imported_program_is_told_to_the_page_which_can_undo_it(who: People) -> None:
    pipeline = pipeline_of(who)
    answer = send(who, pipeline, program("s0", "s2", lm={"model": "gpt"}))
    told = json.loads(answer.headers["HX-Trigger"])["program-imported"]
    assert told["nodes"] == ["s0", "s2"]
    assert "'s0' was saved with settings of gpt" in told["ignored"][0]
    assert instructions(pipeline, "s2") == "Be brief."
    address = reverse("pipelines:operations", args=[pipeline.pk])
    undoing = {"id": str(uuid.uuid4()), "undoes": told["id"]}
    client_of(who).post(address, json.dumps(undoing), content_type="application/json")
    assert instructions(pipeline, "s2") is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "Choose a file."),
        (b"", "The file is empty."),
        (b"\x80\x04.", "is a pickle"),
        (b"[1]", "not a JSON object of predictors"),
        (b"x" * 10_000_001, "10,000,000 is the limit"),
        (program("s0", "other"), "predictor &#x27;other&#x27;"),
    ],
)
def test_what_can_not_be_imported_is_refused_in_words(
    who: People, data: bytes | None, said: str
) -> None:
    pipeline = pipeline_of(who)
    answer = send(who, pipeline, data)
    assert answer.status_code == 422
    assert said in answer.text
    assert Draft.objects.get(pipeline=pipeline).revision == 0


def test_an_import_and_a_pin_are_told_in_the_history(who: People) -> None:
    pipeline = pipeline_of(who)
    send(who, pipeline, program("s0", "s2"))
    shown = client_of(who).get(reverse("pipelines:history", args=[pipeline.pk])).text
    assert "Changed 2 nodes" in shown
