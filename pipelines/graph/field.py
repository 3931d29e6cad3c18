"""One field of a signature: its type, its constraints, and whether a value fits it."""

import dataclasses
import json
import math
import re
from collections import abc
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaError

from pipelines.graph.tokens import printable, quoted

NOTHING: Mapping[str, Any] = MappingProxyType({})

# JSON has neither infinity nor NaN: floats refuse them, and inside Any they survive to be refused.
_CONFIG = ConfigDict(allow_inf_nan=False, ser_json_inf_nan="constants")


_STRICT_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


class FieldError(ValueError):
    """A value does not fit its field.

    `field` is the field's name, `path` the place in the value (`scores[2].name`) and `expected` the
    field's type.
    """

    code: ClassVar[str] = "field"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str, path: str, expected: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.path = path
        self.expected = expected


class UntitledJsonSchema(GenerateJsonSchema):
    """JSON Schema without the titles that pydantic makes out of names: a prompt pays for each."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """A typed input or output. Frozen, but without slots: validators are built on first use and kept.

    `type` is canonical text; `annotation` is what `typing` makes of it (for a type of DSPy's own, what
    stands for it in the host). `declared` says whether a type was written, and `accepts_any` that the
    field takes every value, as an input without a written type does in DSPy.
    """

    name: str
    type: str
    annotation: Any = dataclasses.field(compare=False, repr=False)
    declared: bool
    accepts_any: bool = False
    description: str = ""
    constraints: Mapping[str, Any] = dataclasses.field(default=NOTHING, hash=False)

    @property
    def prefix(self) -> str:
        """The field's label in DSPy's prompts."""
        return infer_prefix(self.name) + ":"

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """pydantic's validator of the type with its constraints."""
        annotation = Any if self.accepts_any else self.annotation
        notes: dict[str, Any] = {"description": self.description} if self.description else {}
        if notes or self.constraints:
            annotation = Annotated[annotation, pydantic.Field(**notes, **self.constraints)]
        is_model = isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel)
        return TypeAdapter(annotation, config=None if is_model else _CONFIG)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the field's values, with its description. Shared: do not change it."""
        return self.adapter.json_schema(schema_generator=UntitledJsonSchema)

    @cached_property
    def _takes_every_text(self) -> bool:
        return (self.accepts_any or self.annotation is str) and not self.constraints

    @cached_property
    def _takes_texts(self) -> bool:
        return self.annotation == list[str] and not self.constraints

    def check(self, value: Any) -> Any:
        """The value as plain JSON data, converted by pydantic's lax rules: "5" is an int.

        Raises FieldError when it does not fit, or when JSON has no form for it.
        """
        if type(value) is str and self._takes_every_text and value.isascii():
            return value  # what most fields are and hold: nothing can be wrong with it
        if type(value) is list and self._takes_texts and _are_plain_texts(value):
            return value[:]
        try:
            typed = self.adapter.validate_python(value)
            plain = self.adapter.dump_python(typed, mode="json", warnings=False)
            _refuse_unstorable(plain)
        except ValidationError as error:
            raise self._misfit(value, error) from None
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            cause = (
                "it holds what is not valid Unicode"
                if isinstance(error, UnicodeError)
                else str(error)
            )
            message = f"{quoted(self.name)} can't be written as JSON: {cause}."
            raise FieldError(message, field=self.name, path=self.name, expected=self.type) from None
        return plain

    def _misfit(self, value: Any, error: ValidationError) -> FieldError:
        found = error.errors(include_url=False, include_context=False)
        deepest = max(found, key=lambda each: len(each["loc"]))  # the best guess among a union's
        missing = deepest["type"] == "missing"
        path = _path(self.name, value, deepest["loc"], missing=missing)
        got = "" if missing else f"; got {_shown(deepest['input'])}"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        cause = deepest["msg"][:1].lower() + deepest["msg"][1:]
        message = f"{quoted(path)} does not fit {self.type}: {printable(cause)}{got}{more}."
        return FieldError(message, field=self.name, path=path, expected=self.type)


