"""What the texts that people type may say: a template's filters, tests and functions, a signature's types.

Asked of the environment that runs templates and of the tables that types are looked up in, so that what
is offered while one types is what there is.
"""

import re
from dataclasses import asdict, dataclass
from functools import cache

from pipelines.graph import sandbox
from pipelines.graph.known_types import DSPY_TYPES, GENERICS, PLAIN
from pipelines.graph.template_scan import STATEMENTS, WORDS
from pipelines.graph.types import FORMS

_IN_FORMS = {"Literal": "'a', 'b'", "Optional": "type", "Annotated": "type, 'text'"}
_NAME = re.compile(r"[a-z]\w*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeWord:
    """A type's name; `takes` is what stands in its brackets, empty without brackets."""

    name: str
    takes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """`statements` begin a tag `{% %}`; `operators` are words of an expression."""

    statements: tuple[str, ...]
    filters: tuple[str, ...]
    tests: tuple[str, ...]
    functions: tuple[str, ...]
    operators: tuple[str, ...]
    types: tuple[TypeWord, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@cache
def words() -> Words:
    known = sandbox.known_names()
    return Words(
        statements=tuple(sorted({*STATEMENTS, "raw", "endraw"})),
        filters=_names(known.filters),
        tests=_names(known.tests),
        functions=_names(known.functions),
        operators=tuple(sorted(word for word in WORDS if word.islower())),
        types=_types(),
    )


def _names(found: tuple[str, ...]) -> tuple[str, ...]:
    """Without signs that are tests too (`==`) and what is ours alone (`_watched`)."""
    return tuple(name for name in sorted(found) if _NAME.match(name))


def _types() -> tuple[TypeWord, ...]:
    """Each type once, under the name that a signature's canonical text has for it."""
    plain = [name for name, expr in PLAIN.items() if expr.text == name and name != "NoneType"]
    forms = {name: _IN_FORMS.get(name, "type, …") for name in FORMS}
    takes = {None: "type, …", 1: "type", 2: "key, value"}
    generics = {
        name: takes[generic.arity] for name, generic in GENERICS.items() if generic.text == name
    }
    found = {**dict.fromkeys(plain, ""), **forms, **generics, **dict.fromkeys(DSPY_TYPES, "")}
    return tuple(TypeWord(name=name, takes=inside) for name, inside in found.items())
