"""The allow-list: every type that a signature's text may name.

The builtins and the forms of `typing` whose values are data, as DSPy knows them; DSPy's own types; and
four of the standard library. A name outside these tables is never imported or evaluated.
"""

import collections
import datetime
import decimal
import types
import uuid
from collections import abc
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Union

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema


class TypeExpr(NamedTuple):
    """A type that was read: its canonical text, and what `typing` makes of it."""

    text: str
    annotation: Any
    members: tuple["TypeExpr", ...] = ()  # of a union


class HostValue:
    """Stands, in the host, for a DSPy type that only a worker knows: it takes any JSON value."""

    def __class_getitem__(cls, language: str) -> "type[HostValue]":
        return _host_value(f"{cls.__name__}[{language!r}]")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"x-dspy-type": cls.__name__}


@lru_cache(maxsize=256)
def _host_value(name: str) -> type[HostValue]:
    return type(name, (HostValue,), {})


DSPY_TYPES: Mapping[str, Any] = types.MappingProxyType(
    {
        f"dspy.{name}": _host_value(f"dspy.{name}")
        for name in ("Image", "Audio", "File", "History", "Tool", "ToolCalls", "Code", "Reasoning")
    }
)
"""DSPy's own types, under the name that a text gives them, and what stands for each in the host."""

NONE = TypeExpr("NoneType", types.NoneType)
"""Also what a union comes to that holds nothing else."""


def in_typing[T](table: Mapping[str, T]) -> dict[str, T]:
    """The table under `typing.List` as well as under `List`."""
    return {**table, **{f"typing.{name}": value for name, value in table.items()}}


_NAMED_PLAINLY = (
    *(str, int, float, bool, complex, bytes, list, dict, tuple, set, frozenset),
    *(datetime.datetime, datetime.date, decimal.Decimal, uuid.UUID),
)
PLAIN: Mapping[str, TypeExpr] = {
    **{plain.__name__: TypeExpr(plain.__name__, plain) for plain in _NAMED_PLAINLY},
    "None": TypeExpr("None", types.NoneType),
    "NoneType": NONE,
    "datetime.datetime": TypeExpr("datetime", datetime.datetime),
    "datetime.date": TypeExpr("date", datetime.date),
    "decimal.Decimal": TypeExpr("Decimal", decimal.Decimal),
    "uuid.UUID": TypeExpr("UUID", uuid.UUID),
    **in_typing({"Any": TypeExpr("Any", Any), "Text": TypeExpr("str", str)}),
}
"""The types that stand without brackets."""


_UNION: Any = Union
_uncached_union = getattr(getattr(type(_UNION), "__getitem__", None), "__wrapped__", None)


def union_of(annotations: tuple[Any, ...]) -> Any:
    """`Union[annotations]` with its own order.

    typing caches unions by equality, and Literal['a', 'b'] equals Literal['b', 'a']: the second that a
    process makes would get the order of the first. Order reaches prompts and hashes, so this goes
    round the cache where there is one (Python 3.14 has none).
    """
    return _uncached_union(_UNION, annotations) if _uncached_union else _UNION[annotations]


def inner_text(expr: TypeExpr) -> str:
    """The text of a type within brackets, where None stands for itself."""
    return "None" if expr.annotation is types.NoneType else expr.text


class Generic(NamedTuple):
    """A type that takes others in brackets; `arity` None stands for any number of them."""

    text: str
    origin: Any
    arity: int | None

    def of(self, arguments: Sequence[TypeExpr]) -> TypeExpr:
        annotation = self.origin[tuple(argument.annotation for argument in arguments)]
        return TypeExpr(f"{self.text}[{', '.join(map(inner_text, arguments))}]", annotation)


_BUILTIN_GENERICS = {
    "list": Generic("list", list, 1),
    "set": Generic("set", set, 1),
    "frozenset": Generic("frozenset", frozenset, 1),
    "dict": Generic("dict", dict, 2),
    "tuple": Generic("tuple", tuple, None),
}
_TYPING_GENERICS = {
    "List": _BUILTIN_GENERICS["list"],
    "Set": _BUILTIN_GENERICS["set"],
    "FrozenSet": _BUILTIN_GENERICS["frozenset"],
    "Dict": _BUILTIN_GENERICS["dict"],
    "Tuple": _BUILTIN_GENERICS["tuple"],
    "Sequence": Generic("Sequence", abc.Sequence, 1),
    "MutableSequence": Generic("MutableSequence", abc.MutableSequence, 1),
    "Iterable": Generic("Iterable", abc.Iterable, 1),
    "AbstractSet": Generic("AbstractSet", abc.Set, 1),
    "MutableSet": Generic("MutableSet", abc.MutableSet, 1),
    "Mapping": Generic("Mapping", abc.Mapping, 2),
    "MutableMapping": Generic("MutableMapping", abc.MutableMapping, 2),
    "OrderedDict": Generic("OrderedDict", collections.OrderedDict, 2),
    "DefaultDict": Generic("DefaultDict", collections.defaultdict, 2),
    "defaultdict": Generic("DefaultDict", collections.defaultdict, 2),
    "Deque": Generic("Deque", collections.deque, 1),
    "Counter": Generic("Counter", collections.Counter, 1),
}
# DSPy knows the aliases of `typing` only with brackets, and the builtins with and without.
GENERICS: Mapping[str, Generic] = _BUILTIN_GENERICS | in_typing(_TYPING_GENERICS)
"""The types that take others in brackets."""

NOT_DATA = frozenset(
    {
        *("Callable", "Type", "Generator", "Iterator", "Awaitable", "Pattern", "Match"),
        *("Self", "Final", "ClassVar", "TypeVar", "Protocol"),
    }
)
"""Names of `typing` whose values are no data. DSPy accepts most of them, and drops a ClassVar field
without a word."""
