"""DSPy's words for fields, types and values, as they stand in a prompt.

Every function here writes what DSPy 3.4.1 writes (dspy/adapters/utils.py), byte for byte, so that a
program compiled by an optimizer meets the prompt it was compiled for. `test_native_parity.py`
compares.
"""

import json
import types
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter

from pipelines.graph.field import Field

CONSTRAINTS = {
    "gt": "greater than: ",
    "ge": "greater than or equal to: ",
    "lt": "less than: ",
    "le": "less than or equal to: ",
    "min_length": "minimum length: ",
    "max_length": "maximum length: ",
    "multiple_of": "a multiple of the given number: ",
    "allow_inf_nan": "allow 'inf', '-inf', 'nan' values: ",
}

_to_json = json.JSONEncoder(ensure_ascii=False).encode


def annotation_name(annotation: Any) -> str:
    """`list[str]`, `Literal['a', 'b']`, `Union[str, NoneType]`."""
    origin = get_origin(annotation)
    if origin is None:
        return str(getattr(annotation, "__name__", annotation)).removeprefix("dspy.")
    if origin is types.UnionType:
        origin = Union
    quote = _quoted if origin is Literal else annotation_name
    arguments = ", ".join(
        quote(argument) if isinstance(argument, str) else annotation_name(argument)
        for argument in get_args(annotation)
    )
    return f"{annotation_name(origin)}[{arguments}]"


def _quoted(text: str) -> str:
    if "'" in text and '"' not in text:
        return f'"{text}"'
    escaped = text.replace("'", "\\'") if "'" in text else text
    return f"'{escaped}'"


def field_list(fields: Iterable[Field]) -> str:
    """The numbered list of the system message: name, type, description, constraints."""
    return "\n".join(
        f"{index}. `{field.name}` ({annotation_name(field.annotation)}): "
        f"{description_of(field)}{_constraints(field.constraints)}"
        for index, field in enumerate(fields, start=1)
    ).strip()


def description_of(field: Field) -> str:
    """The description, empty while it is DSPy's default: `${name}`."""
    return "" if field.description == f"${{{field.name}}}" else field.description


def _constraints(constraints: Mapping[str, Any]) -> str:
    told = [
        f"{CONSTRAINTS[key]}{value}" for key, value in constraints.items() if key in CONSTRAINTS
    ]
    return f"\nConstraints: {', '.join(told)}" if told else ""


def placeholder(field: Field, *, is_output: bool) -> str:
    """`{name}`, for an output with a note of what its value must be."""
    note = _note(field.annotation) if is_output else ""
    return f"{{{field.name}}}" + (f"{' ' * 8}# note: the value you produce {note}" if note else "")


def _note(annotation: Any) -> str:
    if annotation is str:
        return ""
    if annotation is bool:
        return "must be True or False"
    if annotation in (int, float):
        return f"must be a single {annotation.__name__} value"
    if get_origin(annotation) is Literal:
        choices = "; ".join(str(choice) for choice in get_args(annotation))
        return f"must exactly match (no extra characters) one of: {choices}"
    return f"must adhere to the JSON schema: {_to_json(_schema(annotation))}"


def _schema(annotation: Any) -> Any:
    return _type_first(TypeAdapter(annotation).json_schema())


def _type_first(schema: Any) -> Any:
    """Sorted by key, but for `type`: models follow a schema better when it leads."""
    if isinstance(schema, Mapping):
        keys = sorted(schema, key=lambda key: (key != "type", key))
        return {key: _type_first(schema[key]) for key in keys}
    if isinstance(schema, list):
        return [_type_first(item) for item in schema]
    return schema


def requirement(annotation: Any) -> str:
    """What the last line of the request says of an output's type; nothing for a text."""
    if annotation is str:
        return ""
    return f" (must be formatted as a valid Python {annotation_name(annotation)})"


def value_text(annotation: Any, value: Any) -> str:
    """A value (JSON) as it stands under its marker: lists of a text field as a numbered list, other
    lists and dicts as JSON, the rest as Python writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and annotation is str:
        return _numbered(value)
    if isinstance(value, list):
        return _list_text(value)
    if isinstance(value, dict):
        return _to_json(value)
    return str(value)


def _list_text(values: list[Any]) -> str:
    """The list as JSON. Making an encoder costs more than writing some texts."""
    for value in values:
        if type(value) is not str:
            return _to_json(values)
    return f"[{', '.join(map(encode_basestring, values))}]"


def _numbered(values: list[Any]) -> str:
    if not values:
        return "N/A"
    if len(values) == 1:
        return _passage(values[0])
    return "\n".join(f"[{index}] {_passage(value)}" for index, value in enumerate(values, start=1))


def _passage(value: Any) -> str:
    if not isinstance(value, str) or not any(character in value for character in "\n«»"):
        return f"«{value}»"
    indented = value.replace("\n", "\n    ")
    return f"«««\n    {indented}\n»»»"
