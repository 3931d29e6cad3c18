"""What is offered while code is typed, where the text goes wrong, and the fields that it is typed in."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pipelines.forms import JSONText
from pipelines.graph.graph import Edge, Graph, Node
from pipelines.models import Pipeline
from tests.people import People, people, pipeline_of

pytestmark = pytest.mark.django_db


def graph() -> Graph:
    fields = {"fields": [{"name": "question", "type": "str"}]}
    ask = {"signature": "question -> answer: bool, why"}
    inside = {"fields": [{"name": "draft", "type": "str"}, {"name": "score", "type": "float"}]}
    nodes = [
        Node(id="input", kind="input", config=fields),
        Node(id="ask", kind="predict", label="Ask them", config=ask),
        Node(id="write", kind="template", config={"template": "{{ said }} {{ more }}"}),
        Node(id="again", kind="loop", config={"until": "score > 0.5"}),
        Node(id="begin", kind="input", config=inside, parent="again"),
        Node(id="end", kind="output", config=inside, parent="again"),
    ]
    edges = [
        Edge(source="input", source_port="question", target="ask", target_port="question"),
        Edge(source="ask", source_port="answer", target="write", target_port="said"),
    ]
    return Graph.of(nodes, edges)


@pytest.fixture
def them() -> People:
    return people()


@pytest.fixture
def pipeline(them: People) -> Pipeline:
    return pipeline_of(them, graph())


@pytest.fixture
def viewer(them: People, client: Client) -> Client:
    client.force_login(them.viewer)
    return client


def names(client: Client, pipeline: Pipeline, node: str) -> list[tuple[str, str, str]]:
    answer = client.get(reverse("pipelines:node_words", args=[pipeline.pk, node]))
    return [(each["name"], each["type"], each["from"]) for each in answer.json()["names"]]


def test_a_template_is_offered_its_inputs_and_then_what_others_give(
    viewer: Client, pipeline: Pipeline
) -> None:
    found = names(viewer, pipeline, "write")
    assert found[:2] == [("said", "bool", "input"), ("more", "", "input")]
    assert {("answer", "bool", "of Ask them"), ("why", "str", "of Ask them")} <= {*found}
    assert ("question", "str", "of Input") in found
    assert "text" not in [name for name, _, _ in found]  # its own output


def test_the_end_of_a_loop_is_offered_its_body(viewer: Client, pipeline: Pipeline) -> None:
    found = {name: type_ for name, type_, _ in names(viewer, pipeline, "again")}
    assert found["score"] == "float"
    assert found["round"] == "int"
    assert "answer" not in found


def test_what_is_not_there_has_no_names(viewer: Client, pipeline: Pipeline) -> None:
    address = reverse("pipelines:node_words", args=[pipeline.pk, "nobody"])
    assert viewer.get(address).status_code == 404


def test_a_browser_may_keep_the_words(viewer: Client) -> None:
    answer = viewer.get("/code-words/")
    assert "upper" in answer.json()["filters"]
    assert "private" in answer["Cache-Control"]


def checked(client: Client, pipeline: Pipeline, node: str, **fields: str) -> str:
    address = reverse("pipelines:check", args=[pipeline.pk, node])
    return client.post(address, {"part": "config", **fields}).content.decode()


PLACES: list[tuple[str, str, str, str]] = [
    ("write", "template", "one\n{{ a | }}", 'data-line="2" data-column="8" data-length="2"'),
    ("write", "template", "{{ a|nothing }}", 'data-line="1" data-column="6" data-length="7"'),
    ("ask", "signature", "a -> b: flaot", 'data-line="1" data-column="9" data-length="5"'),
    ("ask", "demos", '[\n{"a" 1}]', 'data-line="2" data-column="6" data-length="1"'),
    ("ask", "demos", '[{"question": "x", "answer": true}, 5]', 'data-path="[1]"'),
    ("ask", "constraints", '{"why": 7}', 'data-path="[&quot;why&quot;]"'),
    ("ask", "constraints", '{"answer": {}, "gone": {"ge": 1}}', 'data-path="[&quot;gone&quot;]"'),
    ("again", "until", "score >> 1", 'data-line="1" data-column="8" data-length="1"'),
]


@pytest.mark.parametrize(("node", "field", "value", "place"), PLACES)
def test_a_mistake_says_its_place(
    viewer: Client, pipeline: Pipeline, node: str, field: str, value: str, place: str
) -> None:
    assert place in checked(viewer, pipeline, node, field=field, value=value)


def test_what_is_right_has_no_place(viewer: Client, pipeline: Pipeline) -> None:
    said = checked(viewer, pipeline, "write", field="template", value="{{ a|upper }}")
    assert "data-valid" in said
    assert "data-line" not in said


def test_the_registry_says_the_place_of_a_mistake(viewer: Client) -> None:
    said = viewer.post("/signatures/parse/", {"text": "a ->\nb: flaot"}).content.decode()
    assert 'data-line="2" data-column="4" data-length="5"' in said


def test_a_code_field_is_a_text_box_first(viewer: Client, pipeline: Pipeline) -> None:
    form = viewer.get(reverse("pipelines:node", args=[pipeline.pk, "write"])).content.decode()
    begin = form.index("<code-editor")
    field = form[begin : form.index("</code-editor>", begin)]
    assert 'data-language="template"' in field
    assert 'id="f-config-template"' in field
    assert "{{ said }} {{ more }}</textarea>" in field


def test_a_form_escapes_what_is_in_a_code_field() -> None:
    html: Any = JSONText().widget.render("settings", '"</textarea><script>"')
    assert html.startswith('<code-editor data-language="json"><textarea')
    assert "<script>" not in html
