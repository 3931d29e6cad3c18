"""Signatures: typed inputs -> typed outputs, and instructions.

The text follows DSPy's grammar (`question, context: list[str] -> answer`), read by our own readers in
`tokens.py` and `types.py`: what a user types is data, so nothing in it is imported or evaluated, and
every error points at its character. What differs from DSPy on purpose stands in
`docs/reference/signatures.md`.

Reading makes plain values only. What costs more, pydantic's validators and JSON Schemas, is built when
it is first asked for and kept on the field.
"""

import hashlib
import inspect
import json
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter

from pipelines.graph.custom_types import model_from_schema, type_from_schema
from pipelines.graph.field import NOTHING, Field, FieldError, UntitledJsonSchema, constraint_problem
from pipelines.graph.known_types import DSPY_TYPES
from pipelines.graph.tokens import Reader, SignatureError, quoted, read_text
from pipelines.graph.types import TypeReader, resolve

__all__ = [
    "Field",
    "FieldError",
    "Signature",
    "SignatureError",
    "model_from_schema",
    "parse",
    "resolve",
    "type_from_schema",
]

MAX_TEXT = 20_000
"""Characters of one signature."""

_CACHED = 512
"""Signatures kept; with texts of full length that is some 20 MB."""

_KEPT_BY_DSPY = frozenset(
    {
        *("fields", "input_fields", "output_fields", "instructions", "signature"),
        *("model_config", "model_dump", "model_dump_json"),
        *("model_validate", "model_validate_json", "model_validate_strings"),
    }
)
"""Names that DSPy's Signature and pydantic's models refuse (DSPy 3.4, pydantic 2.14)."""

_FORBIDDEN_NAMES = _KEPT_BY_DSPY | frozenset(keyword.kwlist)


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """Ordered inputs and outputs, and what to do. Immutable, hashable, equal by value and order.

    `types` holds the JSON Schemas of those of the user's own types that the fields name.
    """

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]
    instructions: str
    types: Mapping[str, Mapping[str, Any]] = NOTHING

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        return self._key == other._key and self.types == other.types

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return (tuple(self.inputs.values()), tuple(self.outputs.values()), self.instructions)

    @cached_property
    def text(self) -> str:
        """The canonical text: `a, b: int -> c: list[str]`. It reads back to the same fields, without
        what a text can't hold: descriptions, constraints, instructions, types of one's own."""
        return f"{_side_text(self.inputs)} -> {_side_text(self.outputs)}".strip()

    @cached_property
    def hash(self) -> str:
        """SHA-256 in hex over all that changes what a language model is asked: names, order, types,
        descriptions, constraints and instructions. The same in every process."""
        whole = {
            "inputs": [_identity(field) for field in self.inputs.values()],
            "outputs": [_identity(field) for field in self.outputs.values()],
            "instructions": self.instructions,
            "types": dict(self.types),
        }
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        return {"inputs": _object_schema(self.inputs), "outputs": _object_schema(self.outputs)}

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schemas of all inputs and of all outputs, each as one object in which every field
        is required. Shared: do not change them."""
        return self._json_schema

    def parts(self) -> dict[str, Any]:
        """What `parse` makes this signature from again, as JSON data: for storing and sending."""
        fields = (*self.inputs.values(), *self.outputs.values())
        return {
            "text": self.text,
            "instructions": self.instructions,
            "descriptions": {
                field.name: field.description for field in fields if field.description
            },
            "constraints": {
                field.name: dict(field.constraints) for field in fields if field.constraints
            },
            "types": dict(self.types),
        }

    def with_instructions(self, text: str) -> "Signature":
        """The same fields under other instructions; DSPy's default ones if the text is empty."""
        return replace(self, instructions=_instructions(text, self.inputs, self.outputs))

    def prepend_output(self, name: str, type: str = "str", description: str = "") -> "Signature":  # noqa: A002
        """With one more output, the first; an output of that name moves to the front as it is.

        The instructions stay, as in DSPy's ChainOfThought. Raises SignatureError for a bad name or
        type, and when an input has the name.
        """
        if name in self.inputs:
            message = f"{quoted(name)} is an input already; rename it to have it as an output."
            raise SignatureError(message, self.text)
        field = self.outputs.get(name)
        if field is None:
            added = parse(f"-> {name}: {type}", types=self.types)
            if list(added.outputs) != [name] or added.inputs:
                message = f"Expected the name and type of one output, not {quoted(added.text)}."
                raise SignatureError(message, added.text)
            field = replace(added.outputs[name], description=description)
        others = {key: other for key, other in self.outputs.items() if key != name}
        return replace(self, outputs=MappingProxyType({name: field, **others}))


