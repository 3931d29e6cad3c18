"""What a signature is once it is read: its fields, equality, hash, and what stands beside its text."""

import copy
import typing
from collections import abc
from typing import Any

import pytest

from pipelines.graph import signature as signatures
from pipelines.graph.signature import SignatureError, parse, resolve


def test_names_keep_their_order_and_sides() -> None:
    signature = parse("z, a: int -> m, b")
    assert list(signature.inputs) == ["z", "a"]
    assert list(signature.outputs) == ["m", "b"]


def test_a_field_says_whether_its_type_was_written() -> None:
    signature = parse("a, b: str -> c, d: str")
    fields = [*signature.inputs.values(), *signature.outputs.values()]
    assert [field.declared for field in fields] == [False, True, False, True]
    assert [field.accepts_any for field in fields] == [True, False, False, False]
    assert {field.type for field in fields} == {"str"}


def test_an_annotation_is_what_typing_makes_of_the_type() -> None:
    fields = parse("a: List[int], b: int | None -> c: Literal['x'], d: Iterable[str]")
    assert fields.inputs["a"].annotation == list[int]
    assert fields.inputs["b"].annotation == typing.Optional[int]  # noqa: UP045
    assert fields.outputs["c"].annotation == typing.Literal["x"]
    assert fields.outputs["d"].annotation == abc.Iterable[str]


def test_a_union_keeps_the_order_of_its_own_literal() -> None:
    """typing's cache would give the second the order of the first."""
    first, second = (
        parse(f"a -> b: Optional[Literal[{choices}]]").outputs["b"]
        for choices in ("'n', 'm'", "'m', 'n'")
    )
    assert [field.schema["anyOf"][0]["enum"] for field in (first, second)] == [
        ["n", "m"],
        ["m", "n"],
    ]


def test_a_worker_resolves_types_to_its_own_classes() -> None:
    class Image:
        pass

    class Code:
        def __class_getitem__(cls, language: str) -> type:
            return dict if language == "python" else list

    names = {"dspy.Image": Image, "dspy.Code": Code}
    assert resolve("list[dspy.Image]", names) == list[Image]
    assert resolve("dspy.Code['python']", names) is dict
    for text in ("dspy.Audio", "int, str", "int -> b"):
        with pytest.raises(SignatureError):
            resolve(text, names)


def test_instructions_default_to_those_of_dspy() -> None:
    assert parse("a, b -> c").instructions == "Given the fields `a`, `b`, produce the fields `c`."
    assert parse("a -> b", instructions=" \n ").instructions == parse("a -> b").instructions
    assert parse("a -> b", instructions="Do:\n    this\n    that").instructions == "Do:\nthis\nthat"
    assert parse("a -> b").with_instructions("Be brief.").instructions == "Be brief."


@pytest.mark.parametrize(
    "text", ["\n    a\n  b", "\n  Do:\n    this", "\n      \n    a\n  b", " a\n\tb "]
)
def test_instructions_stay_as_they_are_once_they_are_read(text: str) -> None:
    signature = parse("a -> b", instructions=text)
    assert parse(**signature.parts()) == signature


def test_descriptions_come_from_the_text_or_from_beside_it() -> None:
    signature = parse(
        "a: int 'one', b: Annotated[str, 'two'], c -> d", descriptions={"c": "three", "a": "one"}
    )
    assert [field.description for field in signature.inputs.values()] == ["one", "two", "three"]
    with pytest.raises(SignatureError, match="in the text and beside it"):
        parse("a: int 'one' -> b", descriptions={"a": "two"})
    with pytest.raises(SignatureError, match="no field `z`"):
        parse("a -> b", descriptions={"z": "what"})


def test_a_signature_is_made_again_from_its_parts() -> None:
    signature = parse(
        "a: Person, b -> c: int 'how many'",
        instructions="Count.",
        constraints={"c": {"ge": 0}},
        types={"Person": {"type": "object", "properties": {"name": {"type": "string"}}}},
    )
    assert parse(**signature.parts()) == signature
    assert parse(**signature.parts()).hash == signature.hash