def _are_plain_texts(values: list[Any]) -> bool:
    return all(type(value) is str and value.isascii() for value in values)


def _refuse_unstorable(plain: Any) -> None:
    """Raises ValueError for what looks like JSON and isn't: infinity, NaN, a lone surrogate."""
    kind = type(plain)
    if kind is str:
        if not plain.isascii():
            plain.encode()
    elif kind is list:
        for item in plain:
            _refuse_unstorable(item)
    elif kind is dict:
        for name, item in plain.items():
            _refuse_unstorable(name)
            _refuse_unstorable(item)
    elif kind is int:
        if plain.bit_length() > 64:  # it may have more digits than Python reads back
            _STRICT_JSON(plain)
    elif not (plain is None or kind is bool):
        _STRICT_JSON(plain)


def _path(name: str, value: Any, location: Sequence[str | int], *, missing: bool) -> str:
    """`scores[2].name`. Parts that are no place in the value name a union's member: left out."""
    path = name
    for index, part in enumerate(location):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            path += f".{part}"
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
            path += f"[{part}]"
        elif missing and index == len(location) - 1:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _shown(value: Any) -> str:
    """A value in a message: short, and never its own repr, which could be anything."""
    if isinstance(value, str):
        return repr(value[:60]) + ("…" if len(value) > 60 else "")
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int) and value.bit_length() < 200:
        return repr(value)
    return f"a value of type {type(value).__name__}"


# -- constraints ----------------------------------------------------------------------------------

_BOUNDS = frozenset({"gt", "ge", "lt", "le", "multiple_of"})
_LENGTHS = frozenset({"min_length", "max_length"})
_TEXT = _LENGTHS | {"pattern"}
CONSTRAINTS = (*sorted(_BOUNDS), *sorted(_TEXT))


def constraint_problem(field: Field) -> str | None:
    """Why the field can't have its constraints, in a sentence, or None. Builds the validator, which
    alone knows a bad pattern."""
    if field.accepts_any:
        mend = f"write its type, like `{field.name}: str`"
        return f"{quoted(field.name)} takes any value, so it can have no constraints; {mend}."
    fitting = _fitting_constraints(field.annotation)
    for name, bound in field.constraints.items():
        if name not in CONSTRAINTS:
            return f"Unknown constraint {quoted(name)}; known are {', '.join(CONSTRAINTS)}."
        if name not in fitting:
            return f"`{name}` does not apply to {field.type}; remove it from {quoted(field.name)}."
        if not _is_bound(name, bound):
            return f"`{name}` of {quoted(field.name)} can't be {_shown(bound)}."
    try:
        _ = field.adapter
    except (SchemaError, PydanticUserError, TypeError, ValueError) as error:
        cause = " ".join(str(error).split())
        return f"The constraints of {quoted(field.name)} can't be used: {printable(cause)}."
    return None


def _fitting_constraints(annotation: Any) -> frozenset[str]:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return _fitting_constraints(arguments[0])
    if origin in (Union, UnionType):
        members = [member for member in arguments if member is not NoneType]
        return _fitting_constraints(members[0]) if len(members) == 1 else frozenset()
    if origin in (int, float, Decimal):
        return _BOUNDS
    if origin is str:
        return _TEXT
    sized = isinstance(origin, type) and issubclass(origin, abc.Sized)
    return _LENGTHS if sized else frozenset()


def _is_bound(name: str, bound: Any) -> bool:
    if name == "pattern":
        return isinstance(bound, str)
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
        return False
    return isinstance(bound, int) and bound >= 0 if name in _LENGTHS else True


# -- prompts --------------------------------------------------------------------------------------


def infer_prefix(name: str) -> str:
    """A field's name as words, as DSPy's `infer_prefix` has it: `userID2` gives `User ID 2`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([a-zA-Z])(\d)", r"\1_\2", name)
    name = re.sub(r"(\d)([a-zA-Z])", r"\1_\2", name)
    return " ".join(word if word.isupper() else word.capitalize() for word in name.split("_"))
