"""Types of the user's own: from a JSON Schema to what pydantic checks values with.

Host and worker build from the same schema with this file, so both check values alike. A keyword that
is not known here is refused, never ignored: a constraint dropped without a word is a promise broken.
"""

import datetime
import json
import keyword
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, SchemaError

from pipelines.graph.known_types import union_of
from pipelines.graph.tokens import SignatureError, printable, quoted
from pipelines.graph.types import RESERVED

MAX_SCHEMA = 50_000
"""Characters of one schema as JSON."""

MAX_SCHEMA_DEPTH = 20
"""Schemas in schemas."""

_NUMBER = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_CONSTRAINTS: Mapping[str, Mapping[str, str]] = {
    "string": {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"},
    "integer": _NUMBER,
    "number": _NUMBER,
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}
_NOTES = frozenset({"title", "description", "default", "examples", "$comment", "$schema", "$defs"})
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"format", *_CONSTRAINTS["string"]}),
    "integer": frozenset(_NUMBER),
    "number": frozenset(_NUMBER),
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset({"items", *_CONSTRAINTS["array"]}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
_SCALARS: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}
_KIND_OF: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_WIDER: Mapping[str | None, str] = {"integer": "number"}
_FORMATS = {"date-time": datetime.datetime, "date": datetime.date, "uuid": uuid.UUID}
# A property that may be left out is None in the model, and nothing in the data and in the schema.
_ABSENT: Mapping[str, Any] = {
    "default": None,
    "exclude_if": lambda value: value is None,
    "json_schema_extra": lambda schema: schema.pop("default", None),
}
_LITERAL: Any = Literal
_ANNOTATED: Any = Annotated


class _CustomModel(BaseModel):
    """Base of what is built here. `_source` is the user's own schema where it can stand for itself."""

    model_config = ConfigDict(
        allow_inf_nan=False, ser_json_inf_nan="constants", protected_namespaces=()
    )
    _source: ClassVar[dict[str, Any] | None] = None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) if cls._source is None else dict(cls._source)


