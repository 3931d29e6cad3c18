"""How the types in a signature's text are read.

Nothing a user writes is imported or evaluated: a name is found in the tables of `known_types.py` or
among the names that the caller brings, or it is refused. (DSPy imports any module that is named.)
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pipelines.graph.known_types import (
    GENERICS,
    NONE,
    NOT_DATA,
    PLAIN,
    Generic,
    TypeExpr,
    in_typing,
    inner_text,
    union_of,
)
from pipelines.graph.tokens import Reader, quoted, read_number, read_text

type Place = tuple[int, int]

MAX_DEPTH = 20
"""Brackets in brackets. DSPy has no limit of its own, but pydantic recurses once a level."""


class TypeReader:
    """Reads types off a Reader.

    `names` maps further type names to what they stand for, and `used` collects those that were met.
    `note` is the text of the `Annotated` that was met, which the caller takes and clears.
    """

    __slots__ = ("_depth", "names", "note", "reader", "used")

    def __init__(self, reader: Reader, names: Mapping[str, Any]) -> None:
        self.reader = reader
        self.names = names
        self.used: set[str] = set()
        self.note = ""
        self._depth = 0

    def read(self) -> TypeExpr:
        """The type at the reader: one member, or several joined by `|`."""
        first = self._member()
        if self.reader.kind != "|":
            return first
        members = [first]
        while self.reader.kind == "|":
            self.reader.advance()
            members.append(self._member())
        return _union(members)

    def _member(self) -> TypeExpr:
        reader = self.reader
        if reader.kind == "(":
            self._open()
            expr = self.read()
            self._close(")")
            return expr
        if reader.kind != "name":
            raise reader.error(
                _NOT_A_TYPE.get(reader.kind) or f"Expected a type, found {reader.found()}."
            )
        name, place = self._dotted_name()
        if reader.kind == "[":
            return self._subscripted(name, place)
        return self._named(name, place)

    def _dotted_name(self) -> tuple[str, Place]:
        reader = self.reader
        name, start, end = reader.value, reader.start, reader.end
        reader.advance()
        while reader.kind == ".":
            reader.advance()
            if reader.kind != "name":
                raise reader.error(
                    f"Expected a name after {quoted(name + '.')}, found {reader.found()}."
                )
            name, end = f"{name}.{reader.value}", reader.end
            reader.advance()
        return name, (start, end)

    def _named(self, name: str, place: Place) -> TypeExpr:
        if name in self.names:
            self.used.add(name)
            return TypeExpr(name, self.names[name])
        expr = PLAIN.get(name)
        if expr is None:
            raise self.reader.error(_why_unknown(name, self.names), *place)
        return expr

    def _subscripted(self, name: str, place: Place) -> TypeExpr:
        read_arguments = _FORMS.get(name)
        if name == "dspy.Code" and name in self.names:
            read_arguments = TypeReader._code
        if read_arguments is not None:
            self._open()
            expr = read_arguments(self)
            self._close("]")
            return expr
        generic = GENERICS.get(name)
        if generic is None:
            self._named(name, place)
            raise self.reader.error(
                f"{quoted(name)} takes nothing in brackets; remove them.", *place
            )
        self._open()
        arguments = self._arguments(variadic=generic.arity is None)
        self._close("]")
        if generic.arity not in (None, len(arguments)):
            raise self.reader.error(_wrong_arity(generic, len(arguments)), *place)
        return generic.of(arguments)

    def _arguments(self, *, variadic: bool = False) -> list[TypeExpr]:
        """The types up to the closing bracket; with `variadic` also `int, ...`."""
        reader = self.reader
        arguments = [self.read()]
        while reader.kind == ",":
            reader.advance()
            if reader.kind == "]":
                break
            if variadic and reader.kind == "..." and len(arguments) == 1:
                reader.advance()
                return [*arguments, TypeExpr("...", ...)]
            arguments.append(self.read())
        return arguments

    def _optional(self) -> TypeExpr:
        start = self.reader.start
        arguments = self._arguments()
        if len(arguments) != 1:
            raise self.reader.error(
                "`Optional` takes one type; use `Union[..., None]` for several.", start
            )
        return _union([*arguments, NONE])

    def _union(self) -> TypeExpr:
        return _union(self._arguments())

    def _annotated(self) -> TypeExpr:
        """`str, 'text'`. DSPy drops the text; here it describes the field."""
        reader = self.reader
        if self._depth > 1 or self.note:
            raise reader.error("`Annotated` describes a whole field: write it once and outermost.")
        expr = self.read()
        if reader.kind == ",":
            reader.advance()
        if reader.kind != "string":
            message = "`Annotated` takes a type and one quoted text: `Annotated[str, 'text']`."
            raise reader.error(message)
        self.note = read_text(reader)
        return expr

    def _literal(self) -> TypeExpr:
        reader = self.reader
        values = [self._constant()]
        while reader.kind == ",":
            reader.advance()
            if reader.kind == "]":
                break
            values.append(self._constant())
        # 1, 1.0 and True are equal in Python and different choices here.
        unique = tuple(
            value for _, value in dict.fromkeys((type(value), value) for value in values)
        )
        return TypeExpr(f"Literal[{', '.join(map(repr, unique))}]", _LITERAL[unique])

    def _constant(self) -> str | float | None:
        reader = self.reader
        if reader.kind == "string":
            return read_text(reader)
        if reader.kind == "number":
            return read_number(reader)
        if reader.kind == "name" and reader.value in _CONSTANTS:
            value = _CONSTANTS[reader.value]
            reader.advance()
            return value
        raise reader.error(
            f"`Literal` lists quoted texts, numbers, True, False or None, not {reader.found()}."
        )

    def _code(self) -> TypeExpr:
        if self.reader.kind != "string":
            raise self.reader.error(
                "`dspy.Code` takes a language in quotes: `dspy.Code['python']`."
            )
        language = read_text(self.reader)
        self.used.add("dspy.Code")
        return TypeExpr(f"dspy.Code[{language!r}]", self.names["dspy.Code"][language])

    def _open(self) -> None:
        if self._depth == MAX_DEPTH:
            raise self.reader.error(
                f"Types may be nested {MAX_DEPTH} deep; define a type of your own."
            )
        self._depth += 1
        self.reader.advance()

    def _close(self, bracket: str) -> None:
        reader = self.reader
        if reader.kind != bracket:
            wanted = "`]` or a comma" if bracket == "]" else "`)`"
            raise reader.error(f"Expected {wanted}, found {reader.found()}.")
        self._depth -= 1
        reader.advance()


_FORMS: dict[str, Callable[[TypeReader], TypeExpr]] = in_typing(
    {
        "Literal": TypeReader._literal,
        "Optional": TypeReader._optional,
        "Union": TypeReader._union,
        "Annotated": TypeReader._annotated,
    }
)
_CONSTANTS = {"None": None, "True": True, "False": False}
_NOT_A_TYPE = {
    "string": "A type is a name without quotes: write `int`, not `'int'`.",
    "number": "A number is no type; for fixed values write `Literal[1, 2]`.",
    "[": "A list of types is no type; write `list[str]`, or `Union[str, int]` for either of two.",
    "...": "`...` may only stand last in a tuple: `tuple[int, ...]`.",
    "*": "`*` can't be unpacked here; write the types out, or `tuple[int, ...]`.",
}
FORMS = tuple(name for name in _FORMS if "." not in name)
"""The special forms of `typing`: what stands in their brackets is read by rules of their own."""
RESERVED = frozenset({*PLAIN, *GENERICS, *_FORMS, *NOT_DATA})
"""Names that a type of the user's own can't have."""

_LITERAL: Any = Literal


def _union(members: Sequence[TypeExpr]) -> TypeExpr:
    """The union of the members: flat, each once, and a member alone is no union."""
    distinct: dict[Any, TypeExpr] = {}
    for member in members:
        for flat in member.members or (member,):
            distinct.setdefault(flat.annotation, flat)
    optional = len(distinct) == 2 and distinct.pop(NONE.annotation, None) is not None
    unique = (*distinct.values(), NONE) if optional else tuple(distinct.values())
    if len(unique) == 1:
        return NONE if unique[0].annotation is NONE.annotation else unique[0]
    text = f"Union[{', '.join(map(inner_text, unique))}]"
    if optional:
        text = f"Optional[{unique[0].text}]"
    annotation = union_of(tuple(member.annotation for member in unique))
    return TypeExpr(text, annotation, unique)


def _wrong_arity(generic: Generic, count: int) -> str:
    mend = f"{generic.text}[{'str' if generic.arity == 1 else 'str, int'}]"
    types_ = "one type" if generic.arity == 1 else "two types"
    return f"`{generic.text}` takes {types_} in brackets, not {count}; write it like `{mend}`."


def _why_unknown(name: str, names: Mapping[str, Any]) -> str:
    if name in NOT_DATA:
        return f"{quoted(name)} is no type of data: a field can't carry it."
    if name in GENERICS or name in _FORMS:
        return f"{quoted(name)} needs types in brackets: `{name}[...]`."
    known = {candidate.lower(): candidate for candidate in (*GENERICS, *_FORMS, *PLAIN, *names)}
    known |= {candidate.rpartition(".")[2].lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name[:60].lower(), known, n=1)
    if close:
        return f"Unknown type {quoted(name)}: did you mean `{known[close[0]]}`?"
    return (
        f"Unknown type {quoted(name)}. Types are never imported: use one like `str`, `list[int]`, "
        "`Literal['a', 'b']` or `dspy.Image`, or give the signature a JSON Schema for it."
    )


def resolve(text: str, names: Mapping[str, Any]) -> Any:
    """What a canonical type text stands for when `names` gives the types beyond the built-in ones.

    A worker brings DSPy's classes, `{"dspy.Image": dspy.Image}`, and what `type_from_schema` makes
    of the signature's own types. Raises SignatureError.
    """
    reader = Reader(text)
    expr = TypeReader(reader, names).read()
    if reader.kind != "end":
        raise reader.error(f"Expected the end of the type, found {reader.found()}.")
    return expr.annotation