def parse(
    text: str,
    *,
    instructions: str = "",
    descriptions: Mapping[str, str] = NOTHING,
    constraints: Mapping[str, Mapping[str, Any]] = NOTHING,
    types: Mapping[str, Mapping[str, Any]] = NOTHING,
) -> Signature:
    """The signature that a text spells, with what a text can't hold.

    `descriptions` and `constraints` go by field name; `types` maps further type names to their JSON
    Schemas. Equal calls give the same object (a cache of 512). Raises SignatureError, and nothing else.
    """
    if not (isinstance(text, str) and isinstance(instructions, str)):
        raise SignatureError("A signature and its instructions are texts.", "")
    if len(text) > MAX_TEXT:
        message = f"A signature has up to {MAX_TEXT:,} characters; this one has {len(text):,}."
        raise SignatureError(message, text, MAX_TEXT)
    if not (descriptions or constraints or types):
        return _parse(text, instructions, "")
    try:
        bounds = {name: dict(bound) for name, bound in constraints.items()}
        extras = json.dumps([dict(descriptions), bounds, dict(types)])
        return _parse(text, instructions, extras)
    except SignatureError:
        raise
    except (TypeError, ValueError, AttributeError, RecursionError):
        message = "Descriptions, constraints and types must be JSON objects by name."
        raise SignatureError(message, text) from None


@lru_cache(maxsize=_CACHED)
def _parse(text: str, instructions: str, extras: str) -> Signature:
    """`extras` is [descriptions, constraints, types] as JSON, or empty: a key that nobody changes."""
    descriptions, constraints, schemas = json.loads(extras) if extras else ({}, {}, {})
    own_types = _own_types(schemas, text)
    reader = _FieldReader(text, {**DSPY_TYPES, **own_types} if own_types else DSPY_TYPES)
    inputs = reader.side("inputs", "->")
    reader.tokens.advance()
    outputs = reader.side("outputs", "end")
    if extras:
        reader.add(descriptions, constraints, (inputs, outputs))
    return Signature(
        inputs=MappingProxyType(inputs),
        outputs=MappingProxyType(outputs),
        instructions=_instructions(instructions, inputs, outputs),
        types=_met(schemas, reader.types.used) if schemas else NOTHING,
    )


def _met(schemas: Mapping[str, Any], used: set[str]) -> Mapping[str, Any]:
    return MappingProxyType({name: schemas[name] for name in schemas if name in used})


def _own_types(schemas: Mapping[str, Any], text: str) -> dict[str, Any]:
    try:
        return {name: type_from_schema(name, schema) for name, schema in schemas.items()}
    except SignatureError as error:
        raise SignatureError(error.message, text) from None


