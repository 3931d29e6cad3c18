"""Splits a model's answer into output fields while it streams.

Three forms are told apart by how the text begins: DSPy's chat format (`[[ ## name ## ]]` at the start
of a line), a JSON object (also in a code fence), and plain text, whose one field is `text`. What a
splitter gives is for watching; the value of a field is what the format's parser reads at the end.
However the text is cut into deltas, the pieces of a field join to the same text. To that end the
splitter holds back only what it can't judge yet: a marker that has begun, an escape that has begun,
and white space, which both parsers strip from the end of a field.
"""

import re
from typing import Protocol

type Piece = tuple[str, int, str]

# DSPy's chat adapter ends its answers with this marker; it is no field.
END_FIELD = "completed"
PLAIN_FIELD = "text"


class StreamSplitter:
    """Feed it deltas; it gives (field, offset, text): offset counts the field's characters before."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._head = ""
        self._form: _Form | None = None

    def feed(self, delta: str) -> list[Piece]:
        """The pieces that this delta completes."""
        if self._form is None:
            self._head += delta
            json = _begins_json(self._head)
            if json is None:
                return []
            self._begin(json)
        else:
            self._form.feed(delta)
        return self._pieces.take()

    def finish(self) -> list[Piece]:
        """What was held back, at the end of the answer."""
        if self._form is None:
            self._begin(json=False)
        assert self._form is not None
        self._form.finish()
        return self._pieces.take()

    def _begin(self, json: bool) -> None:
        self._form = _Json(self._pieces) if json else _Chat(self._pieces)
        self._form.feed(self._head)


_FENCE = re.compile(r"```[\w+-]*\s*")


def _begins_json(head: str) -> bool | None:
    """Whether a text that begins like this is a JSON object; None while both may be."""
    rest = head.lstrip()
    if rest.startswith("`") and not rest.startswith("```"):
        return None if rest in ("`", "``") else False
    if fence := _FENCE.match(rest):
        rest = rest[fence.end() :]
    if not rest:
        return None
    if rest[0] != "{":
        return False
    inside = rest[1:].lstrip()
    return inside[0] in '"}' if inside else None


class _Pieces:
    """Collects pieces and counts the characters of each field."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._lengths: dict[str, int] = {}
        self._field: str | None = None

    def open(self, field: str) -> None:
        """Begin a field. One that comes again is dropped: parsers take the first."""
        self._field = None if field in self._lengths or field == END_FIELD else field
        self._lengths.setdefault(field, 0)

    def add(self, text: str) -> None:
        if self._field is None or not text:
            return
        offset = self._lengths[self._field]
        self._pieces.append((self._field, offset, text))
        self._lengths[self._field] = offset + len(text)

    def take(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces


class _Form(Protocol):
    def feed(self, delta: str) -> None: ...

    def finish(self) -> None: ...


_MARKER = re.compile(r"\n[^\S\n]*\[\[ ## (\w{1,100}) ## \]\]")
_MARKER_BEGUN = re.compile(r"\[(\[( (#(#( (\w{1,100}( (#(#( (\]\]?)?)?)?)?)?)?)?)?)?)?)?\Z")


class _Chat:
    """Chat format; text before the first marker, or without any, is the field `text`.

    The buffer keeps the newline that a line begins with until the line is known not to be a marker,
    so a marker is looked for only where there is a newline (the one before the text is virtual).
    """

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces
        self._held = "\n"
        self._leading = True
        pieces.open(PLAIN_FIELD)

    def feed(self, delta: str) -> None:
        text = self._held + delta
        if "\n" not in text:  # the middle of a line, which is most of a stream
            end = len(text.rstrip())
        else:
            while marker := _MARKER.search(text):
                self._emit(text[: marker.start()].rstrip())
                self._pieces.open(marker[1])
                self._leading = True
                text = text[marker.end() :]
            end = self._judged(text)
        self._emit(text[:end])
        self._held = text[end:]

    def finish(self) -> None:
        self._emit(self._held.rstrip())
        self._held = ""

    def _emit(self, text: str) -> None:
        if self._leading:
            text = text.lstrip()
        if text:
            self._leading = False
            self._pieces.add(text)

    @staticmethod
    def _judged(text: str) -> int:
        """Up to where the text can't be white space at a field's end, or a marker that has begun."""
        line = text.rfind("\n")
        if line >= 0 and _MARKER_BEGUN.match(text[line:].lstrip()):
            return len(text[:line].rstrip())
        return len(text.rstrip())


_PLAIN_RUN = re.compile(r'[^"\\]*')
_STRUCTURE = re.compile(r'["{}\[\]]')
_FOUR_HEX = re.compile(r"[0-9a-fA-F]{4}")
_SCALAR_END = re.compile(r"[\s,}]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HIGH = range(0xD800, 0xDC00)
_SURROGATES = range(0xD800, 0xE000)


class _Json:
    """The top-level members of a JSON object: strings decoded, other values as their raw JSON."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces
        self._step = self._outside
        self._held = ""
        self._depth = 0
        self._in_string = self._escaped = False

    def feed(self, delta: str) -> None:
        # Most of a stream is the middle of a text.
        if self._step == self._string and not self._held and _is_plain(delta):
            self._pieces.add(delta)
            return
        text = self._held + delta
        at = 0
        while at < len(text):
            after = self._step(text, at)
            if after is None:  # needs more text to go on
                break
            at = after
        self._held = text[at:]

    def finish(self) -> None:
        self._held = ""  # half an escape, or half a key

    def _outside(self, text: str, at: int) -> int | None:
        """Between members: a quote begins the next key, a brace ends the object."""
        if text[at] == '"':
            self._step = self._key
        elif text[at] == "}":
            self._step = self._done
        return at + 1

    def _key(self, text: str, at: int) -> int | None:
        end = at
        while (end := _run_end(text, end)) < len(text):
            if text[end] == '"':
                self._pieces.open(_decode_whole(text[at:end]))
                self._step = self._colon
                return end + 1
            end += 2
            if end > len(text):
                break
        return None

    def _colon(self, text: str, at: int) -> int | None:
        """Between a key and the first character of its value."""
        first = text[at]
        if first == ":" or first.isspace():
            return at + 1
        if first == '"':
            self._step = self._string
            return at + 1
        self._depth = 0
        self._step = self._nested if first in "{[" else self._scalar
        return at

    def _string(self, text: str, at: int) -> int | None:
        """All of a text that is there, as one piece."""
        parts, end = [], at
        while end < len(text):
            run = _run_end(text, end)
            parts.append(text[end:run])
            end = run
            if end == len(text):
                break
            if text[end] == '"':
                self._step = self._outside
                end += 1
                break
            decoded = _decode_escape(text, end)
            if decoded is None:
                break
            parts.append(decoded[0])
            end = decoded[1]
        self._pieces.add("".join(parts))
        return end if end > at else None

    def _scalar(self, text: str, at: int) -> int | None:
        end = _SCALAR_END.search(text, at)
        self._pieces.add(text[at : end.start()] if end else text[at:])
        if end:
            self._step = self._outside
        return end.start() if end else len(text)

    def _nested(self, text: str, at: int) -> int | None:
        """Inside a list or an object: everything as it stands, up to the closing bracket."""
        end = at
        while end < len(text) and self._step == self._nested:
            end = self._inside_string(text, end) if self._in_string else self._bracket(text, end)
        self._pieces.add(text[at:end])
        return end

    def _inside_string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        end = _run_end(text, at)
        if end < len(text):
            self._in_string = text[end] != '"'
            self._escaped = text[end] == "\\"
        return end + 1

    def _bracket(self, text: str, at: int) -> int:
        found = _STRUCTURE.search(text, at)
        if not found:
            return len(text)
        if found[0] == '"':
            self._in_string = True
        else:
            self._depth += 1 if found[0] in "{[" else -1
        if self._depth == 0:
            self._step = self._outside
        return found.end()

    def _done(self, text: str, at: int) -> int | None:
        return len(text)


def _decode_escape(text: str, at: int) -> tuple[str, int] | None:
    """The character of the escape at `at` and where it ends; None when it is not all there."""
    kind = text[at + 1 : at + 2]
    if not kind:
        return None
    if kind != "u":
        return _ESCAPES.get(kind, kind), at + 2
    code = _hex(text[at + 2 : at + 6])
    if code is None:
        return None
    if code in _HIGH:
        low = text[at + 6 : at + 12]
        if len(low) < 6 and "\\u".startswith(low[:2]):
            return None
        if low[:2] == "\\u" and (second := _hex(low[2:])) is not None and second & 0xFC00 == 0xDC00:
            return chr(0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00)), at + 12
    # A lone surrogate is no character, and could not be sent as UTF-8.
    return "�" if code in _SURROGATES else chr(code), at + 6


def _hex(digits: str) -> int | None:
    """The number of four hexadecimal digits; None while there are fewer. Others count as U+FFFD."""
    if len(digits) < 4:
        return None
    return int(digits, 16) if _FOUR_HEX.match(digits) else 0xFFFD


def _is_plain(delta: str) -> bool:
    return '"' not in delta and "\\" not in delta


def _run_end(text: str, at: int) -> int:
    """Where the characters from `at` that need no decoding end."""
    run = _PLAIN_RUN.match(text, at)
    return run.end() if run else at


def _decode_whole(text: str) -> str:
    parts, at = [], 0
    while at < len(text):
        decoded = _decode_escape(text, at) if text[at] == "\\" else (text[at], at + 1)
        if decoded is None:
            break
        parts.append(decoded[0])
        at = decoded[1]
    return "".join(parts)
