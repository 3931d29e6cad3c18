"""Plain data (JSON) as templates see it: wrapped, with no method of a Python object in reach."""

import json
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any

MAX_DEPTH = 100


class SandboxError(ValueError):
    """A template or an expression that can't be run. `line` counts from 1; 0 when unknown. `start` and
    `end` are places in the text; None when only the line is known."""

    code = "sandbox"

    def __init__(
        self, message: str, line: int = 0, start: int | None = None, end: int | None = None
    ) -> None:
        super().__init__(f"{message} (line {line})" if line else message)
        self.line = line
        self.start = start
        self.end = end

    def moved(self, by: int, size: int) -> "SandboxError":
        """The same error of a text of `size` characters that begins elsewhere."""
        if self.start is not None and self.end is not None:
            self.start, self.end = (min(max(at + by, 0), size) for at in (self.start, self.end))
        return self


class _List:
    """A list as a template sees it: items and a length, nothing to call."""

    __slots__ = ("_items",)

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self._items[index])

    def __iter__(self) -> Iterator[Any]:
        return map(wrapped, self._items)

    def __eq__(self, other: object) -> bool:
        return bool(self._items == unwrapped(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self._items < unwrapped(other))

    def __str__(self) -> str:
        return to_json(self._items)

    __hash__ = None  # type: ignore[assignment]


Sequence.register(_List)


class _Map:
    """A dict as a template sees it. `items` is what makes minijinja take it for a mapping."""

    __slots__ = ("_items",)

    def __init__(self, items: dict[str, Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: Any) -> Any:
        return wrapped(self._items[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return bool(self._items == unwrapped(other))

    def __str__(self) -> str:
        return to_json(self._items)

    def items(self) -> tuple[tuple[str, Any], ...]:
        return tuple((key, wrapped(value)) for key, value in self._items.items())

    __hash__ = None  # type: ignore[assignment]


def size_of(values: Any) -> int:
    """The size of JSON in characters (a number counts eight); a SandboxError for anything else."""
    size = 0
    pending: list[tuple[Any, int]] = [(dict(values), 0)]
    while pending:
        value, depth = pending.pop()
        kind = type(value)
        if kind is str:
            size += len(value) + 1
            if not value.isascii():
                _check_text(value)
        elif kind is dict or kind is list:
            if depth > MAX_DEPTH:
                raise SandboxError(f"A value is nested more than {MAX_DEPTH} deep.")
            size += 8
            if kind is dict:
                pending.extend((key, depth) for key in _text_keys(value))
                pending.extend((item, depth + 1) for item in value.values())
            else:
                pending.extend((item, depth + 1) for item in value)
        else:
            _check_scalar(value)
            size += 8
    return size


def _text_keys(value: dict[Any, Any]) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise SandboxError(f"A key is {type(key).__name__}: the keys of plain data are text.")
    return value


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SandboxError("A text holds half a character (a lone surrogate).") from None


def _check_scalar(value: Any) -> None:
    if value is None or type(value) in (bool, int) or (type(value) is float and isfinite(value)):
        return
    raise SandboxError(f"A value is {type(value).__name__}: only plain data (JSON) can be used.")


class Watched(_List):
    """A list that asks before it gives each item: `check` raises when it is time to stop."""

    __slots__ = ("_check",)

    def __init__(self, items: list[Any], check: Callable[[], None]) -> None:
        super().__init__(items)
        self._check = check

    def __getitem__(self, index: Any) -> Any:
        self._check()
        return super().__getitem__(index)


def items_of(value: Any) -> list[Any]:
    """What a loop over the value goes through; a SandboxError when there is nothing to go through."""
    if isinstance(value, _List):
        return value._items
    if isinstance(value, _Map):
        return list(value._items)
    if isinstance(value, str | list | tuple | dict):
        return list(value)
    raise SandboxError("A loop needs a list, and this is none.")


def wrapped(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return tuple(map(wrapped, value))
    if kind is list:
        return _List(value)
    return _Map(value) if kind is dict else value


def unwrapped(value: Any) -> Any:
    """Back to JSON; a SandboxError for what is no value, such as a function."""
    if isinstance(value, _List | _Map):
        return value._items
    if isinstance(value, dict):
        return {str(key): unwrapped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unwrapped(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise SandboxError("It gives something that is not a value.")


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
