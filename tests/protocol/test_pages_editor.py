"""The editor's page, its operations, and the inspector."""

import json
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pipelines.graph.graph import Edge, Graph, Node
from pipelines.graph.kinds import KINDS
from pipelines.models import Pipeline
from tests.graphs import chain, fields
from tests.people import People, apply, people, pipeline_of, profile_of

pytestmark = pytest.mark.django_db
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def who() -> People:
    return people()


@pytest.fixture
def owner(who: People) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.owner)
    return client


def send(client: Client, pipeline: Pipeline, **body: Any) -> Any:
    address = reverse("pipelines:operations", args=[pipeline.pk])
    body = {"id": str(uuid.uuid4()), **body}
    return client.post(address, json.dumps(body), content_type="application/json")


def rename(label: str, node: str = "s0") -> dict[str, Any]:
    return {"op": "rename", "node": node, "label": label}


def check(client: Client, pipeline: Pipeline, node: str, **data: str) -> str:
    address = reverse("pipelines:check", args=[pipeline.pk, node])
    response = client.post(address, {"part": "config", **data})
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_page_holds_the_graph_and_the_kinds(owner: Client, who: People) -> None:
    response = owner.get(reverse("pipelines:editor", args=[pipeline_of(who).pk]))
    state = response.context["state"]
    nodes = {node["id"]: node for node in response.context["graph"]["nodes"]}
    assert [port["name"] for port in nodes["s0"]["inputs"]] == ["x"]
    assert set(state["kinds"]) == set(KINDS)
    assert state["problems"] == []


def test_every_kind_begins_with_a_config_that_is_good(owner: Client, who: People) -> None:
    response = owner.get(reverse("pipelines:editor", args=[pipeline_of(who).pk]))
    offered = [kind for kind in response.context["state"]["kinds"].values() if kind["offered"]]
    assert offered
    for kind in offered:
        assert kind["inputs"] or kind["outputs"], kind["kind"]


def test_who_may_only_look_gets_a_canvas_that_only_shows(who: People) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.viewer)
    response = client.get(reverse("pipelines:editor", args=[pipeline_of(who).pk]))
    assert response.context["graph"]["readonly"]
    assert b"You may look" in response.content
    assert b'id="run"' not in response.content


def test_an_operation_is_answered_with_what_has_changed(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    operation = {"op": "set_config", "node": "s0", "field": "signature", "value": "x, z -> y"}
    answer = send(owner, pipeline, base_revision=0, operation=operation).json()
    assert (answer["status"], answer["revision"]) == ("applied", 1)
    (node,) = answer["nodes"]
    assert [port["name"] for port in node["inputs"]] == ["x", "z"]
    (problem,) = answer["problems"]
    assert (problem["node"], problem["port"]) == ("s0", "z")


def test_a_move_is_answered_shortly(owner: Client, who: People) -> None:
    operation = {"op": "move_nodes", "positions": {"s0": [4, 8]}}
    answer = send(owner, pipeline_of(who), base_revision=0, operation=operation).json()
    assert set(answer) == {"status", "id", "revision", "operation"}


def test_a_resend_gets_the_first_answer(owner: Client, who: People) -> None:
    pipeline, edit = pipeline_of(who), str(uuid.uuid4())
    for _ in range(2):
        answer = send(owner, pipeline, id=edit, base_revision=0, operation=rename("A")).json()
        assert (answer["status"], answer["revision"]) == ("applied", 1)


def test_a_conflict_names_the_person_and_both_values(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.editor, 0, **rename("Theirs"))
    answer = send(owner, pipeline, base_revision=0, operation=rename("Mine")).json()
    (conflict,) = answer["conflicts"]
    assert (answer["status"], answer["code"]) == ("refused", "conflict")
    assert (conflict["author"], conflict["yours"], conflict["theirs"]) == (
        "editor",
        "Mine",
        "Theirs",
    )


def test_an_edit_of_a_node_that_another_tab_deleted_is_refused(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.editor, 0, op="remove_node", node="s0")
    answer = send(owner, pipeline, base_revision=0, operation=rename("Mine")).json()
    assert answer["status"] == "refused"


def test_undo_takes_an_operation_back(owner: Client, who: People) -> None:
    pipeline, edit = pipeline_of(who), str(uuid.uuid4())
    send(owner, pipeline, id=edit, base_revision=0, operation=rename("A"))
    answer = send(owner, pipeline, undoes=edit).json()
    assert (answer["status"], answer["revision"]) == ("applied", 2)
    assert answer["nodes"][0]["label"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {"id": "no id"},
        {"base_revision": -1},
        {"base_revision": True},
        {"base_revision": "0"},
        {"base_revision": 10**12},
    ],
)
def test_a_body_that_is_none_is_refused(owner: Client, who: People, body: dict[str, Any]) -> None:
    body = {"base_revision": 0, "operation": rename("A"), **body}
    assert send(owner, pipeline_of(who), **body).status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_type_that_foreign_pages_can_send_is_refused(
    owner: Client, who: People, content_type: str
) -> None:
    address = reverse("pipelines:operations", args=[pipeline_of(who).pk])
    assert owner.post(address, "{}", content_type=content_type).status_code == 400