def test_the_hash_covers_what_a_model_is_asked() -> None:
    texts = ["a -> b", "b -> a", "a: str -> b", "a -> b: int", "a -> b, c", "a -> c, b", "-> a, b"]
    signatures_ = [parse(text) for text in texts]
    signatures_ += [
        parse("a -> b", instructions="Do it."),
        parse("a -> b", descriptions={"b": "it"}),
        parse("a: str -> b", constraints={"a": {"max_length": 5}}),
        parse("a -> b: T", types={"T": {"enum": [1]}}),
        parse("a -> b: T", types={"T": {"enum": [2]}}),
    ]
    assert len({signature.hash for signature in signatures_}) == len(signatures_)
    assert len(set(signatures_)) == len(signatures_)
    assert parse("a -> b: str").hash == parse("a -> b").hash


def test_the_hash_is_the_same_in_every_process() -> None:
    assert parse("question -> answer").hash.startswith("308437af5c7a390a")


def test_an_unused_type_does_not_count() -> None:
    types = {"T": {"enum": ["a"]}}
    assert parse("a -> b: Literal['T']", types=types) == parse("a -> b: Literal['T']")


def test_a_signature_does_not_change() -> None:
    signature = parse("a -> b")
    with pytest.raises(TypeError):
        signature.inputs["c"] = signature.inputs["a"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        signature.inputs["a"].type = "int"  # type: ignore[misc]


def test_equal_calls_give_the_same_object_whatever_the_caller_does_to_its_arguments() -> None:
    constraints = {"b": {"ge": 1}}
    before = parse("a -> b: int", constraints=copy.deepcopy(constraints))
    changed = parse("a -> b: int", constraints=constraints)
    assert changed is before
    constraints["b"]["ge"] = 2
    assert dict(before.outputs["b"].constraints) == {"ge": 1}
    assert parse("a -> b: int", constraints=constraints) != before


def test_reasoning_is_prepended_for_a_chain_of_thought() -> None:
    signature = parse("question -> answer")
    extended = signature.prepend_output("reasoning", "str", "Think aloud.")
    assert extended.text == "question -> reasoning: str, answer"
    assert extended.outputs["reasoning"].description == "Think aloud."
    assert extended.instructions == signature.instructions
    assert list(parse("q -> a, reasoning: int").prepend_output("reasoning").outputs) == [
        "reasoning",
        "a",
    ]


@pytest.mark.parametrize(
    ("name", "type_"), [("question", "str"), ("a, b", "str"), ("a", "int -> b"), ("a", "x.y")]
)
def test_only_one_new_output_can_be_prepended(name: str, type_: str) -> None:
    with pytest.raises(SignatureError):
        parse("question -> answer").prepend_output(name, type_)


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": None},
        {"text": "a -> b", "instructions": 5},
        {"text": "a -> b", "descriptions": {"a": 5}},
        {"text": "a -> b", "constraints": {"a": 5}},
        {"text": "a -> b", "types": {"T": {1, 2}}},
    ],
)
def test_arguments_of_the_wrong_shape_are_signature_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        parse(**arguments)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("someAttributeName42IsCool", "Some Attribute Name 42 Is Cool:"),
        ("some_attribute_name", "Some Attribute Name:"),
        ("URLAddress", "URL Address:"),
        ("isHTTPSSecure123", "Is HTTPS Secure 123:"),
        ("text2number", "Text 2 Number:"),
        ("userID", "User ID:"),
        ("ÉtatCivil", "État Civil:"),
        ("問題", "問題:"),
    ],
)
def test_a_prefix_is_the_name_in_words(name: str, prefix: str) -> None:
    assert parse(f"{name} -> b").inputs[name].prefix == prefix


def test_reading_builds_no_validators() -> None:
    signatures._parse.cache_clear()
    assert "adapter" not in vars(parse("a: list[int] -> b").inputs["a"])