class _FieldReader:
    """Reads the fields of a signature; `places` remembers where each name stands."""

    __slots__ = ("places", "tokens", "types")

    def __init__(self, text: str, type_names: Mapping[str, Any]) -> None:
        self.tokens = Reader(text)
        self.types = TypeReader(self.tokens, type_names)
        self.places: dict[str, tuple[int, int]] = {}

    def side(self, side: Literal["inputs", "outputs"], stop: str) -> dict[str, Field]:
        """The fields up to the token `stop`, which is left standing."""
        tokens = self.tokens
        fields: dict[str, Field] = {}
        while tokens.kind != stop:
            field = self._field(side, stop, fields)
            fields[field.name] = field
            if tokens.kind == ",":
                tokens.advance()
            elif tokens.kind != stop:
                raise tokens.error(self._unexpected(stop, "a comma"))
        return fields

    def _field(self, side: str, stop: str, before: Mapping[str, Field]) -> Field:
        name = self._name(stop, before)
        tokens = self.tokens
        if tokens.kind != ":":
            undeclared_input = side == "inputs"
            return Field(
                name=name, type="str", annotation=str, declared=False, accepts_any=undeclared_input
            )
        tokens.advance()
        text, annotation, _ = self.types.read()
        if text == "None":  # DSPy reads this as no type, which is str
            text, annotation = "str", str
        if tokens.kind != "string" and not self.types.note:
            return Field(name=name, type=text, annotation=annotation, declared=True)
        return Field(
            name=name, type=text, annotation=annotation, declared=True, description=self._note()
        )

    def _note(self) -> str:
        """The description: a text after the type, or the one in `Annotated`."""
        note, self.types.note = self.types.note, ""
        if self.tokens.kind != "string":
            return note
        if note:
            raise self.tokens.error(
                "`Annotated` describes the field already; remove one of the texts."
            )
        return read_text(self.tokens)

    def _name(self, stop: str, before: Mapping[str, Field]) -> str:
        tokens = self.tokens
        name = tokens.value
        if tokens.kind != "name":
            raise tokens.error(self._unexpected(stop, "the name of a field"))
        if name in _FORBIDDEN_NAMES or name.startswith("_"):
            raise tokens.error(_why_forbidden(name))
        if name in self.places:
            side = "twice on one side" if name in before else "among the inputs and the outputs"
            raise tokens.error(f"{quoted(name)} stands {side}; give each field a name of its own.")
        self.places[name] = (tokens.start, tokens.end)
        tokens.advance()
        return name

    def _unexpected(self, stop: str, wanted: str) -> str:
        found = self.tokens.kind
        if found == "end":
            return (
                "A signature needs `->` between its inputs and its outputs: `question -> answer`."
            )
        if found == "->":
            return "A signature has one `->`, and this is the second; remove one."
        hint = _HINTS.get(found, "Fields are written `name` or `name: type`, with commas between.")
        wanted += " or `->`" if stop == "->" else ""
        return f"Expected {wanted}, found {self.tokens.found()}. {hint}"

    def add(
        self,
        descriptions: Mapping[str, Any],
        constraints: Mapping[str, Any],
        sides: tuple[dict[str, Field], ...],
    ) -> None:
        """Puts on the fields what their text can't hold."""
        for name in (*descriptions, *constraints):
            if name not in self.places:
                message = (
                    f"There is no field {quoted(name)} to describe or constrain; remove the entry."
                )
                raise self.tokens.error(message, 0)
        for fields in sides:
            for name in fields.keys() & {*descriptions, *constraints}:
                fields[name] = self._extended(
                    fields[name], descriptions.get(name, ""), constraints.get(name, {})
                )

    def _extended(self, field: Field, description: Any, constraints: dict[str, Any]) -> Field:
        place = self.places[field.name]
        if not isinstance(description, str):
            raise self.tokens.error(
                f"The description of {quoted(field.name)} must be text.", *place
            )
        if description and field.description not in ("", description):
            message = f"{quoted(field.name)} is described in the text and beside it; remove one of the two."
            raise self.tokens.error(message, *place)
        extended = replace(
            field,
            description=description or field.description,
            constraints=MappingProxyType(constraints) if constraints else NOTHING,
        )
        problem = constraint_problem(extended) if constraints else None
        if problem:
            raise self.tokens.error(problem, *place)
        return extended


_HINTS = {
    "=": "A field has no default value (DSPy would drop it); remove it.",
    "*": "A star has no meaning in a signature (DSPy would drop the field); name each field.",
    "/": "A slash has no meaning in a signature (DSPy would drop fields); remove it.",
    "string": "A description stands after a type: `question: str 'what is asked'`.",
    "=>": "The arrow of a signature is `->`.",
}


def _why_forbidden(name: str) -> str:
    if name.startswith("_"):
        return f"{quoted(name)} starts with `_`, which no field may; remove the `_`."
    if name in _KEPT_BY_DSPY:
        return f"{quoted(name)} is a name that DSPy keeps for itself; give the field another."
    return f"{quoted(name)} is a word of Python's own; give the field another name."


def _instructions(text: str, inputs: Mapping[str, Field], outputs: Mapping[str, Field]) -> str:
    """The text without its indent, or what DSPy says when there is none.

    DSPy takes the indent off whenever it reads or copies a signature, and once is not always enough:
    only what stays as it is is the same in host and worker.
    """
    if text.strip():
        while (cleaned := inspect.cleandoc(text)) != text:
            text = cleaned
        return text
    given = ", ".join([f"`{name}`" for name in inputs])
    wanted = ", ".join([f"`{name}`" for name in outputs])
    return f"Given the fields {given}, produce the fields {wanted}."


def _side_text(fields: Mapping[str, Field]) -> str:
    return ", ".join(
        f"{field.name}: {field.type}" if field.declared else field.name for field in fields.values()
    )


def _identity(field: Field) -> list[object]:
    """What of a field counts in the signature's hash. A written `str` output is an unwritten one."""
    kind = "any" if field.accepts_any else field.type
    return [field.name, kind, field.description, dict(field.constraints)]


def _object_schema(fields: Mapping[str, Field]) -> dict[str, Any]:
    """One object of all the fields; definitions with the same name are told apart by pydantic."""
    schemas, shared = TypeAdapter.json_schemas(
        [(name, "validation", field.adapter) for name, field in fields.items()],
        schema_generator=UntitledJsonSchema,
    )
    return {
        "type": "object",
        "properties": {name: schemas[name, "validation"] for name in fields},
        "required": list(fields),
        "additionalProperties": False,
        **shared,
    }
