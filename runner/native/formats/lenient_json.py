"""JSON as models write it: fenced, with comments, single quotes, Python's words, no quotes, commas too
many, and ends that are missing.

One pass without a step back, so time is linear in the text. (json_repair, which DSPy uses, reads more,
but takes seconds for two thousand ill-chosen characters, and an answer may be ill-chosen.)
"""

import re
from typing import Any

MAX_LENGTH = 100_000  # characters
MAX_DEPTH = 60

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
NUMBER = re.compile(r"-?\d{1,4000}(\.\d+)?([eE][+-]?\d+)?\Z")
# 1,000 is a text that no number is made of, and not 1.
GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?!\d)")
CODE_POINT = re.compile(r"[0-9a-fA-F]{4}")
SKIPPED = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
SPACE = re.compile(r"\s*")
FENCE = re.compile(r"```\w*\s*")


class _Unreadable(Exception):
    """Too deep."""


def read(text: str) -> Any:
    """The first object or list in the text; "" when there is none, or too much of it."""
    if len(text) > MAX_LENGTH:
        return ""
    fence = FENCE.search(text)
    start = _first_bracket(text, fence.end() if fence else 0)
    if start is None:
        start = _first_bracket(text, 0)
    if start is None:
        return ""
    try:
        return _Reader(text, start).value(0)
    except _Unreadable:
        return ""


def _first_bracket(text: str, start: int) -> int | None:
    found = re.compile(r"[\[{]").search(text, start)
    return found.start() if found else None


class _Reader:
    """Reads forward from `at`. A closing bracket that fits an outer one ends all that is within."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at
        self._open: list[str] = []

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _Unreadable
        character = self._peek()
        if character == "{":
            return self._within("}", lambda: self._object(depth))
        if character == "[":
            return self._within("]", lambda: self._list(depth))
        if character in QUOTES:
            return self._quoted()
        return self._bare(',]}\n"')

    def _within(self, close: str, read_inside: Any) -> Any:
        self._at += 1
        self._open.append(close)
        value = read_inside()
        self._open.pop()
        return value

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._ended():
            key = self._quoted() if self._peek() in QUOTES else str(self._bare(":,]}\n"))
            if self._peek() != ":":
                continue  # a key alone says nothing
            self._at += 1
            if self._peek() in ("", ",", "}", "]"):
                found[key] = ""
            elif grouped := GROUPED.match(self._text, self._at):
                self._at = grouped.end()
                found[key] = grouped[0]
            else:
                found[key] = self.value(depth + 1)
        return found

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while not self._ended():
            found.append(self.value(depth + 1))
        return found

    def _ended(self) -> bool:
        """Past commas; whether what is open ends here. Its own bracket is taken, an outer one left
        for the outer, one that fits nothing passed over."""
        while (character := self._peek()) and character in ",:]}":
            if character == self._open[-1]:
                self._at += 1
                return True
            if character in self._open:
                return True
            self._at += 1
        return not character

    def _peek(self) -> str:
        """The next character that counts; empty at the end."""
        skipped = SKIPPED.match(self._text, self._at)
        self._at = skipped.end() if skipped else self._at
        return self._text[self._at : self._at + 1]

    def _bare(self, stops: str) -> Any:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in stops:
            self._at += 1
        text = self._text[start : self._at].strip()
        if text in WORDS:
            return WORDS[text]
        if NUMBER.match(text):
            return float(text) if set(text) & set(".eE") else int(text)
        return text

    def _quoted(self) -> str:
        """Up to the quote that is followed by what may follow a value, or by the next text: models
        forget to escape the quotes within."""
        close = QUOTES[self._text[self._at]]
        self._at += 1
        parts: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == "\\":
                parts.append(self._escaped())
            elif character == close and self._ends_here():
                break
            else:
                parts.append(character)
        return "".join(parts)

    def _ends_here(self) -> bool:
        space = SPACE.match(self._text, self._at)
        after = space.end() if space else self._at
        following = self._text[after : after + 1]
        return following in ("", ",", ":", "]", "}", "/") or (following == '"' and after > self._at)

    def _escaped(self) -> str:
        character = self._text[self._at : self._at + 1]
        self._at += 1
        if character == "u" and (found := CODE_POINT.match(self._text, self._at)):
            self._at += 4
            return self._paired(int(found[0], 16))
        return ESCAPES.get(character, character)

    def _paired(self, high: int) -> str:
        """Characters beyond the first 65,536 are written as two halves."""
        if 0xD800 <= high < 0xDC00 and self._text[self._at : self._at + 2] == "\\u":
            found = CODE_POINT.match(self._text, self._at + 2)
            low = int(found[0], 16) if found else 0
            if 0xDC00 <= low < 0xE000:
                self._at += 6
                return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        return chr(high)
