"""The text of a signature, token by token. Every error knows its place in the text."""

import math
import re
import unicodedata
from typing import ClassVar, NoReturn

_WIDTH = 100
"""Characters of the user's line that an error shows."""


class SignatureError(ValueError):
    """A signature is not valid.

    `message` names the thing, what was expected and the mend. `position` and `end` are 0-based
    indexes into `text`; `position` is `len(text)` when something is missing at the end.
    """

    code: ClassVar[str] = "signature"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, text: str, position: int = 0, end: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.position = position
        self.end = max(position, len(text) if end is None else end)

    def __str__(self) -> str:
        line_start = self.text.rfind("\n", 0, self.position) + 1
        line = self.text[line_start:].partition("\n")[0]
        column = self.position - line_start
        cut = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = printable(line[cut : cut + _WIDTH])
        column -= cut
        carets = "^" * max(1, min(self.end - self.position, len(shown) - column))
        return f"{self.message}\n{shown}\n{' ' * column}{carets}"


def printable(text: str) -> str:
    """The text with what could move a terminal's cursor replaced, one character for one."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text
    )


def quoted(text: str) -> str:
    """A piece of the user's text as a message names it."""
    return f"`{printable(text[:60])}{'…' if len(text) > 60 else ''}`"


# Possessive quantifiers and a last alternative that matches anything keep this linear on any input;
# the look-ahead spares names and operators the trial of every form of quoted text.
_TOKEN = re.compile(
    r"""
    [ \t\f\r\n]*+ (?: (?: \\\r?\n | \#[^\r\n]*+ ) [ \t\f\r\n]*+ )*+
    (?:
        (?P<op> [-=]> | \.\.\. | [][():|.,=*/] )
      | (?P<string> (?= [rRuUbBfFtT]{0,2}['"] ) (?i:[bft]r|r[bft]|[rubft])?
            (?: '''(?:[^\\]|\\.)*?''' | \"""(?:[^\\]|\\.)*?\"""
              | '(?:[^'\\\r\n]|\\.)*+'  | "(?:[^"\\\r\n]|\\.)*+" ) )
      | (?P<name> [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+ )
      | (?P<number> -? (?: 0[xX][0-9a-fA-F_]++ | 0[oO][0-7_]++ | 0[bB][01_]++
            | [0-9][0-9_]*+ (?:\.[0-9_]*+)? (?:[eE][+-]?[0-9_]++)? ) )
      | (?P<end> \Z )
      | (?P<bad> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
).match


class Reader:
    """The current token of a text, and errors that point at it.

    `kind` is `name`, `string`, `number`, `end`, or the operator itself. `value` is the token as
    written, a name in NFKC as Python reads it. The token stands at `text[start:end]`.
    """

    __slots__ = ("end", "kind", "start", "text", "value")

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN(self.text, self.end)
        assert match and match.lastgroup, "the last alternatives match anything"
        kind = match.lastgroup
        self.value = value = match[kind]
        self.end = end = match.end()
        self.start = end - len(value)
        if kind == "op":
            self.kind = value
            return
        self.kind = kind
        if kind == "bad":
            self._refuse_character(self.start)
        if kind == "name" and not value.isascii():
            self.value = self._identifier()

    def error(
        self, message: str, start: int | None = None, end: int | None = None
    ) -> SignatureError:
        """An error at the current token, or from `start` to `end`."""
        return SignatureError(
            message,
            self.text,
            self.start if start is None else start,
            self.end if end is None else end,
        )

    def found(self) -> str:
        """The current token, in words."""
        return "the end of the text" if self.kind == "end" else quoted(self.value)

    def _identifier(self) -> str:
        for index, char in enumerate(self.value):
            if not (f"a{char}" if index else char).isidentifier():
                self._refuse_character(self.start + index)
        return unicodedata.normalize("NFKC", self.value)

    def _refuse_character(self, position: int) -> NoReturn:
        char = self.text[position]
        name = quoted(char) if char.isprintable() else f"The character U+{ord(char):04X}"
        message = f"{name} has no meaning in a signature; remove it."
        if char in "'\"":
            message = "The quoted text that starts here is never closed; add the closing quote."
        elif char in "->→⇒⟶":
            message = f"{name} is not the arrow of a signature; write `->`."
        raise SignatureError(message, self.text, position, position + 1)


_ESCAPE = re.compile(
    r"\\(?:(?P<nothing>\r?\n)|(?P<simple>[\\'\"abfnrtv])|(?P<octal>[0-7]{1,3})"
    r"|x(?P<hex>[0-9a-fA-F]{2})|u(?P<hex4>[0-9a-fA-F]{4})|U(?P<hex8>[0-9a-fA-F]{8})"
    r"|N\{(?P<named>[^}]+)\}|(?P<malformed>[xuUN]))"
)
_SIMPLE_ESCAPES = dict(zip("\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v", strict=True))


def read_text(reader: Reader) -> str:
    """The value of the quoted texts at the reader; adjacent ones are joined, as in Python."""
    parts = []
    while reader.kind == "string":
        parts.append(_unquoted(reader))
        reader.advance()
    return "".join(parts)


def _unquoted(reader: Reader) -> str:
    body = reader.value.lstrip("rubftRUBFT")
    prefix = reader.value[: -len(body)].lower()
    fence = 3 if body.startswith(("'''", '"""')) else 1
    value = body[fence:-fence]
    if prefix not in ("", "r", "u"):
        raise reader.error(
            f"A quoted text can't have the prefix `{prefix}` here; leave the prefix out."
        )
    try:
        if prefix != "r":
            value = _ESCAPE.sub(_unescaped, value)
        value.encode()  # a lone surrogate can't be stored or sent
    except (ValueError, KeyError):
        raise reader.error("An escape in this text names no character; correct it.") from None
    if "\0" in value:
        raise reader.error("This text has a NUL character, which databases can't hold; remove it.")
    return value


def _unescaped(match: re.Match[str]) -> str:
    """The character of one escape; ValueError or KeyError when there is none."""
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind == "nothing":
        return ""
    if kind == "simple":
        return _SIMPLE_ESCAPES[value]
    if kind == "named":
        return unicodedata.lookup(value)
    if kind == "malformed":
        raise ValueError(value)
    return chr(int(value, 8 if kind == "octal" else 16))


def read_number(reader: Reader) -> int | float:
    """The number at the reader: any of Python's forms, with a minus sign if need be."""
    text = reader.value
    value: int | float
    try:
        value = float(text) if re.fullmatch(r"-?[0-9_]+[.eE].*", text) else int(text, 0)
    except ValueError:
        raise reader.error(f"{quoted(text)} is not a number; correct it.") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise reader.error(f"{quoted(text)} is too large for a number; use a smaller one.")
    reader.advance()
    return value
