"""Types on pages: the family that gives a port its colour and shape, and the chips of a signature."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin

from pipelines.graph import signature as signatures
from pipelines.graph.graph import ANY, Port
from pipelines.graph.signature import Field, Signature

_SEQUENCES = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A field in one piece. `added`: by the module, not by the text."""

    name: str
    type: str
    family: str
    added: bool = False


def chips_of(fields: Iterable[Field]) -> list[Chip]:
    return [
        Chip(
            name=field.name,
            type=_worded(field),
            family="any" if field.accepts_any else family(field.annotation),
        )
        for field in fields
    ]


def port_chips(ports: Iterable[Port], known: Iterable[str]) -> list[Chip]:
    """Ports that stand in no text, such as the `reasoning` of chain of thought."""
    names = set(known)
    ours = [port for port in ports if port.name not in names]
    return [replace(chip, added=True) for chip in plain_chips(ours)]


def plain_chips(ports: Iterable[Port]) -> list[Chip]:
    return [
        Chip(name=port.name, type=_short(port.type), family=family_of_text(port.type))
        for port in ports
    ]


def sides(signature: Signature) -> tuple[list[Chip], list[Chip]]:
    return chips_of(signature.inputs.values()), chips_of(signature.outputs.values())


def family_of_text(text: str) -> str:
    if text == ANY:
        return "any"
    try:
        return family(signatures.parse(f"-> x: {text}").outputs["x"].annotation)
    except signatures.SignatureError:
        return "obj"


def family(annotation: Any) -> str:
    """str, num, bool, obj, doc, file or any, with `list` after it for many."""
    origin = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    if origin in _SEQUENCES:
        inner = family(arguments[0]) if arguments else "any"
        return f"{inner.removesuffix(' list')} list"
    if origin is Literal:
        return family(type(arguments[0])) if arguments else "str"
    if origin is Union or type(annotation).__name__ == "UnionType":
        members = {family(member) for member in arguments if member is not type(None)}
        return members.pop() if len(members) == 1 else "any"
    return _PLAIN.get(origin, "obj")


_PLAIN: dict[Any, str] = {Any: "any", str: "str", int: "num", float: "num", bool: "bool"}


def _worded(field: Field) -> str:
    """The type as people read it: of a choice, what can be chosen."""
    if field.accepts_any:
        return "any"
    if get_origin(field.annotation) is Literal:
        return _short(" | ".join(str(value) for value in get_args(field.annotation)))
    return _short(field.type) if field.declared else "str"


def _short(text: str) -> str:
    """A type as there is room for."""
    return f"{text[:39]}…" if len(text) > 40 else text
