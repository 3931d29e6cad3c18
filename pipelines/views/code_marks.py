"""Where in a text that people typed something is wrong, as their editor counts."""

from dataclasses import dataclass

from pipelines.graph.sandbox import SandboxError
from pipelines.graph.signature import SignatureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`line` and `column` count from 1, `length` in characters. Without a column it is the line."""

    line: int
    column: int | None = None
    length: int = 1


def mark_of(error: Exception, text: str) -> Mark | None:
    """The place that an error names; None when it is about the whole."""
    if isinstance(error, SignatureError):
        return between(error.text, error.position, error.end)
    if isinstance(error, SandboxError):
        if error.start is not None and error.end is not None:
            return between(text, error.start, error.end)
        return Mark(line=error.line) if error.line else None
    return None


def between(text: str, start: int, end: int) -> Mark:
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return Mark(line=line, column=column, length=max(1, end - start))