def model_from_schema(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """The pydantic model of a JSON Schema of an object with properties.

    The same name and schema give the same class. Raises SignatureError for anything else, and for
    every keyword that is not known here.
    """
    made = type_from_schema(name, schema)
    if not (isinstance(made, type) and issubclass(made, BaseModel)):
        raise SignatureError(f"Type {quoted(name)} is not an object with `properties`.", name)
    return made


def type_from_schema(name: str, schema: Mapping[str, Any]) -> Any:
    """What a field of the type `name` is annotated with: a model, or for a schema of anything but an
    object with properties what `typing` has for it. Raises SignatureError."""
    _check_name(name)
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise SignatureError(f"The schema of type {quoted(name)} is not JSON.", name) from None
    if not isinstance(schema, Mapping) or len(text) > MAX_SCHEMA:
        message = f"The schema of type {quoted(name)} must be an object of up to {MAX_SCHEMA:,} characters."
        raise SignatureError(message, name)
    return _type_from_json(name, text)


def _check_name(name: str) -> None:
    if (
        not name.isascii()
        or not name.isidentifier()
        or name.startswith("_")
        or keyword.iskeyword(name)
    ):
        message = f"{quoted(name)} can't name a type; use letters, digits and `_`, a letter first."
        raise SignatureError(message, name)
    if name in RESERVED:
        raise SignatureError(f"{quoted(name)} is a type already; give yours another name.", name)


@lru_cache(maxsize=256)
def _type_from_json(name: str, text: str) -> Any:
    schema = json.loads(text)
    try:
        made = _Builder(name, schema.get("$defs", {})).type_of(schema, name)
        if isinstance(made, type) and issubclass(made, _CustomModel):
            made._source = None if '"$ref"' in text else schema
        TypeAdapter(made)  # a bad pattern or bound shows only now
    except SignatureError:
        raise
    except (SchemaError, PydanticUserError, TypeError, ValueError) as error:
        cause = " ".join(str(error).split())
        message = f"The schema of type {quoted(name)} can't be used: {printable(cause)}."
        raise SignatureError(message, name) from None
    return made


class _Builder:
    """Turns the parts of one schema into types; `path` names the part in errors."""

    def __init__(self, name: str, definitions: Mapping[str, Any]) -> None:
        self.name = name
        self.definitions = definitions
        if not isinstance(definitions, Mapping):
            self._refuse("$defs", "must be an object of schemas by name")
        self._built: dict[str, Any] = {}
        self._building: list[str] = []
        self._depth = 0

    def type_of(self, schema: Any, path: str) -> Any:
        if schema is True or schema == {}:
            return Any
        if not isinstance(schema, Mapping):
            self._refuse(path, "must be a schema")
        if self._depth == MAX_SCHEMA_DEPTH:
            self._refuse(path, f"is nested more than {MAX_SCHEMA_DEPTH} deep")
        self._depth += 1
        made = self._dispatch(schema, path)
        self._depth -= 1
        return made

    def _dispatch(self, schema: Mapping[str, Any], path: str) -> Any:
        if "$ref" in schema:
            self._only(schema, path, "$ref")
            return self._referred(schema["$ref"], path)
        if "anyOf" in schema:
            self._only(schema, path, "anyOf")
            return self._any_of(schema["anyOf"], path)
        if "const" in schema:
            self._only(schema, path, "const", "type")
            return self._choices([schema["const"]], schema.get("type"), path)
        if "enum" in schema:
            self._only(schema, path, "enum", "type")
            return self._choices(schema["enum"], schema.get("type"), path)
        kinds = schema.get("type")
        several: list[Any] = kinds if isinstance(kinds, list) and kinds else [kinds]
        if not all(isinstance(kind, str) and kind in _KEYWORDS for kind in several):
            self._refuse(
                path, f"needs a `type` of {', '.join(_KEYWORDS)}, or `enum`, `anyOf`, `$ref`"
            )
        self._only(schema, path, "type", *(key for kind in several for key in _KEYWORDS[kind]))
        return union_of(tuple(self._of_kind(kind, schema, path) for kind in several))

    def _of_kind(self, kind: str, schema: Mapping[str, Any], path: str) -> Any:
        if kind == "object":
            return self._object(schema, path)
        made = _SCALARS.get(kind)
        if kind == "array":
            made = list[self.type_of(schema.get("items", True), f"{path}[]")]  # type: ignore[misc]
        if kind == "string" and "format" in schema:
            made = _FORMATS.get(str(schema["format"]))
            if made is None:
                self._refuse(f"{path}.format", f"must be one of {', '.join(_FORMATS)}")
        known = _CONSTRAINTS.get(kind, {})
        constraints = {known[key]: schema[key] for key in known if key in schema}
        return _ANNOTATED[made, Field(**constraints)] if constraints else made

    def _object(self, schema: Mapping[str, Any], path: str) -> Any:
        properties, extra = schema.get("properties"), schema.get("additionalProperties")
        if properties is None and "required" not in schema:
            items = self.type_of(True if extra is None else extra, f"{path}{{}}")
            return dict[str, items]  # type: ignore[valid-type]
        if not isinstance(properties, Mapping) or extra not in (None, True, False):
            message = "needs named `properties`, and true or false as `additionalProperties`"
            self._refuse(path, message)
        required = schema.get("required", [])
        for name in required if isinstance(required, list) else [required]:
            if name not in properties:
                self._refuse(f"{path}.required", f"names {quoted(str(name))}, which is no property")
        fields = {
            name: self._property(name, part, name in required, f"{path}.{name}")
            for name, part in properties.items()
        }
        allowed: Literal["allow", "forbid", "ignore"] = (
            "ignore" if extra is None else "allow" if extra else "forbid"
        )
        return create_model(
            path.replace(".", "_"),
            __base__=_CustomModel,
            __config__=None,
            __module__=__name__,
            __cls_kwargs__={"extra": allowed},
            **fields,
        )

    def _property(self, name: str, schema: Any, required: bool, path: str) -> Any:
        if name.startswith("_") or hasattr(BaseModel, name):
            self._refuse(
                path, "has a name that pydantic's models use themselves; rename the property"
            )
        made = self.type_of(schema, path)
        notes: dict[str, Any] = {}
        if isinstance(schema, Mapping):
            notes = {key: schema[key] for key in ("title", "description") if key in schema}
            if "default" in schema and not required:
                self._check_default(made, schema["default"], path)
                return (made, Field(default=schema["default"], validate_default=True, **notes))
        return (made, Field(**({} if required else _ABSENT), **notes))

    def _check_default(self, made: Any, default: Any, path: str) -> None:
        try:
            TypeAdapter(made).validate_json(json.dumps(default), strict=True)
        except ValidationError:
            self._refuse(f"{path}.default", "is no value of the property's own type")

    def _referred(self, target: Any, path: str) -> Any:
        name = str(target).removeprefix("#/$defs/")
        if name == target or name not in self.definitions:
            self._refuse(path, "must refer to one of the schema's own `$defs`: `#/$defs/Name`")
        if name in self._building:
            self._refuse(path, f"refers to {quoted(name)} within itself, which is not supported")
        if name not in self._built:
            self._building.append(name)
            self._built[name] = self.type_of(self.definitions[name], name)
            self._building.pop()
        return self._built[name]

    def _any_of(self, options: Any, path: str) -> Any:
        if not isinstance(options, list) or not options:
            self._refuse(f"{path}.anyOf", "must be a list of schemas")
        return union_of(
            tuple(self.type_of(option, f"{path}.anyOf[{i}]") for i, option in enumerate(options))
        )

    def _choices(self, values: Any, kind: Any, path: str) -> Any:
        kinds = [_KIND_OF.get(type(value)) for value in values] if isinstance(values, list) else []
        if not kinds or None in kinds:
            self._refuse(f"{path}.enum", "must list texts, numbers, true, false or null")
        if kind is not None and any(kind not in (found, _WIDER.get(found)) for found in kinds):
            self._refuse(f"{path}.type", "doesn't fit the values listed beside it")
        return _LITERAL[tuple(values)]

    def _only(self, schema: Mapping[str, Any], path: str, *known: str) -> None:
        for key in schema:
            if key not in known and key not in _NOTES:
                self._refuse(f"{path}.{key}", "is a keyword that is not supported here; remove it")

    def _refuse(self, path: str, why: str) -> NoReturn:
        raise SignatureError(f"Type {quoted(self.name)}: {quoted(path)} {why}.", self.name)
