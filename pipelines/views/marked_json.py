"""JSON for reading: keys, texts and numbers each in their colour."""

import json
import re
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_PIECE = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=:))|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|(?P<rest>[^\"\d-]+?|.)",
    re.DOTALL,
)
_TAGS = {"key": "b", "text": "i", "number": "u"}


def marked_json(value: Any) -> SafeString:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return format_html_join("", "{}", ((_piece(match),) for match in _PIECE.finditer(text)))


def _piece(match: re.Match[str]) -> SafeString:
    tag = _TAGS.get(match.lastgroup or "")
    if tag is None:
        return format_html("{}", match.group())
    return format_html("<{0}>{1}</{0}>", SafeString(tag), match.group())
