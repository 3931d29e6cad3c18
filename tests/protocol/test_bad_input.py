"""What does not fit: every field of every form and of every kind's config, what is far too large, files
that are not what their names say. Each is answered in words, at its field, and nothing is lost."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from pipelines import services
from pipelines.graph import codec, ops
from pipelines.graph.graph import Graph, GraphError, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.policy import StepPolicy
from pipelines.graph.validate import validate
from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from pipelines.views.document_files import documents_in
from tests.graphs import chain
from tests.people import People, apply, host, people, pipeline_of, profile_of

MARKUP = "<script>window.pwned=1</script>"


@pytest.fixture
def who() -> People:
    return people()


@pytest.fixture
def owner(who: People) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(who.owner)
    return client


# Forms

FORMS = (
    *("new", "import", "new_signature", "new_collection", "new_lm_profile", "new_credential"),
    *("copy", "rename", "lm_profile"),
)
GOOD = {"name": "Fits", "adapter": "scripted", "secret": "sk-long-enough-0123", "text": "{}"}


def address_of(name: str, who: People) -> str:
    made: Any = {"copy": pipeline_of, "rename": pipeline_of, "lm_profile": profile_of}.get(name)
    return reverse(f"pipelines:{name}", args=[made(who).pk] if made else [])


def filled(form: forms.BaseForm) -> dict[str, str]:
    """What a person sends who changes nothing, and fills in what is asked for."""
    values = {name: form[name].value() for name in form.fields}
    kept = {
        name: str(value)
        for name, value in values.items()
        if value not in (None, "") and value is not False
    }
    return {**{name: GOOD[name] for name in form.fields if name in GOOD}, **kept}


def misfits(field: forms.Field) -> Iterator[str]:
    """What the field may not take, whatever else is right."""
    if field.required:
        yield ""
    if isinstance(field, forms.ChoiceField | forms.ModelChoiceField):
        yield from ("nonsense", MARKUP, "a\x00b", str(uuid.uuid4()))
    elif isinstance(field, forms.JSONField):
        yield from ("{", "[" * 100_000, "nonsense")
    elif isinstance(field, forms.IntegerField | forms.FloatField | forms.DecimalField):
        yield from ("hot", "NaN", "1e999", "-1e9", "9" * 400, MARKUP)
    elif isinstance(field, forms.CharField):
        yield "a\x00b"
        if field.max_length and field.max_length < settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            yield "x" * (field.max_length + 1)


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMS)
def test_what_a_field_can_not_take_is_said_at_the_field(
    name: str, owner: Client, who: People
) -> None:
    host()
    address = address_of(name, who)
    form = owner.get(address).context["form"]
    good = filled(form)
    if name == "new_credential":
        good["host"] = str(form.fields["host"].queryset.get().pk)
    for field, bad in ((f, bad) for f in form.fields for bad in misfits(form.fields[f])):
        if isinstance(form.fields[field], forms.FileField):
            continue
        answer = owner.post(address, {**good, field: bad})
        assert answer.status_code == 422, (field, bad[:20], answer.status_code)
        errors = answer.context["form"].errors
        assert field in errors or "__all__" in errors, (field, bad[:20], errors)
        assert MARKUP not in answer.text
        if field != "secret" and not isinstance(form.fields[field], forms.ChoiceField):
            assert_is_kept(answer.context["form"], field, bad)


def assert_is_kept(form: forms.BaseForm, field: str, typed: str) -> None:
    """What was typed is still in the box, to be mended."""
    assert str(form[field].data if form[field].data is not None else "") == typed


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMS)
def test_a_field_that_a_form_does_not_have_is_not_read(
    name: str, owner: Client, who: People
) -> None:
    theirs = {
        "owner": "1",
        "created_by": "1",
        "id": str(uuid.uuid4()),
        "revision": "99",
        "is_used": "on",
    }
    address = address_of(name, who)
    owner.post(address, {**filled(owner.get(address).context["form"]), **theirs})
    for pipeline in Pipeline.objects.all():
        assert pipeline.created_by == who.owner
        assert str(pipeline.pk) != theirs["id"]
        assert pipeline.draft.revision < 99


# Kinds

VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", "x" * 200_001, "a\x00b", "\ud800"),
    *(
        MARKUP,
        "{{ x.__class__ }}",
        "{% for",
        "x -> y: flaot",
        [],
        {},
        [[]],
        [MARKUP],
        {"x": MARKUP},
    ),
    *({"__type__": "os.system"}, {"py/object": "os.system"}, {"lc": 1, "id": ["os", "system"]}),
)
FIELDS = [(kind.name, field) for kind in KINDS.values() for field in kind.config.model_fields]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_config_takes_what_fits_and_names_what_does_not(kind: str, field: str) -> None:
    graph = Graph.of([Node(id="it", kind=kind)])
    for value in VALUES:
        operation = {"op": "set_config", "node": "it", "field": field, "value": value}
        try:
            after = ops.apply(graph, services.operations.read_operation(operation))
        except (GraphError, PipelinesError) as refusal:
            assert str(refusal)
            continue
        problems = validate(after)
        try:
            KINDS[kind].config.model_validate(after.node("it").config)
        except ValueError:
            assert any(problem.node == "it" for problem in problems), (field, value)
        assert codec.load(codec.dump(after)).node("it").config == after.node("it").config


@pytest.mark.parametrize("field", StepPolicy.model_fields)
def test_a_policy_takes_what_fits_and_names_what_does_not(field: str) -> None:
    graph = chain(1)
    for value in VALUES:
        operation = {"op": "set_policy", "node": "s0", "field": field, "value": value}
        try:
            after = ops.apply(graph, services.operations.read_operation(operation))
        except (GraphError, PipelinesError) as refusal:
            assert str(refusal)
            continue
        try:
            StepPolicy.model_validate(after.node("s0").policy)
        except ValueError:
            assert any(problem.node == "s0" for problem in validate(after)), (field, value)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_that_fits_nothing_breaks_no_page(kind: str, owner: Client, who: People) -> None:
    pipeline = pipeline_of(who, graph=Graph.of([Node(id="it", kind=kind)]))
    revision = 0
    for field in KINDS[kind].config.model_fields:
        operation = {"op": "set_config", "node": "it", "field": field, "value": {MARKUP: [MARKUP]}}
        answer = apply_by_page(owner, pipeline, revision, operation)
        revision += answer.json()["status"] == "applied"
    for name, arguments in (("editor", []), ("graph", []), ("node", ["it"]), ("inspector", [])):
        page = owner.get(reverse(f"pipelines:{name}", args=[pipeline.pk, *arguments]))
        assert page.status_code == 200, name
        if "html" in page["Content-Type"]:
            assert MARKUP not in page.text


def apply_by_page(client: Client, pipeline: Pipeline, base: int, operation: Any) -> Any:
    body = {"id": str(uuid.uuid4()), "base_revision": base, "operation": operation}
    address = reverse("pipelines:operations", args=[pipeline.pk])
    return client.post(address, json.dumps(body), content_type="application/json")


# Size


def import_text(client: Client, text: str) -> Any:
    file = SimpleUploadedFile("large.json", text.encode())
    return client.post(reverse("pipelines:import"), {"file": file})


@pytest.mark.django_db
def test_a_file_of_over_10_mb_is_refused_with_both_sizes(owner: Client) -> None:
    answer = import_text(owner, codec.dump(chain(1)) + " " * codec.MAX_TEXT)
    assert answer.status_code == 422
    assert "10,000,000 is the limit" in answer.text
    assert not Pipeline.objects.exists()


@pytest.mark.django_db
def test_a_text_of_over_10_mb_is_refused_in_words(owner: Client) -> None:
    answer = owner.post(reverse("pipelines:import"), {"text": "x" * (codec.MAX_TEXT + 1)})
    assert answer.status_code in (400, 413, 422)
    assert not Pipeline.objects.exists()


@pytest.mark.django_db
def test_an_operation_of_10_mb_is_refused_and_the_draft_stays(owner: Client, who: People) -> None:
    pipeline = pipeline_of(who)
    text = "x" * 10_000_000
    operation = {"op": "set_config", "node": "s0", "field": "instructions", "value": text}
    answer = apply_by_page(owner, pipeline, 0, operation)
    assert answer.status_code in (400, 413) or answer.json()["status"] == "refused"
    pipeline.draft.refresh_from_db()
    assert pipeline.draft.revision == 0


@pytest.mark.django_db
def test_ten_thousand_nodes_are_taken_or_refused_in_words(owner: Client) -> None:
    nodes = [
        Node(id=f"n{number}", kind="template", config={"template": "x"}) for number in range(10_000)
    ]
    answer = import_text(owner, codec.dump(Graph.of(nodes, name="Many")))
    assert answer.status_code in (204, 422)
    if answer.status_code == 204:
        page = owner.get(answer["HX-Redirect"])
        assert len(page.context["graph"]["nodes"]) == 10_000
    else:
        assert "nodes" in answer.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "null",
            "[]",
            '"x"',
            "{",
            "[" * 50_000,
            '{"format": 99}',
            '{"format": 1, "nodes": 3}',
        ),
        *('{"format": 1, "nodes": {"a": {"kind": "input", "version": 1e999}}}', "\x00", "é" * 10),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused_in_words(text: str, owner: Client) -> None:
    answer = import_text(owner, text)
    assert answer.status_code == 422
    assert sum(len(each) for each in answer.context["form"].errors.values()) >= 1
    assert not Pipeline.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("bad", ["../../x", "a b", "<b>", "x" * 64, "ä", "%2e%2e"])
def test_a_node_whose_id_is_a_path_is_shown_as_a_problem(bad: str, owner: Client) -> None:
    nodes = {bad: {"kind": "input", "version": 1, "config": {}}}
    answer = import_text(owner, json.dumps({"format": 1, "name": "Paths", "nodes": nodes}))
    page = owner.get(answer["HX-Redirect"])
    assert any(bad in problem["message"] for problem in page.context["state"]["problems"])
    started = owner.post(f"{answer['HX-Redirect']}start/")
    assert started.status_code == 422


@pytest.mark.django_db
@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"[]", b'"x"', b"[" * 100_000, b"NaN", b""])
def test_a_body_that_is_no_json_object_is_refused(body: bytes, owner: Client, who: People) -> None:
    address = reverse("pipelines:operations", args=[pipeline_of(who).pk])
    answer = owner.post(address, body, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["\ud800", "a\x00b"])
def test_text_that_no_database_takes_is_refused_in_words(
    text: str, owner: Client, who: People
) -> None:
    operation = {"op": "rename", "node": "s0", "label": text}
    answer = apply_by_page(owner, pipeline_of(who), 0, operation).json()
    assert answer["status"] == "refused"
    assert answer["message"]


# What another tab has deleted


@pytest.mark.django_db
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "rename", "node": "s0", "label": "x"},
        {"op": "set_config", "node": "s0", "field": "instructions", "value": "x"},
        {"op": "set_policy", "node": "s0", "field": "retries", "value": 1},
        {"op": "remove_node", "node": "s0"},
        {"op": "connect", "source": "s0", "source_port": "y", "target": "s1", "target_port": "x"},
    ],
)
def test_an_operation_on_a_node_that_is_gone_names_it(
    operation: dict[str, Any], owner: Client, who: People
) -> None:
    pipeline = pipeline_of(who)
    apply(pipeline, who.editor, 0, op="remove_node", node="s0")
    answer = apply_by_page(owner, pipeline, 0, operation).json()
    assert answer["status"] == "refused"
    assert "s0" in answer["message"] or answer["conflicts"], answer
    pipeline.draft.refresh_from_db()
    assert pipeline.draft.revision == 1


# Files


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"\x89PNG\r\n\x1a\n", "an image"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n", "an image"),
        ("a.csv", b"\x1f\x8b\x08", "a compressed file"),
        ("a.md", b"\xff\xfeh\x00i\x00", "not UTF-8|UTF-16"),
        ("a.csv", b"text,title\na,b\nc\n", "line 3: 1 values"),
        ("a.csv", b"text,title\na,b,c\n", "line 2: 3 values"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b"}\n{"text": \n', "line 3"),
        ("a.jsonl", b'{"text": 5}\n', "line 1"),
        ("a.txt.exe", b"MZ", "DSPex reads"),
        ("", b"x", "DSPex reads"),
    ],
)
def test_a_file_says_what_is_wrong_with_it_and_where(name: str, content: bytes, said: str) -> None:
    with pytest.raises(PipelinesError, match=said):
        documents_in(name, content)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["huge.txt", "huge.jsonl", "huge.csv"])
def test_one_line_of_many_megabytes_is_refused_with_the_limit(
    name: str, owner: Client, who: People
) -> None:
    made = services.create_collection(project=who.project, user=who.owner, name="handbook")
    line = b"x" * 5_000_000
    content = {
        "huge.txt": line,
        "huge.csv": b"text\n" + line,
        "huge.jsonl": b'{"text": "' + line + b'"}',
    }
    sent = {"documents": SimpleUploadedFile(name, content[name]), "how": "add"}
    answer = owner.post(reverse("pipelines:upload", args=[made.pk]), sent)
    assert answer.status_code == 422
    assert "1,000,000 is the limit" in answer.text or "limit" in answer.text
    assert not made.documents.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.txt",
        "..\\..\\x.txt",
        "/etc/x.md",
        "%2e%2e%2fx.txt",
        "CON.txt",
        "a\u202etxt.md",
    ],
)
def test_a_file_name_is_a_name_and_no_path(name: str, owner: Client, who: People) -> None:
    made = services.create_collection(project=who.project, user=who.owner, name="handbook")
    sent = {"documents": SimpleUploadedFile(name, b"Words"), "how": "add"}
    owner.post(reverse("pipelines:upload", args=[made.pk]), sent)
    for stored in made.documents.all():
        assert "/" not in stored.source_name
        assert "\\" not in stored.source_name


@pytest.mark.django_db
def test_a_body_that_poses_as_a_file_is_none(owner: Client, who: People) -> None:
    made = services.create_collection(project=who.project, user=who.owner, name="handbook")
    address = reverse("pipelines:upload", args=[made.pk])
    file = {"filepath": "/etc/passwd", "path": "/etc/passwd", "name": "a.txt"}
    answer = owner.post(address, json.dumps({"documents": [file]}), content_type="application/json")
    assert answer.status_code == 422
    assert owner.post(address, {"documents": "/etc/passwd", "how": "add"}).status_code == 422
    assert not made.documents.exists()


@pytest.mark.django_db
def test_replacing_all_documents_by_no_file_loses_none(owner: Client, who: People) -> None:
    made = services.create_collection(project=who.project, user=who.owner, name="handbook")
    kept = [services.DocumentText(text="Kept")]
    services.replace_documents(collection=made, user=who.owner, documents=kept)
    answer = owner.post(reverse("pipelines:upload", args=[made.pk]), {"how": "replace"})
    assert answer.status_code == 422
    assert [document.text for document in made.documents.all()] == ["Kept"]
