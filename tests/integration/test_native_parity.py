"""The chat and JSON formats are DSPy's: what DSPy writes we read, what we write DSPy reads."""

import json
from pathlib import Path
from random import Random
from typing import Any

import dspy
import json_repair
import pytest
from dspy.utils.exceptions import AdapterParseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from benchmarks.parity import (
    ADAPTERS,
    DIFFERENCES,
    compare_answer,
    in_dspy,
    verdict,
    verdicts,
)
from pipelines.graph.signature import Signature, parse
from runner.engine.answers import AnswerError
from runner.native.formats import FORMATS, Task
from runner.native.formats.answers import loads

SIGNATURES = [
    "question -> answer",
    "query -> keywords: list[str]",
    "text: str, n: int -> label: Literal['spam', 'ham'], score: float, sure: bool",
    "text -> tags: list[str], counts: dict[str, int], maybe: Optional[str], either: Union[int, str]",
    "text -> day: date, moment: datetime, amount: Decimal, key: UUID",
    "rows: list[dict[str, Any]], flags: dict[str, bool] -> pairs: list[tuple[int, str]], any: Any",
    "passages: list[str] -> nested: dict[str, list[Optional[float]]]",
    "t -> choice: Literal[1, 'two', True], quoted: Literal[\"it's\", 'say \"hi\"']",
    "x: str | None -> y: int | None, z: list[Literal['a', 'b']]",
]
TYPES = [
    *(
        "str",
        "int",
        "float",
        "bool",
        "list[str]",
        "dict[str, Any]",
        "Optional[int]",
        "date",
        "UUID",
    ),
    *("Literal['a', 'b c']", "Union[int, str]", "list[dict[str, float]]", "tuple[int, ...]"),
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
INPUTS = {
    **dict.fromkeys(("question", "query", "text", "t", "x"), "What is « DSPy »?\nSay."),
    "n": 3,
    "rows": [{"a": 1, "ü": None}],
    "flags": {"on": True},
    "passages": ["one", "two\nlines"],
}


def assert_same_messages(name: str, signature: Signature, inputs: Any, demos: Any = ()) -> None:
    theirs = ADAPTERS[name].format(in_dspy(signature), list(demos), dict(inputs))
    prompt = FORMATS[name].prompt(Task(signature=signature, demos=demos), inputs, structured=True)
    ours = [{"role": message.role, "content": message.content} for message in prompt.messages]
    assert ours == theirs


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("text", SIGNATURES)
def test_messages_are_those_of_dspy(name: str, text: str) -> None:
    signature = parse(text)
    assert_same_messages(name, signature, {key: INPUTS[key] for key in signature.inputs})


@pytest.mark.parametrize("name", ADAPTERS)
def test_descriptions_constraints_and_instructions_are_written_as_dspy_does(name: str) -> None:
    signature = parse(
        "text, n: int -> tags: list[str], share: float",
        instructions="  Tag it.\n    Be brief.",
        descriptions={"text": "A review", "tags": "Lower case"},
        constraints={
            "n": {"ge": 0, "lt": 10},
            "share": {"ge": 0.0, "le": 1.0},
            "tags": {"max_length": 3},
        },
    )
    assert_same_messages(name, signature, {"text": "x", "n": 3})


@pytest.mark.parametrize("name", ADAPTERS)
def test_demos_are_turns_and_incomplete_ones_come_first(name: str) -> None:
    demos = (
        {"question": "2+2", "answer": ["4", "four"], "sure": True},
        {"question": "a", "answer": "b", "sure": None},
        {"question": "only asked"},
        {"answer": "only told", "augmented": True},
        {"question": "3+3", "sure": False},
        {"question": "1+1", "answer": "2", "sure": True, "augmented": True},
    )
    signature = parse("question -> answer, sure: bool")
    assert_same_messages(name, signature, {"question": "5+5"}, demos)


@pytest.mark.parametrize("name", ADAPTERS)
def test_types_of_ones_own_are_written_as_dspy_does(name: str) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    signature = parse("text -> person: Person, others: list[Person]", types={"Person": schema})
    assert_same_messages(name, signature, {"text": "Ada is 36"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    inputs=st.lists(st.tuples(st.sampled_from(TYPES), JSON_VALUES), min_size=1, max_size=3),
    outputs=st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
    name=st.sampled_from(sorted(ADAPTERS)),
)
def test_generated_signatures_have_the_messages_of_dspy(
    inputs: list[tuple[str, Any]], outputs: list[str], name: str
) -> None:
    asked = ", ".join(f"in{index}: {type_}" for index, (type_, _) in enumerate(inputs))
    told = ", ".join(f"out{index}: {type_}" for index, type_ in enumerate(outputs))
    values = {f"in{index}": value for index, (_, value) in enumerate(inputs)}
    try:
        assert_same_messages(name, parse(f"{asked} -> {told}"), values)
    except AttributeError as error:
        # DSPy fails on a list of anything but texts in a text field; ours writes it.
        assert "replace" in str(error)
    except TypeError as error:
        assert "not iterable" in str(error)


IMAGE = {"url": "https://example.com/a.png"}
FILE = {"file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"}
SOUND = {"data": "aGk=", "audio_format": "wav"}
MEDIA = [
    ("picture: dspy.Image, question", {"picture": IMAGE, "question": "What is it?"}),
    ("picture: dspy.Image", {"picture": {"url": "data:image/png;base64,aGk="}}),
    ("pages: list[dspy.Image], n: int", {"pages": [IMAGE, IMAGE], "n": 2}),
    ("by_name: dict[str, dspy.Image]", {"by_name": {'a "b"': IMAGE}}),
    ("maybe: Optional[dspy.Image], text", {"maybe": None, "text": "none"}),
    ("maybe: Optional[dspy.Image], text", {"maybe": IMAGE, "text": "one"}),
    ("paper: dspy.File", {"paper": FILE}),
    ("paper: dspy.File", {"paper": "data:text/plain;base64,aGk="}),
    ("voice: dspy.Audio, text", {"voice": SOUND, "text": "x"}),
]


def dspy_inputs(inputs: dict[str, Any], signature: type[dspy.Signature]) -> dict[str, Any]:
    """The inputs as DSPy takes them: its own types are made from the JSON that we take."""
    return {
        name: TypeAdapter(signature.input_fields[name].annotation).validate_python(value)
        for name, value in inputs.items()
    }


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(("fields", "inputs"), MEDIA)
def test_images_files_and_sounds_are_parts_as_in_dspy(
    name: str, fields: str, inputs: dict[str, Any]
) -> None:
    theirs = dspy.Signature(f"{fields} -> answer", custom_types={"dspy": dspy})
    given = dspy_inputs(inputs, theirs)
    signature = parse(f"{fields} -> answer", instructions=theirs.instructions)
    task = Task(signature=signature, demos=({**inputs, "answer": "a cat"},))
    demos = [{**given, "answer": "a cat"}]
    prompt = FORMATS[name].prompt(task, inputs, structured=True)
    ours = [{"role": message.role, "content": message.content} for message in prompt.messages]
    assert ours == ADAPTERS[name].format(theirs, demos, given)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_image_in_a_saved_demo_is_a_part(name: str) -> None:
    signature = parse("picture: dspy.Image -> answer")
    saved = dspy.Image(IMAGE["url"]).model_dump()
    prompt = FORMATS[name].prompt(
        Task(signature=signature, demos=({"picture": saved, "answer": "x"},)), {"picture": IMAGE},
        structured=True,
    )  # fmt: skip
    assert {"type": "image_url", "image_url": IMAGE} in prompt.messages[1].content


WRITTEN = {
    "s": "two\nlines",
    "i": -3,
    "f": 2.5,
    "b": True,
    "l": ["a", "b: [1]"],
    "d": {"k": {"n": None}},
    "c": "ham",
    "o": None,
    "day": "2024-02-29",
}
EVERYTHING = (
    "q -> s, i: int, f: float, b: bool, l: list[str], d: dict[str, Any], c: Literal['spam', 'ham'], "
    "o: Optional[int], day: date"
)


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_dspy_writes_we_read(name: str) -> None:
    signature = parse(EVERYTHING)
    text = ADAPTERS[name].format_assistant_message_content(in_dspy(signature), WRITTEN)
    assert FORMATS[name].read(Task(signature=signature), text) == WRITTEN


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_we_write_dspy_reads(name: str) -> None:
    signature = parse(EVERYTHING)
    text = FORMATS[name].answer(signature, WRITTEN)
    read = ADAPTERS[name].parse(in_dspy(signature), text)
    assert {**read, "day": read["day"].isoformat()} == WRITTEN


ANSWERS = [
    "[[ ## n ## ]]\n12\n\n[[ ## tags ## ]]\n['a', \"b\"]\n\n[[ ## completed ## ]]",
    "Sure!\n [[ ## n ## ]] 12\n[[ ## tags ## ]]\n[a, b\n[[ ## n ## ]]\n13",
    "[[ ## n ## ]]\ntwelve\n[[ ## tags ## ]]\n[]",
    "[[ ## n ## ]]\n12",
    "nonsense",
    '{"n": "12", "tags": ["a"]}',
    "Here it is: {'n': 12, 'tags': ['a'],} done",
    '```json\n{"n": 12.0, "tags": ["a"], "more": 1}\n```',
    '[{"n": 1, "tags": []}]',
    '{"n": 12, "tags": "a, b"}',
    '{"n": null, "tags": ["a"]}',
    '{"n": true, "tags": [1]}',
    "",
]


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_read_as_dspy_reads_them(name: str, answer: str) -> None:
    signature = parse("q -> n: int, tags: list[str]")
    try:
        theirs = ADAPTERS[name].parse(in_dspy(signature), answer)
    except AdapterParseError:
        with pytest.raises(AnswerError):
            FORMATS[name].read(Task(signature=signature), answer)
    else:
        assert FORMATS[name].read(Task(signature=signature), answer) == theirs


# As models of several makers answered, shortened: with thoughts, in fences, cut off, half in the format.
COMPLETIONS = [
    "<think>\nThe text is about DSPy.\n</think>\n\n[[ ## label ## ]]\nham\n\n[[ ## score ## ]]\n0.9\n\n"
    "[[ ## why ## ]]\n- short\n- clear\n\n[[ ## completed ## ]]",
    "[[ ## label ## ]] 'spam'\n[[ ## score ## ]] 95%\n[[ ## why ## ]] It sells.",
    "[[ ## label ## ]]\nspam\n\n[[ ## score ## ]]\n.5\n\n[[ ## why ## ]]\n",
    "[[ ## label ## ]]\nSpam\n\n[[ ## score ## ]]\n1\n\n[[ ## why ## ]]\nx",
    "[[ ## score ## ]]\n1e-3\n\n[[ ## label ## ]]\nham\n\n[[ ## why ## ]]\n[[ ## label ## ]] is it",
    "[[ ##label## ]]\nham\n[[ ## score ## ]]\n1\n[[ ## why ## ]]\nx",
    "**[[ ## label ## ]]**\nham\n**[[ ## score ## ]]**\n1\n**[[ ## why ## ]]**\nx",
    "label: ham\nscore: 1\nwhy: x",
    "[[ ## label ## ]]\nham\n\n[[ ## score ## ]]\n0.7",
    "[[ ## label ## ]]\nham\n\n[[ ## score ## ]]\n0,7\n\n[[ ## why ## ]]\nx",
    '```json\n{\n  "label": "ham",\n  "score": 0.7,\n  "why": "x"\n}\n```',
    'Here is the JSON:\n{"label": "ham", "score": "0.7", "why": ["x", 1]}',
    '{"label": "Literal[ham]", "score": 0.7, "why": null}',
    '{"label": "ham", "score": true, "why": {"a": "b"}}',
    '{"label": "ham", "score": 0.7, "why": "a \\"b\\" {c}"}',
    '{"result": {"label": "ham", "score": 0.7, "why": "x"}}',
    '{"label": "ham", "score": 0.7, "why": "it was cut off in the mi',
    "{'label': 'ham', 'score': .7, 'why': 'it\\'s'}",
    '{"label": "ham", "score": 0.7, "why": "x"}{"label": "spam", "score": 1, "why": "y"}',
    "I'm sorry, but I can't help with that.",
]


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("answer", COMPLETIONS)
def test_recorded_completions_are_read_as_dspy_reads_them(name: str, answer: str) -> None:
    signature = parse("text -> label: Literal['spam', 'ham'], score: float, why")
    assert verdict(compare_answer(name, signature, answer)) == "same"


@pytest.mark.parametrize(
    "choice", ["spam", "'spam'", "Literal[spam]", "Literal['spam']", ' "spam" ']
)
def test_choices_are_unwrapped_as_dspy_does(choice: str) -> None:
    signature = parse("q -> c: Literal['spam', 'ham']")
    answer = json.dumps({"c": choice})
    assert FORMATS["json"].read(Task(signature=signature), answer) == ADAPTERS["json"].parse(
        in_dspy(signature), answer
    )


BROKEN = [
    "{'a': 1, 'b': ['x', 'y']}",
    '{"a": 1,}',
    '{"a": [1, 2, 3',
    '{"a": "unterminated',
    "{a: 1, b: two words}",
    '```json\n{"a": 1}\n```',
    'Here it is:\n```\n{"a": [1,2]}\n```\nbye',
    '{"a": "He said "hi" to me", "b": 2}',
    '{"a": True, "b": None, "c": False}',
    '{"a": 1 "b": 2}',
    '["a" "b",]',
    "[a, b",
    'text before {"a": 1} and after',
    '{"a": // note\n 1, /* x */ "b": 2}',
    '{"a": "line\nbreak"}',
    '{"a": {"b": {"c": [1, {"d": 2}]}}',
    '{"a": }',
    '{"a": "x", "b"}',
    '{"a":1]}',
    "{“a”: “b”}",
    '{"a": 1,000}',
    '{"a": ["x", "y"}',
    '{"a":"b",,"c":"d"}',
    '{"reasoning": "step 1: do [x] then {y}", "answer": "z"',
]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_json_is_mended_as_dspy_mends_it(text: str) -> None:
    assert loads(text) == json_repair.loads(text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_generated_cases_agree_or_differ_on_purpose(chance: Random) -> None:
    assert verdicts(chance)["other"] == 0


@pytest.mark.parametrize(
    ("name", "text", "options", "answer"),
    [
        ("not_json", "q -> x: list[Any]", {}, '{"x": [NaN]}'),
        ("exact_texts", "q -> d: Decimal", {}, '{"d": "12.50"}'),
        ("mended_json", "q -> n: int", {}, '{"n": 1' + "[" * 70),
    ],
)
def test_every_deliberate_difference_is_one(
    name: str, text: str, options: dict[str, Any], answer: str
) -> None:
    assert verdict(compare_answer("json", parse(text, **options), answer)) == name


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(
    ("type_", "constraints", "value"),
    [
        ("int", {"lt": 5}, "7"),
        ("str", {"min_length": 20}, "too short"),
        ("str", {"pattern": "^[A-Z]{3}$"}, "dsp"),
        ("list[str]", {"max_length": 1}, '["a", "b"]'),
        ("Literal['yes', 'no']", {}, "perhaps"),
        ("float", {}, "NaN"),
    ],
)
def test_what_breaks_its_field_is_refused_by_both_in_the_same_words(
    name: str, type_: str, constraints: dict[str, Any], value: str
) -> None:
    signature = parse(f"q -> x: {type_}", constraints={"x": constraints})
    quoted = value if value[0] in "[7N" else f'"{value}"'
    answer = f'{{"x": {quoted}}}' if name == "json" else f"[[ ## x ## ]]\n{value}"
    case = compare_answer(name, signature, answer)
    assert verdict(case) == "same" and case.refused_here and case.refused_there
    if constraints:
        assert str(case.ours) == str(case.theirs)


def test_the_differences_are_told_to_readers() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/native.md").read_text()
    assert [name for name in DIFFERENCES if f"| `{name}` |" not in page] == []
