"""From a model's answer to typed values. An answer is data: nothing in it is imported or evaluated,
and what JSON can't hold (NaN, Infinity, half a character) `Field.check` refuses.

The rules are DSPy's (dspy/adapters/utils.py: parse_value), so whatever its adapters read, this reads.
"""

import ast
import json
import types
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from pipelines.graph.field import Field, FieldError
from runner.engine.answers import AnswerError, fitting
from runner.native.formats import lenient_json

_quick_loads = msgspec.json.Decoder().decode

MAX_LITERAL = 10_000  # characters
WRITTEN = (date, datetime, Decimal, UUID)  # types whose values JSON writes as texts


def read_fields(found: Mapping[str, Any], outputs: Mapping[str, Field]) -> dict[str, Any]:
    """Typed values in the signature's order; a missing field is None where its type allows that."""
    values: dict[str, Any] = {}
    missing = []
    for name, field in outputs.items():
        if name in found:
            values[name] = read_value(field, found[name])
        elif allows_none(field.annotation):
            values[name] = None
        else:
            missing.append(name)
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise AnswerError(f"The answer has no {listed}.", tuple(missing))
    return values


def read_value(field: Field, value: Any) -> Any:
    """One field's value as its type, JSON all the way down; an AnswerError that names the field."""
    if field.annotation is str:
        return fitting(field, value if isinstance(value, str) else str(value))
    if isinstance(value, str) and field.annotation in WRITTEN:
        # As a number in between, 12.50 would lose its last digit.
        with suppress(FieldError):
            return field.check(value)
    return fitting(field, _candidate(value, field.annotation))


def _candidate(value: Any, annotation: Any) -> Any:
    """What a text may mean for this type; other values are what they are."""
    if get_origin(annotation) is Literal:
        value = _choice(value, get_args(annotation))
        if value in get_args(annotation):
            return value
    if not isinstance(value, str):
        return value
    members = get_args(annotation) if _is_union(annotation) else ()
    if type(None) in members and str in members:
        return value
    candidate = loads(value)
    return _python_literal(value) if candidate == "" and value != "" else candidate


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """Models write `Literal[x]` and `'x'` where `x` was asked for."""
    if value in choices or not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith(("Literal[", "str[")) and text.endswith("]"):
        text = text[text.find("[") + 1 : -1]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text


def _python_literal(text: str) -> Any:
    """Parsed by `ast`, so only constants and displays: nothing is evaluated."""
    if len(text) > MAX_LITERAL:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def allows_none(annotation: Any) -> bool:
    if annotation is None or annotation is type(None):
        return True
    return _is_union(annotation) and any(map(allows_none, get_args(annotation)))


def loads(text: str) -> Any:
    """JSON, or what a model meant by it; "" when it holds no object and no list."""
    try:
        return _quick_loads(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # NaN and half characters, for one, which are refused with their field's name
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return lenient_json.read(text)


def first_object(text: str) -> str | None:
    """The first `{…}` whose braces are balanced."""
    opened: list[int] = []
    best: tuple[int, int] | None = None
    for index, character in enumerate(text):
        if character == "{":
            opened.append(index)
        elif character == "}" and opened:
            start = opened.pop()
            if best is None or start < best[0]:
                best = (start, index + 1)
            if not opened:
                break
    return text[best[0] : best[1]] if best else None
