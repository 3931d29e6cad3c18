"""JSON as a person reads it: short values in one line, long ones as a tree that folds, passages as a list.

What is in it comes from models and users, so every piece of text is escaped.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from runner.bridge.payloads import UNSERIALISABLE

INLINE = 72
OPEN = 2
MOST = 500
DEEPEST = 40
"""Characters of what stays in one line, levels that are open at first, entries of one list or object,
and levels that are drawn."""


def tree(value: Any, characters: int) -> SafeString:
    """The value as HTML, with about so many characters of it."""
    return _Tree(characters).drawn(value, 0)


class _Tree:
    def __init__(self, characters: int) -> None:
        self._left = characters

    def drawn(self, value: Any, depth: int, name: str = "") -> SafeString:
        if depth >= DEEPEST and isinstance(value, list | dict):
            return format_html("{}<span>Deeper than is drawn</span>", _named(name))
        if isinstance(value, list | dict) and not _is_short(value):
            if name:
                is_open = SafeString(" open" if depth < OPEN else "")
                return format_html(
                    "<details{}><summary><b>{}</b> <span>{}</span></summary>{}</details>",
                    is_open,
                    name,
                    _size(value),
                    self._entries(value, depth),
                )
            return self._entries(value, depth)
        return format_html("{}{}", _named(name), self._leaf(value))

    def _entries(self, value: list[Any] | dict[str, Any], depth: int) -> SafeString:
        if isinstance(value, list) and is_passages(value):
            return self._passages(value)
        pairs: Iterable[tuple[str, Any]]
        if isinstance(value, dict):
            pairs = value.items()
        else:
            pairs = ((str(number), item) for number, item in enumerate(value))
        lines: list[SafeString] = []
        for name, inner in pairs:
            if self._left <= 0 or len(lines) >= MOST:
                lines.append(_more(len(value) - len(lines)))
                break
            lines.append(self.drawn(inner, depth + 1, name[:200] or '""'))
        return format_html("<ul>{}</ul>", _items(lines))

    def _passages(self, passages: Sequence[Mapping[str, Any]]) -> SafeString:
        lines: list[SafeString] = []
        for passage in passages:
            if self._left <= 0 or len(lines) >= MOST:
                lines.append(_more(len(passages) - len(lines)))
                break
            score = passage.get("score")
            lines.append(
                format_html(
                    '<p><strong>{}</strong> <span class="meta">{}</span></p><p>{}</p>',
                    str(passage.get("title") or passage.get("pid") or "")[:200],
                    f"{score:.3f}" if isinstance(score, float) else "",
                    self._cut(str(passage["text"])),
                )
            )
        return format_html('<ol class="passages">{}</ol>', _items(lines))

    def _leaf(self, value: Any) -> SafeString:
        if isinstance(value, str):
            return format_html("<i>{}</i>", self._cut(json.dumps(value, ensure_ascii=False)))
        if isinstance(value, list):
            inner = format_html_join(", ", "{}", ((self._leaf(each),) for each in value))
            return format_html("[{}]", inner)
        if isinstance(value, dict) and value.keys() == {UNSERIALISABLE}:
            kind = self._cut(str(value[UNSERIALISABLE]))
            return format_html('<span class="chip">Not serialisable: {}</span>', kind)
        if isinstance(value, dict):
            pairs = ((name, self._leaf(each)) for name, each in value.items())
            return format_html("{{{}}}", format_html_join(", ", "<b>{}</b>: {}", pairs))
        return format_html("<u>{}</u>", self._cut(json.dumps(value)))

    def _cut(self, text: str) -> str:
        kept = text[: max(self._left, 0)]
        self._left -= len(text)
        return kept if len(kept) == len(text) else f"{kept}…"


def is_passages(value: Sequence[Any]) -> bool:
    """Whether these are texts with something about each: what a search gives."""
    return bool(value) and all(
        isinstance(each, dict) and isinstance(each.get("text"), str) for each in value
    )


def _is_short(value: Any) -> bool:
    if isinstance(value, dict) and value.keys() == {UNSERIALISABLE}:
        return True
    # Bounded before it is written out: a long list is not short whatever is in it.
    if len(value) > 8:
        return False
    try:
        return len(json.dumps(value, ensure_ascii=False)) <= INLINE
    except RecursionError:
        return False


def _named(name: str) -> str:
    return format_html("<b>{}</b>: ", name) if name else ""


def _size(value: list[Any] | dict[str, Any]) -> str:
    word = "item" if isinstance(value, list) else "key"
    return f"{len(value)} {word}" if len(value) == 1 else f"{len(value)} {word}s"


def _more(count: int) -> SafeString:
    return format_html("<span>{} more</span>", count)


def _items(lines: list[SafeString]) -> SafeString:
    return format_html_join("", "<li>{}</li>", ((line,) for line in lines))
