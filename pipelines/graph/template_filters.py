"""The filters and functions that make new text or lists. Each is told how much room is left and
says so before it makes more, since a failed allocation in minijinja ends the process."""

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pipelines.graph.template_values import SandboxError, to_json, unwrapped

MAX_RANGE = 10_000
GROWS = "Its values could grow too large. Use shorter values or fewer steps."


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(unwrapped(value))


def _check_room(room: int, size: int) -> None:
    if size > room:
        raise SandboxError(GROWS)


def _join(room: int, value: Any, separator: str = "", attribute: str | None = None) -> str:
    picked = value if attribute is None else [item[attribute] for item in value]
    texts = [_as_text(item) for item in picked]
    _check_room(room, sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _replace(room: int, value: str, old: str, to: str) -> str:
    text = _as_text(value)
    _check_room(room, len(text) + text.count(old) * len(to))
    return text.replace(old, to)


def _indent(room: int, value: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    lines = _as_text(value).splitlines(keepends=True)
    _check_room(room, len(value) + len(lines) * width)
    margin = " " * width
    return "".join(
        margin + line if (index or first) and (blank or line.strip()) else line
        for index, line in enumerate(lines)
    )


def _tojson(room: int, value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= 8:
        raise SandboxError("tojson indents by 0 to 8.")
    return json.dumps(unwrapped(value), ensure_ascii=False, indent=indent)


def _string(room: int, value: Any) -> str:
    return str(value) if value is None or isinstance(value, bool) else _as_text(value)


def _escape(room: int, value: Any) -> str:
    return html.escape(_as_text(value))


def _urlencode(room: int, value: Any) -> str:
    return quote(_as_text(value), safe="/")


def range_of(room: int, *bounds: int) -> tuple[int, ...]:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise SandboxError(f"range gives {MAX_RANGE:,} numbers at most.")
    return tuple(numbers)


MAKERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "replace": _replace,
    "indent": _indent,
    "tojson": _tojson,
    "string": _string,
    "escape": _escape,
    "e": _escape,
    "urlencode": _urlencode,
}
