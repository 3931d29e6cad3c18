"""Documents out of files that people upload. A file is what its content says, not what its name says."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.services import DocumentText
from pipelines.services.documents import MAX_COLLECTION, MAX_DOCUMENTS

ENDINGS = {".txt": "text", ".md": "text", ".markdown": "text", ".csv": "csv", ".jsonl": "jsonl"}
_TEXT_COLUMNS = ("text", "content", "body", "document")
_TITLE_COLUMNS = ("title", "name", "heading")
_MAX_CELL = 1_000_000
# How the commonest files start that are no text, whatever they are called.
_BINARY = {
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a compressed file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite format 3": "a database",
}


def documents_in(name: str, content: bytes) -> list[DocumentText]:
    """The documents that a file holds. Raises InvalidInput or TooLarge, naming file and line."""
    shown = PurePosixPath(name.replace("\\", "/")).name[:100] or "The file"
    ending = PurePosixPath(shown).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidInput(f"{shown}: DSPex reads {', '.join(ENDINGS)} files, and this is none.")
    if len(content) > MAX_COLLECTION:
        raise TooLarge(f"{shown} has {len(content):,} bytes; {MAX_COLLECTION:,} is the limit.")
    text = _text(shown, content)
    read = {"text": _whole, "csv": _rows, "jsonl": _lines}[ENDINGS[ending]]
    documents = []
    for document in read(shown, text):
        documents.append(document)
        if len(documents) > MAX_DOCUMENTS:
            raise TooLarge(f"{shown} holds more than {MAX_DOCUMENTS:,} documents, the limit.")
    if not documents:
        raise InvalidInput(f"{shown} holds no documents.")
    return documents


def _text(shown: str, content: bytes) -> str:
    for start, what in _BINARY.items():
        if content.startswith(start):
            raise InvalidInput(f"{shown} is {what}, not text. Save its text as a .txt or .md file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{shown} is not UTF-8 text (byte {error.start + 1:,}). Save it as UTF-8."
        ) from None
    if "\x00" in text:
        raise InvalidInput(f"{shown} holds NUL characters, so it is no text.")
    return text.replace("\r\n", "\n")


def _whole(shown: str, text: str) -> Iterator[DocumentText]:
    if text.strip():
        yield DocumentText(text=text, title=_heading(text) or shown, source_name=shown)


def _heading(text: str) -> str:
    """The first Markdown heading, if the text starts with one."""
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("#").strip()[:300] if first.startswith("#") else ""


def _rows(shown: str, text: str) -> Iterator[DocumentText]:
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        text_at = _column(columns, _TEXT_COLUMNS)
        if text_at is None:
            raise InvalidInput(f"{shown} has no column “text” in its first line. Add one.")
        title_at = _column(columns, _TITLE_COLUMNS)
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise InvalidInput(
                    f"{shown}, line {reader.line_num:,}: {len(row)} values, but there are "
                    f"{len(columns)} columns. Put values with commas into quotes."
                )
            title = row[title_at] if title_at is not None else ""
            yield DocumentText(text=row[text_at], title=title, source_name=shown)
    except csv.Error as error:
        raise InvalidInput(f"{shown}, line {reader.line_num:,}: not CSV ({error}).") from None


def _column(columns: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((columns.index(name) for name in wanted if name in columns), None)


def _lines(shown: str, text: str) -> Iterator[DocumentText]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _line(f"{shown}, line {number:,}", shown, line)


def _line(place: str, shown: str, line: str) -> DocumentText:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{place}: not JSON. JSON Lines has one JSON value a line.") from None
    if isinstance(value, str):
        return DocumentText(text=value, source_name=shown)
    text = _first_text(value, _TEXT_COLUMNS) if isinstance(value, dict) else None
    if text is None:
        raise InvalidInput(f"{place}: expected a text, or an object with a text under “text”.")
    return DocumentText(
        text=text, title=_first_text(value, _TITLE_COLUMNS) or "", source_name=shown
    )


def _first_text(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((value[key] for key in keys if isinstance(value.get(key), str)), None)
