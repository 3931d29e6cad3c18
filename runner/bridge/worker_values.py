"""Values between JSON and what DSPy works with."""

import datetime
import decimal
import math
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args

import dspy
import pydantic
from pydantic_core import to_jsonable_python

from runner.bridge.payloads import UNSERIALISABLE
from runner.engine.errors import InvalidInput

# What JSON can't say, so a module would get a string or a dict in its place.
_CONVERTED = (
    pydantic.BaseModel, datetime.date, decimal.Decimal, uuid.UUID,
    bytes, complex, set, frozenset, tuple,
)  # fmt: skip
_OFFERS = ("model_dump", "to_dict", "_asdict", "tolist", "isoformat")
MOST_NUMBERS = 1_000_000
"""Of an array that is written out; a larger one would be a list of as many objects."""


def typed(name: str, value: Any, annotation: Any) -> Any:
    """A JSON value as the type that its field declares; InvalidInput when it is none.

    Plain types are left alone: DSPy writes any value into the prompt, and checks nothing either.
    """
    adapter = _adapter(annotation)
    if adapter is None or value is None:
        return value
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidInput(
            f"Input '{name}' is not a valid {annotation}: {problem['msg']}."
        ) from None


def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any] | None:
    return type_adapter(annotation) if _needs_conversion(annotation) else None


def type_adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """Pydantic's adapter of a type. They are kept: making one takes tens of microseconds and more."""
    # By its text as well: a union equals the same one in another order, which reads differently.
    text = "" if isinstance(annotation, type) else str(annotation)
    try:
        return _kept_adapter(annotation, text)
    except TypeError:  # can't be hashed
        return pydantic.TypeAdapter(annotation)


@lru_cache(maxsize=1024)
def _kept_adapter(annotation: Any, text: str) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(annotation)


def _needs_conversion(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_args(annotation):
        return issubclass(annotation, _CONVERTED)
    origin = getattr(annotation, "__origin__", None)
    if isinstance(origin, type) and issubclass(origin, _CONVERTED):
        return True
    return any(_needs_conversion(argument) for argument in get_args(annotation))


def plain(value: Any) -> Any:
    """Anything a module may answer as JSON. DSPy's own types become their text where they are a text
    (Code, Reasoning), else an object of their fields: what their serializer writes is prompt markup."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None  # as in JSON
        case dspy.Type():
            text = value.format()
            return text if isinstance(text, str) else _fields(value)
        case pydantic.BaseModel():
            return value.model_dump(mode="json", by_alias=True)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    return to_jsonable_python(value, fallback=_as_it_offers)


def _as_it_offers(value: Any) -> Any:
    """What an object that is no JSON makes of itself, by the usual names; else what it is, for people, so
    that one part of an answer that can't cross costs no step its others."""
    size = getattr(value, "size", 0)
    if not isinstance(size, int) or size <= MOST_NUMBERS:
        for name in _OFFERS:
            try:
                return plain(getattr(value, name)())
            except Exception:  # noqa: S112 (it has none, or it is not meant for this)
                continue
    kind = type(value)
    return {UNSERIALISABLE: f"{kind.__module__}.{kind.__qualname__}"}


def _fields(value: Any) -> dict[str, Any]:
    return {name: plain(getattr(value, name)) for name in type(value).model_fields}
