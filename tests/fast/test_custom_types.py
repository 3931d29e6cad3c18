"""Types of the user's own: a JSON Schema becomes what values are checked with, or is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipelines.graph.signature import (
    Field,
    FieldError,
    SignatureError,
    model_from_schema,
    parse,
    type_from_schema,
)

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "Who it is."},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "default": ["a"]},
        "born": {"type": ["string", "null"], "format": "date"},
        "e-mail": {"type": "string", "pattern": "@"},
    },
    "required": ["name"],
}
COMPANY = {
    "type": "object",
    "properties": {
        "staff": {"type": "array", "items": {"$ref": "#/$defs/Person"}, "maxItems": 2},
        "seat": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
    },
    "required": ["staff", "seat"],
    "additionalProperties": False,
    "$defs": {
        "Person": PERSON,
        "Place": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def field(type_: str, **types: Any) -> Field:
    return parse(f"-> x: {type_}", types=types).outputs["x"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"name": "Ada"}, {"name": "Ada", "tags": ["a"]}),
        (
            {"name": "Ada", "age": "36", "tags": ["b"], "born": "1815-12-10", "e-mail": "a@b"},
            {"name": "Ada", "age": 36, "tags": ["b"], "born": "1815-12-10", "e-mail": "a@b"},
        ),
        ({"name": "Ada", "of no interest": 1}, {"name": "Ada", "tags": ["a"]}),
    ],
)
def test_an_object_is_checked_property_by_property(value: Any, plain: Any) -> None:
    assert field("Person", Person=PERSON).check(value) == plain


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        ("Person", {}, "x.name"),
        ("Person", {"name": ""}, "x.name"),
        ("Person", {"name": "Ada", "age": None}, "x.age"),
        ("list[Person]", [{"name": "Ada"}, {"name": "Bob", "tags": ["c"]}], "x[1].tags[0]"),
        ("Optional[Company]", {"staff": [{"name": 5}], "seat": None}, "x.staff[0].name"),
        ("Company", {"staff": [], "seat": None, "more": 1}, "x.more"),
        ("Company", {"staff": [{"name": "a"}] * 3, "seat": None}, "x.staff"),
    ],
)
def test_a_misfit_is_found_at_its_place(type_: str, value: Any, path: str) -> None:
    with pytest.raises(FieldError) as caught:
        field(type_, Person=PERSON, Company=COMPANY).check(value)
    assert caught.value.path == path


def test_a_field_has_the_schema_of_its_type() -> None:
    assert field("Person", Person=PERSON).schema == PERSON
    assert field("list[Person]", Person=PERSON).schema["$defs"] == {"Person": PERSON}


def test_fields_with_types_of_one_name_inside_are_told_apart() -> None:
    types = {
        name: {
            "type": "object",
            "properties": {"part": {"$ref": "#/$defs/Part"}},
            "$defs": {"Part": {"type": "object", "properties": {name.lower(): {"type": "string"}}}},
        }
        for name in ("First", "Second")
    }
    definitions = parse("a -> b: First, c: Second", types=types).json_schema()["outputs"]["$defs"]
    parts = [shape["properties"] for name, shape in definitions.items() if "Part" in name]
    assert [list(part) for part in parts] == [["first"], ["second"]]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"enum": ["a", 1, None]}, None, "b"),
        ({"const": "a"}, "a", "b"),
        ({"type": "string", "pattern": "^a"}, "ab", "b"),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}, 1.5, 0),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [1], []),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "b"}),
        ({"type": ["string", "null"], "minLength": 2}, None, "a"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-0000-0000-000000000005", "x"),
    ],
)
def test_a_type_need_not_be_an_object(schema: Any, good: Any, bad: Any) -> None:
    made = field("T", T=schema)
    assert made.check(good) == good
    with pytest.raises(FieldError):
        made.check(bad)
    with pytest.raises(SignatureError, match="not an object"):
        model_from_schema("T", schema)


def test_the_same_schema_gives_the_same_model() -> None:
    assert model_from_schema("Person", PERSON) is model_from_schema("Person", dict(PERSON))
    assert model_from_schema("Person", PERSON).__name__ == "Person"


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        (5, "must be an object"),
        ({"type": {1, 2}}, "must be JSON"),
        ({"type": "strin"}, "needs a `type`"),
        ({"oneOf": []}, "needs a `type`"),
        ({"type": "string", "format": "email"}, "one of date-time"),
        ({"type": "string", "contentEncoding": "x"}, "`T.contentEncoding` is a keyword"),
        ({"type": "integer", "minLength": 1}, "`T.minLength` is a keyword"),
        ({"type": "string", "pattern": "(?=a)"}, "look-around"),
        ({"type": "string", "minLength": "x"}, "can't be used"),
        ({"enum": []}, "must list"),
        ({"enum": [[]]}, "must list"),
        ({"enum": ["a"], "type": "integer"}, "doesn't fit the values"),
        ({"enum": ["a"], "const": "a"}, "is a keyword"),
        ({"$ref": "https://example.org/schema"}, "own `$defs`"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "within itself"),
        ({"$defs": 5, "type": "string"}, "`$defs` must be"),
        ({"anyOf": []}, "list of schemas"),
        ({"type": "array", "items": 5}, "must be a schema"),
        ({"type": "object", "required": ["a"]}, "named `properties`"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "no property"),
        ({"type": "object", "properties": {"_a": True}}, "rename the property"),
        ({"type": "object", "properties": {"json": True}}, "rename the property"),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": "b"}}}, "no value"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(schema: Any, part: str) -> None:
    with pytest.raises(SignatureError) as caught:
        parse("a -> b: T", types={"T": schema})
    assert part in caught.value.message


def test_a_schema_that_is_too_deep_or_too_long_is_refused() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    shallower = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}
    for _ in range(20):
        shallower = {"type": "array", "items": shallower}
    for schema in (deep, shallower, {"enum": ["a" * 60_000]}):
        with pytest.raises(SignatureError):
            type_from_schema("T", schema)


def test_shared_definitions_are_built_once() -> None:
    """Each level names the next ten times: a hundred million parts if they were built anew."""
    definitions: dict[str, Any] = {"T0": {"type": "string"}}
    for level in range(1, 9):
        reference = {"$ref": f"#/$defs/T{level - 1}"}
        definitions[f"T{level}"] = {
            "type": "object",
            "properties": dict.fromkeys("abcdefghij", reference),
        }
    assert TypeAdapter(type_from_schema("T", {"$ref": "#/$defs/T8", "$defs": definitions}))


@pytest.mark.parametrize(
    "name", ["int", "List", "Callable", "class", "_T", "a b", "", "typing.List", "É"]
)
def test_a_type_may_not_take_every_name(name: str) -> None:
    with pytest.raises(SignatureError):
        type_from_schema(name, {"type": "string"})


SCHEMAS = st.recursive(
    st.sampled_from(
        [{"type": "string"}, {"type": "null"}, {"enum": ["a", 1]}, True, {}, 5, None, "x"]
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["type", "items", "anyOf", "properties", "required", "$ref", "$defs", "enum"]
        )
        | st.sampled_from(["minimum", "pattern", "format", "default", "additionalProperties"]),
        inner
        | st.lists(inner, max_size=2)
        | st.sampled_from(["object", "array", "integer", "string"]),
        max_size=4,
    ),
    max_leaves=8,
)


@given(SCHEMAS)
@settings(max_examples=100, deadline=None)
def test_any_schema_is_built_or_raises_a_signature_error(schema: Any) -> None:
    try:
        made = type_from_schema("T", schema)
    except SignatureError:
        return
    assert TypeAdapter(made).json_schema() is not None
