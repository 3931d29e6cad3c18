"""What is taken into a pipeline: a saved program, and a pinned version of another pipeline."""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from pipelines import services
from pipelines.graph.graph import Graph, Node
from pipelines.graph.validate import validate
from pipelines.models import Draft, Pipeline
from pipelines.models.errors import InvalidInput
from pipelines.permissions import NotAllowed
from tests.graphs import chain, edges, interface, node
from tests.people import People, people, pipeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


def saved(*paths: str) -> bytes:
    told = [{"prefix": f"{n}:", "description": f"${{{n.lower()}}}"} for n in ("X", "Y")]
    state = {"demos": [], "signature": {"instructions": "Be brief.", "fields": told}, "lm": None}
    return json.dumps(dict.fromkeys(paths, state)).encode()


def take(who: People, pipeline: Pipeline, data: bytes, user: Any = None) -> services.Imported:
    return services.import_program(
        pipeline=pipeline, user=user or who.editor, data=data, operation_id=uuid.uuid4()
    )


def test_a_program_is_one_operation_that_can_be_undone(who: People) -> None:
    pipeline = pipeline_of(who)
    imported = take(who, pipeline, saved("s0", "s2"))
    assert imported.nodes == {"s0": "s0", "s2": "s2"}
    draft = Draft.objects.get(pipeline=pipeline)
    assert draft.graph.node("s2").config["instructions"] == "Be brief."
    done = pipeline.operations.get()
    undone = services.undo(
        pipeline=pipeline, user=who.editor, operation_id=uuid.uuid4(), undoes=done.operation_id
    )
    assert isinstance(undone, services.Applied)
    assert "instructions" not in Draft.objects.get(pipeline=pipeline).graph.node("s2").config


def test_a_program_that_fits_nothing_changes_nothing(who: People) -> None:
    pipeline = pipeline_of(who)
    with pytest.raises(InvalidInput, match="the predictor 'other'"):
        take(who, pipeline, saved("s0", "other"))
    with pytest.raises(InvalidInput, match="a pickle"):
        take(who, pipeline, b"\x80\x04.")
    assert Draft.objects.get(pipeline=pipeline).revision == 0


@pytest.mark.parametrize("name", ["viewer", "outsider"])
def test_who_may_not_edit_imports_nothing(who: People, name: str) -> None:
    with pytest.raises(NotAllowed):
        take(who, pipeline_of(who), saved("s0"), who.named(name))


# Requests


def asking(url: str = "https://api.example.com/{{ x }}", **config: Any) -> Graph:
    return Graph.of(
        [
            interface("input", "x"),
            node("get", "http_request", url=url, **config),
            interface("output", "y"),
        ],
        edges("input.x -> get.x\nget.body -> output.y"),
    )


def problems(who: People, graph: Graph) -> list[str]:
    found = services.resolve_references(project=who.project, graph=graph, user=who.editor).problems
    return [problem.code for problem in found]


def test_a_request_to_a_host_that_is_not_approved_is_a_problem(who: People) -> None:
    assert problems(who, asking()) == ["host_not_approved"]
    services.approve_host(user=who.superuser, origin="https://api.example.com")
    assert problems(who, asking()) == []
    assert problems(who, asking("https://api.example.com:8443/{{ x }}")) == ["host_not_approved"]


def test_a_request_with_a_key_that_is_not_for_its_host_is_a_problem(who: People) -> None:
    home = services.approve_host(user=who.superuser, origin="https://api.example.com")
    away = services.approve_host(user=who.superuser, origin="https://away.example.com")
    for name, host in (("home", home), ("away", away)):
        services.store_credential(
            project=who.project, user=who.owner, name=name, host=host, secret="secret-of-" + name
        )
    assert problems(who, asking(credential="home")) == []
    assert problems(who, asking(credential="away")) == ["unknown_credential"]
    assert problems(who, asking(credential="none")) == ["unknown_credential"]


# Pinned pipelines


def around(config: dict[str, Any]) -> Graph:
    return Graph.of(
        [
            interface("input", "x"),
            Node(id="sub", kind="pipeline", config=config),
            interface("output", "y"),
        ],
        edges("input.x -> sub.x\nsub.y -> output.y"),
    )


def pin(who: People, inner: Pipeline, into: Pipeline) -> dict[str, Any]:
    version = services.publish_version(pipeline=inner, user=who.owner)
    return services.pinned_config(version=version, into=into, user=who.editor)


def test_a_version_is_pinned_with_its_interface_and_found_again(who: People) -> None:
    inner, outer = pipeline_of(who, name="Inner"), pipeline_of(who, name="Outer")
    config = pin(who, inner, outer)
    assert (config["title"], config["inputs"]) == ("Inner 1", [{"name": "x"}])
    graph = around(config)
    resolved = services.resolve_references(project=who.project, graph=graph, user=who.editor)
    assert resolved.problems == ()
    assert validate(replace(graph, pipelines=resolved.pipelines)) == []


def test_pinned_versions_are_found_at_every_depth(who: People) -> None:
    inner = pipeline_of(who, name="Inner")
    middle = pipeline_of(who, around(pin(who, inner, pipeline_of(who))), name="Middle")
    graph = around(pin(who, middle, pipeline_of(who)))
    resolved = services.resolve_references(project=who.project, graph=graph, user=who.editor)
    assert len(resolved.pipelines) == 2


def test_a_pipeline_is_no_part_of_itself(who: People) -> None:
    inner = pipeline_of(who, name="Inner")
    outer = pipeline_of(who, around(pin(who, inner, pipeline_of(who))), name="Outer")
    with pytest.raises(InvalidInput, match="'Inner' can't be a part of itself"):
        pin(who, inner, inner)
    with pytest.raises(InvalidInput, match="'Inner' can't be a part of itself"):
        pin(who, outer, inner)


def test_a_version_of_another_project_is_refused(who: People) -> None:
    theirs = services.create_project(user=who.outsider, name="Theirs")
    other = services.create_pipeline(project=theirs, user=who.outsider, graph=chain(), name="Other")
    version = services.freeze_version(pipeline=other, user=who.outsider)
    with pytest.raises(NotAllowed):
        services.pinned_config(version=version, into=pipeline_of(who), user=who.editor)
    graph = around(
        {"version": str(version.pk), "inputs": [{"name": "x"}], "outputs": [{"name": "y"}]}
    )
    resolved = services.resolve_references(project=who.project, graph=graph, user=who.editor)
    assert [problem.code for problem in resolved.problems] == ["unknown_pipeline"]


@pytest.mark.parametrize("version", ["", "nonsense", str(uuid.UUID(int=1))])
def test_a_version_that_is_not_there_is_a_problem(who: People, version: str) -> None:
    graph = around({"version": version})
    resolved = services.resolve_references(project=who.project, graph=graph, user=who.editor)
    assert "Choose a pipeline of this project" in resolved.problems[0].message