@pytest.mark.parametrize("operation", [None, [], "x", {"op": "explode"}, {"op": "rename"}])
def test_what_is_no_operation_is_refused_with_a_reason(
    owner: Client, who: People, operation: Any
) -> None:
    answer = send(owner, pipeline_of(who), base_revision=0, operation=operation).json()
    assert (answer["status"], answer["code"]) == ("refused", "invalid")


def test_who_has_the_revision_gets_nothing(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    address = reverse("pipelines:graph", args=[pipeline.pk])
    assert owner.get(address, {"since": "0"}).status_code == 204
    apply(pipeline, who.editor, 0, **rename("Theirs"))
    assert owner.get(address, {"since": "0"}).json()["revision"] == 1


def test_a_refused_edit_can_be_kept_in_a_copy(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.editor, 0, op="remove_node", node="s0")
    body = json.dumps({"base_revision": 0, "operation": rename("Mine")})
    address = reverse("pipelines:copy_with", args=[pipeline.pk])
    response = owner.post(address, body, content_type="application/json")
    copy = Pipeline.objects.exclude(pk=pipeline.pk).get()
    assert response.json()["url"] == reverse("pipelines:editor", args=[copy.pk])
    assert copy.draft.graph.node("s0").label == "Mine"


def test_the_ports_of_a_map_follow_its_body(owner: Client, who: People) -> None:
    inner = Node(id="item", kind="input", parent="each", config=fields("item"))
    pipeline = pipeline_of(who, graph=Graph.of([Node(id="each", kind="map"), inner]))
    value = fields(item="int")["fields"]
    operation = {"op": "set_config", "node": "item", "field": "fields", "value": value}
    answer = send(owner, pipeline, base_revision=0, operation=operation).json()
    nodes = {node["id"]: node for node in answer["nodes"]}
    assert nodes["each"]["inputs"][0]["type"] == "list[int]"


# Without `pipeline`, which shows what it pins instead.
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"pipeline"}))
def test_every_kind_has_a_form(owner: Client, who: People, kind: str) -> None:
    pipeline = pipeline_of(who, graph=Graph.of([Node(id="it", kind=kind)]))
    response = owner.get(reverse("pipelines:node", args=[pipeline.pk, "it"]))
    page = response.content.decode()
    assert response.status_code == 200
    shown = page.count("data-field=")
    assert shown >= len(KINDS[kind].config.model_fields)


def test_a_node_of_an_unknown_kind_says_so(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who, graph=Graph.of([Node(id="it", kind="teleport")]))
    response = owner.get(reverse("pipelines:node", args=[pipeline.pk, "it"]))
    assert "does not know the kind “teleport”" in response.content.decode()


def test_markup_in_a_label_and_a_config_is_text(owner: Client, who: People) -> None:
    node = Node(id="it", kind="template", label=MARKUP, config={"template": MARKUP})
    pipeline = pipeline_of(who, graph=Graph.of([node]))
    for name, more in (("editor", []), ("node", ["it"])):
        page = owner.get(reverse(f"pipelines:{name}", args=[pipeline.pk, *more])).content.decode()
        assert MARKUP not in page


def test_a_signature_is_parsed_while_it_is_typed(owner: Client, who: People) -> None:
    said = check(owner, pipeline_of(who), "s0", field="signature", value="x: int -> y: list[str]")
    assert "data-valid" in said
    assert "list[str]" in said


def test_a_bad_type_is_named_with_its_column(owner: Client, who: People) -> None:
    said = check(owner, pipeline_of(who), "s0", field="signature", value="x -> y: flaot")
    assert "data-valid" not in said
    assert "Column 9: Unknown type <code>flaot</code>" in said


