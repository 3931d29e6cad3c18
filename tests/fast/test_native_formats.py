"""What is asked and what is read, without DSPy; `test_native_parity.py` compares with DSPy itself."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.signature import parse
from runner.engine.answers import AnswerError
from runner.native.formats import FORMATS, Task, lenient_json
from runner.native.formats.answers import first_object

CHAT, JSON, COMPACT = (FORMATS[name] for name in ("chat", "json", "compact"))


def task(text: str, **more: Any) -> Task:
    demos = more.pop("demos", ())
    return Task(signature=parse(text, **more), demos=demos)


def test_chat_asks_and_reads_by_markers() -> None:
    asked = task("question -> answer, sure: bool")
    prompt = CHAT.prompt(asked, {"question": "2+2?"}, structured=True)
    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert "[[ ## question ## ]]\n2+2?" in str(prompt.messages[1].content)
    assert prompt.schema is None and not prompt.json_object
    answer = "[[ ## answer ## ]]\n4\n[[ ## sure ## ]]\nTrue\n[[ ## completed ## ]]"
    assert CHAT.read(asked, answer) == {"answer": "4", "sure": True}


@pytest.mark.parametrize(
    ("outputs", "structured", "is_schema"),
    [
        ("a: list[str]", True, True),
        ("a: list[str]", False, False),
        ("a: dict[str, Any]", True, False),
    ],
)
def test_json_holds_to_a_schema_where_the_model_can(
    outputs: str, structured: bool, is_schema: bool
) -> None:
    prompt = JSON.prompt(task(f"q -> {outputs}"), {"q": "x"}, structured=structured)
    assert (prompt.schema is not None, prompt.json_object) == (is_schema, not is_schema)


def test_compact_asks_in_few_words_and_ends_every_text() -> None:
    asked = task("query -> keywords: list[str], label: Literal['a', 'b'], price: Decimal, note")
    prompt = COMPACT.prompt(asked, {"query": "explain DSPy"}, structured=True)
    (message,) = prompt.messages
    assert len(str(message.content)) < 150
    assert prompt.schema == {
        "type": "object",
        "properties": {
            "keywords": {
                "type": "array",
                "items": {"type": "string", "maxLength": 40},
                "maxItems": 5,
            },
            "label": {"type": "string", "enum": ["a", "b"]},
            "price": {"type": "number"},
            "note": {"type": "string", "minLength": 1, "maxLength": 240},
        },
        "required": ["keywords", "label", "price", "note"],
        "additionalProperties": False,
    }


def test_compact_names_the_shape_to_a_model_that_takes_no_schema() -> None:
    prompt = COMPACT.prompt(task("q -> a: int, b: Optional[str]"), {"q": "x"}, structured=False)
    assert '"a": a whole number' in str(prompt.messages[-1].content)
    assert prompt.json_object


def test_compact_takes_the_users_instructions_and_whole_demos() -> None:
    demos = ({"q": "1", "a": "one"}, {"q": "2"})
    asked = task("q -> a", instructions="Spell it.", descriptions={"a": "in English"}, demos=demos)
    messages = COMPACT.prompt(asked, {"q": "3"}, structured=True).messages
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert messages[-1].content == "Spell it.\na: in English.\n\nq: 3"


def test_what_is_derived_from_the_signature_is_made_once() -> None:
    asked = task("q -> a")
    first = CHAT.prompt(asked, {"q": "1"}, structured=True)
    assert first.messages[0] is CHAT.prompt(asked, {"q": "2"}, structured=True).messages[0]


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int", "12", 12),
        ("float", "1e3", 1000.0),
        ("bool", "True", True),
        ("list[str]", "['a', 'b']", ["a", "b"]),
        ("list[str]", '["a", "b"', ["a", "b"]),
        ("dict[str, int]", "{'a': 1}", {"a": 1}),
        ("Literal['spam', 'ham']", "'ham'", "ham"),
        ("Literal[1, 2]", "2", 2),
        ("Optional[int]", "null", None),
        ("Optional[str]", "null", "null"),
        ("Union[int, str]", "seven", "seven"),
        ("date", "2024-02-29", "2024-02-29"),
        ("Decimal", "12.50", "12.50"),
        ("UUID", "12345678123456781234567812345678", "12345678-1234-5678-1234-567812345678"),
        ("tuple[int, ...]", "[1, 2]", [1, 2]),
    ],
)
def test_texts_become_the_types_of_the_signature(type_: str, text: str, value: Any) -> None:
    asked = task(f"q -> a: {type_}")
    assert CHAT.read(asked, f"[[ ## a ## ]]\n{text}") == {"a": value}


@pytest.mark.parametrize(
    ("type_", "answer"),
    [
        ("float", '{"a": NaN}'),
        ("float", '{"a": Infinity}'),
        ("float", '{"a": 1e999}'),
        ("dict[str, Any]", '{"a": {"x": [1e999]}}'),
        ("list[float]", '{"a": [-Infinity]}'),
        ("str", '{"a": "half \\ud800"}'),
        ("Any", '{"a": {"\\udfff": 1}}'),
        ("int", '{"a": ' + "9" * 5_000 + "}"),
        ("list[Any]", '{"a": ' + "[" * 100_000 + "}"),
        ("int", '{"a": {"__type__": "os.system"}}'),
        ("Literal['x']", '{"a": ["x"]}'),
        ("int", "__import__('os').system('id')"),
        ("list[int]", '{"a": "[x for x in ().__class__.__bases__]"}'),
    ],
)
def test_what_json_or_the_type_can_not_hold_is_refused(type_: str, answer: str) -> None:
    with pytest.raises(AnswerError) as raised:
        JSON.read(task(f"q -> a: {type_}"), answer)
    assert raised.value.fields == ("a",)


@pytest.mark.parametrize(
    "value", ["a\x00b", {"__type__": "os.system", "lc": 2, "py/object": "x", "$ref": "#"}, 2**80]
)
def test_odd_data_stays_inert(value: Any) -> None:
    assert JSON.read(task("q -> a: Any"), json.dumps({"a": value})) == {"a": value}


def test_missing_fields_are_named_unless_they_may_be_none() -> None:
    asked = task("q -> a, b: Optional[int], c: int")
    with pytest.raises(AnswerError, match="no 'a', 'c'") as raised:
        JSON.read(asked, '{"b": 1}')
    assert raised.value.fields == ("a", "c")
    assert JSON.read(asked, '{"a": "x", "c": 1}') == {"a": "x", "b": None, "c": 1}


def test_constraints_hold_for_answers() -> None:
    asked = task("q -> score: float", constraints={"score": {"le": 1.0}})
    with pytest.raises(AnswerError, match="score"):
        JSON.read(asked, '{"score": 2}')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('a {"x": {}} b {"y"}', '{"x": {}}'),
        ("{ {a} ", "{a}"),
        ("no } braces {", None),
        ("{" * 9, None),
    ],
)
def test_the_first_balanced_object_is_found(text: str, found: str | None) -> None:
    assert first_object(text) == found


HOSTILE = ["{", "[{", "{}", "]{", ",true}{", '"x', "'a':", "\\u", "```json", "// ", "[1,", "]{“"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_broken_answers_are_read_or_refused_soon(piece: str) -> None:
    started = time.perf_counter()
    with pytest.raises(AnswerError):
        JSON.read(task("q -> a: int"), piece * (40_000 // len(piece)))
    assert time.perf_counter() - started < 1


@settings(max_examples=40, deadline=None)
@given(st.text("{}[]\"'\\:,a1 \n/*`", max_size=60))
def test_no_text_is_too_odd_to_read(text: str) -> None:
    lenient_json.read(text)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_whole_json_is_read_as_it_is(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        if "``" not in text:
            assert lenient_json.read(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1, 'b': ['x', 'y',],}", {"a": 1, "b": ["x", "y"]}),
        ('{"a": [1, 2, {"b": "c', {"a": [1, 2, {"b": "c"}]}),
        ("Here:\n```json\n{a: yes, b: None}\n```\nDone.", {"a": "yes", "b": None}),
        ('{"a": "He said "hi" to me", "b": 2}', {"a": 'He said "hi" to me', "b": 2}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1]} // [', {"a": 1}),
        ('{"a": 1,000}', {"a": "1,000"}),
        ("no brackets", ""),
    ],
)
def test_what_models_break_is_mended(text: str, value: Any) -> None:
    assert lenient_json.read(text) == value


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ({}, (1, 240)),
        ({"min_length": 20}, (20, 240)),
        ({"min_length": 500}, (500, 500)),
        ({"max_length": 8}, (1, 8)),
        ({"max_length": 0}, (0, 0)),
        ({"min_length": 3000}, (2000, None)),  # more than the grammar can count
    ],
)
def test_compact_keeps_the_bounds_of_the_field(
    own: dict[str, int], asked: tuple[int, int | None]
) -> None:
    prompt = COMPACT.prompt(task("q -> a", constraints={"a": own}), {"q": "x"}, structured=True)
    assert prompt.schema is not None
    held = prompt.schema["properties"]["a"]
    assert (held["minLength"], held.get("maxLength")) == asked
