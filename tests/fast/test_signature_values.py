"""Whether a value fits a field: conversion, constraints, and the place an error names."""

import datetime
import json
import math
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.signature import Field, FieldError, SignatureError, parse


def field(type_: str, **constraints: Any) -> Field:
    return parse(f"-> x: {type_}", constraints={"x": constraints}).outputs["x"]


def looped() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("type_", "value", "plain"),
    [
        ("str", "text", "text"),
        ("int", "5", 5),
        ("float", 1, 1.0),
        ("bool", "yes", True),
        ("Optional[int]", None, None),
        ("Union[int, str]", "5", "5"),
        ("list[int]", ("1", 2), [1, 2]),
        ("set[str]", ["a"], ["a"]),
        ("tuple[int, ...]", [1, 2], [1, 2]),
        ("dict[int, str]", {"1": "a"}, {"1": "a"}),
        ("Counter[str]", {"a": 2}, {"a": 2}),
        ("Iterable[int]", ["1"], [1]),
        ("Literal['a', 1]", 1, 1),
        ("date", "2026-01-31", "2026-01-31"),
        ("datetime", datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC), "2026-01-31T00:00:00Z"),
        ("Decimal", "1.10", "1.10"),
        ("UUID", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("bytes", "text", "text"),
        (
            "Any",
            {"day": datetime.date(2026, 1, 31), "some": {1}},
            {"day": "2026-01-31", "some": [1]},
        ),
        ("dspy.Image", {"url": "x"}, {"url": "x"}),
        ("list[dspy.History]", [{"messages": []}], [{"messages": []}]),
    ],
)
def test_a_value_becomes_plain_data_of_the_type(type_: str, value: Any, plain: Any) -> None:
    assert field(type_).check(value) == plain


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        ("int", "five", "x"),
        ("str", 5, "x"),
        ("list[dict[str, int]]", [{"a": 1}, {"b": "q"}], "x[1].b"),
        ("tuple[int, str]", [1], "x[1]"),
        ("Union[int, list[int]]", ["q"], "x[0]"),
        ("Literal['a', 'b']", "c", "x"),
        ("set[list[int]]", [[1]], "x[0]"),
        ("float", math.inf, "x"),
        ("list[Any]", [math.nan], "x"),
        ("str", "\ud800", "x"),
        ("dict", {"a": ["\ud800"]}, "x"),
        ("bytes", b"\xff", "x"),
        ("Any", object(), "x"),
        ("list", looped(), "x"),
        pytest.param("int", 10**5_000, "x", id="more digits than JSON is read with"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_its_place(
    type_: str, value: Any, path: str
) -> None:
    with pytest.raises(FieldError) as caught:
        field(type_).check(value)
    assert caught.value.path == path
    assert f"`{path}`" in caught.value.message
    assert (caught.value.code, caught.value.field) == ("field", "x")


def test_an_error_names_what_was_expected_and_what_came() -> None:
    with pytest.raises(FieldError) as caught:
        field("list[int]").check(["1", "two", "three"])
    assert str(caught.value) == (
        "`x[1]` does not fit list[int]: input should be a valid integer, "
        "unable to parse string as an integer; got 'two' (and 1 more)."
    )


def test_an_input_without_a_type_takes_any_value() -> None:
    anything = parse("x -> y").inputs["x"]
    assert [anything.check(value) for value in (5, None, [1], "text")] == [5, None, [1], "text"]
    assert anything.schema == {}
    with pytest.raises(FieldError):
        parse("x -> y").outputs["y"].check(5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
CHECKED = [
    field(text)
    for text in ("Any", "list[int]", "dict[str, Any]", "Union[int, str, None]", "set[date]")
]


@given(
    st.sampled_from(CHECKED), JSON | st.binary() | st.floats() | st.dates() | st.sets(st.integers())
)
@settings(max_examples=150, deadline=None)
def test_a_checked_value_is_json_and_fits_again(checked: Field, value: Any) -> None:
    try:
        plain = checked.check(value)
    except FieldError:
        return
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert checked.check(plain) == plain


@pytest.mark.parametrize(
    ("type_", "constraints", "good", "bad"),
    [
        ("int", {"ge": 0, "lt": 10}, 0, 10),
        ("float", {"gt": 0.5}, 0.6, 0.5),
        ("Optional[int]", {"le": 3}, None, 4),
        ("int", {"multiple_of": 5}, 10, 11),
        ("Decimal", {"gt": 1}, "1.5", "1"),
        ("str", {"min_length": 2, "max_length": 3}, "ab", "abcd"),
        ("str", {"pattern": "^[a-z]+$"}, "abc", "ABC"),
        ("list[int]", {"min_length": 1}, [1], []),
        ("dict[str, int]", {"max_length": 1}, {"a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_constraints_hold(type_: str, constraints: dict[str, Any], good: Any, bad: Any) -> None:
    constrained = field(type_, **constraints)
    assert constrained.check(good) == good
    with pytest.raises(FieldError):
        constrained.check(bad)


@pytest.mark.parametrize(
    ("type_", "constraints", "part"),
    [
        ("int", {"maximum": 5}, "Unknown constraint `maximum`"),
        ("int", {"min_length": 1}, "does not apply to int"),
        ("Union[int, str]", {"ge": 1}, "does not apply to Union[int, str]"),
        ("bool", {"ge": 1}, "does not apply to bool"),
        ("dspy.Image", {"max_length": 1}, "does not apply to dspy.Image"),
        ("int", {"ge": "1"}, "can't be '1'"),
        ("int", {"ge": True}, "can't be True"),
        ("float", {"ge": math.nan}, "can't be nan"),
        ("int", {"ge": 1.5}, "can't be used"),
        ("int", {"multiple_of": 0}, "can't be used"),
        ("str", {"min_length": -1}, "can't be -1"),
        ("str", {"pattern": "("}, "can't be used"),
        ("str", {"pattern": 5}, "can't be 5"),
    ],
)
def test_a_constraint_that_cannot_hold_is_refused_at_its_field(
    type_: str, constraints: dict[str, Any], part: str
) -> None:
    with pytest.raises(SignatureError) as caught:
        field(type_, **constraints)
    assert part in caught.value.message
    assert caught.value.position == len("-> ")


def test_an_input_that_takes_any_value_takes_no_constraints() -> None:
    with pytest.raises(SignatureError, match="`x: str`"):
        parse("x -> y", constraints={"x": {"max_length": 5}})


def test_a_schema_has_constraints_and_description() -> None:
    described = parse("-> x: int 'how many'", constraints={"x": {"ge": 0}}).outputs["x"]
    assert described.schema == {"type": "integer", "minimum": 0, "description": "how many"}


def test_the_json_schema_of_a_signature_is_one_object_a_side() -> None:
    schema = parse("a, b: int -> c: list[str], d: Optional[Literal['x']]").json_schema()
    assert schema["inputs"] == {
        "type": "object",
        "properties": {"a": {}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    assert schema["outputs"]["properties"]["c"] == {"type": "array", "items": {"type": "string"}}
    assert schema["outputs"]["required"] == ["c", "d"]


def test_a_type_of_dspy_is_named_in_its_schema() -> None:
    assert field("dspy.Code['python']").schema == {"x-dspy-type": "dspy.Code['python']"}