def test_what_a_kind_adds_to_a_signature_is_shown(owner: Client, who: People) -> None:
    node = Node(id="it", kind="chain_of_thought", config={"signature": "x -> y"})
    pipeline = pipeline_of(who, graph=Graph.of([node]))
    said = check(owner, pipeline, "it", field="signature", value="x -> y")
    assert 'class="chip added"' in said
    assert "reasoning" in said


def test_a_template_is_shown_with_samples_of_what_arrives(owner: Client, who: People) -> None:
    source = Node(id="in", kind="input", config=fields(words="list[str]"))
    node = Node(id="it", kind="template", config={"template": ""})
    edge = Edge(source="in", source_port="words", target="it", target_port="words")
    pipeline = pipeline_of(who, graph=Graph.of([source, node], [edge]))
    text = "{% for word in words %}[{{ word }}]{% endfor %} {{ tone }}"
    said = check(owner, pipeline, "it", field="template", value=text)
    assert "[‹words 1›][‹words 2›] ‹tone›" in said


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("temperature", "hot", "use a number"),
        ("temperature", "9", "Not saved: 2 is the most."),
        ("max_tokens", "1.5", "use a whole number"),
        ("demos", "{", "not JSON"),
        ("signature", "x" * 30_000, "20,000 characters"),
        ("instructions", "x" * 100_001, "Not saved: 100,000 characters is the most."),
    ],
)
def test_a_value_out_of_bounds_is_not_saved_and_says_why(
    owner: Client, who: People, field: str, value: str, said: str
) -> None:
    answer = check(owner, pipeline_of(who), "s0", field=field, value=value)
    assert "data-valid" not in answer
    assert said in answer


BEST = {"module": "Predict", "signature": "question -> answer"}
DESCRIBED = {"signature": "old -> y", "descriptions": {"old": "What was asked"}}
SENT = {"url": "https://api.example.com/{{ body }}", "method": "GET"}


@pytest.mark.parametrize(
    ("kind", "config", "field", "value", "lacks"),
    [
        ("dspy_module", BEST, "module", "BestOfN", "Reward: BestOfN needs a reward"),
        ("dspy_module", BEST, "reward", "wrong|length", "The reward reads &#x27;wrong&#x27;"),
        ("predict", DESCRIBED, "signature", "x -> y", "Descriptions: There is no field"),
        ("predict", DESCRIBED, "constraints", '{"z": {"ge": 1}}', "There is no field"),
        ("validate", {"fields": "age: int"}, "constraints", '{"n": {"ge": 1}}', "no field"),
        ("http_request", SENT, "method", "POST", "Url: The address reads &#x27;body&#x27;"),
    ],
)
def test_what_another_field_lacks_keeps_nothing_from_being_saved(
    owner: Client,
    who: People,
    kind: str,
    config: dict[str, Any],
    field: str,
    value: str,
    lacks: str,
) -> None:
    pipeline = pipeline_of(who, graph=Graph.of([Node(id="it", kind=kind, config=config)]))
    said = check(owner, pipeline, "it", field=field, value=value)
    assert "data-valid" in said
    assert lacks in said.replace("<code>", "").replace("</code>", "")


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("timeout", "30", "30.0"),
        ("retries", "2", "2"),
        ("cache", "false", "false"),
        ("on_error", "continue", '"continue"'),
        ("timeout", "", None),
    ],
)
def test_a_text_becomes_a_value(
    owner: Client, who: People, field: str, text: str, value: str | None
) -> None:
    answer = check(owner, pipeline_of(who), "s0", part="policy", field=field, value=text)
    assert "data-valid" in answer
    shown = answer.replace("&quot;", '"')
    assert ("data-value" not in shown) if value is None else f'data-value="{value}"' in shown


def test_only_profiles_that_the_project_has_are_offered(owner: Client, who: People) -> None:
    profile_of(who, name="ours")
    pipeline = pipeline_of(who, graph=chain(1))
    page = owner.get(reverse("pipelines:node", args=[pipeline.pk, "s0"])).content.decode()
    assert 'value="ours"' in page
    assert 'value="local"' in page


def test_a_profile_that_is_gone_stays_chosen(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who, graph=chain(1, lm="gone"))
    page = owner.get(reverse("pipelines:node", args=[pipeline.pk, "s0"])).content.decode()
    assert 'value="gone" selected' in page
