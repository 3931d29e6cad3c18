"""Values as the database keeps them: JSON text, with large values put aside as artifacts."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

LARGE = 64 * 1024
"""Bytes of JSON from which a value is put aside. What a row holds is at most twice that."""

_LOOKED_AT = 200
"""Parts of a value that are looked at to find its size; of others it is written."""
_WIDEST, _NUMBER = 6, 400
"""Bytes that a character (`\\u0000`), and anything else of a few parts, may take as JSON."""

_encode = msgspec.json.Encoder().encode
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_NESTED = ("inputs", "outputs")


class Payload(msgspec.Struct, frozen=True):
    """`text` is `data` as JSON; `aside` maps the place of a large value, which is None in `data`, to
    its hash, and `texts` the hash to the value's own JSON."""

    data: Mapping[str, Any]
    text: str
    aside: Mapping[str, str] = {}
    texts: Mapping[str, str] = {}

    @property
    def references(self) -> str:
        return _encode(self.aside).decode() if self.aside else "{}"


def payload(data: Mapping[str, Any]) -> Payload:
    """The data of an event or a run. A large value is put aside whole, at the first two levels:
    `messages`, `outputs/text`."""
    text = json_text(data)
    if len(text) <= LARGE:
        return Payload(data, text)
    aside: dict[str, str] = {}
    texts: dict[str, str] = {}
    kept = _without_large(data, "", aside, texts)
    return Payload(kept, json_text(kept), aside, texts)


def _without_large(
    data: Mapping[str, Any], prefix: str, aside: dict[str, str], texts: dict[str, str]
) -> dict[str, Any]:
    # Many values below the limit may be large together: from the largest on, until the rest fits.
    sizes = {name: json_text(value) for name, value in data.items()}
    kept = dict(data)
    total = sum(map(len, sizes.values()))
    for name, text in sorted(sizes.items(), key=lambda item: -len(item[1])):
        if total <= LARGE:
            break
        if not prefix and name in _NESTED and isinstance(data[name], Mapping):
            kept[name] = _without_large(data[name], f"{name}/", aside, texts)
        else:
            digest = hashlib.sha256(text.encode()).hexdigest()
            aside[f"{prefix}{name}"], texts[digest], kept[name] = digest, text, None
        total -= len(text)
    return kept


def restored(data: dict[str, Any], aside: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """The data with its large values back in place. `values` maps hash to value."""
    for place, digest in aside.items():
        outer, _, inner = place.partition("/")
        if inner:
            data[outer][inner] = values[digest]
        else:
            data[outer] = values[digest]
    return data


async def size_above(value: Any, most: int) -> int | None:
    """The bytes of a value as JSON if they are more than `most`; None if not, which for what is clearly
    smaller is found out without writing it. What is large is written in a thread."""
    bound = size_at_most(value)
    if bound is not None and bound <= most:
        return None
    size = len((await asyncio.to_thread(json_text, value)).encode())
    return size if size > most else None


def size_at_most(value: Any) -> int | None:
    """No fewer bytes than the value has as JSON; None where there are too many parts to look at."""
    size, left = 0, [value]
    for _ in range(_LOOKED_AT):
        if not left:
            return size
        part = left.pop()
        if isinstance(part, (str, bytes)):
            size += _WIDEST * len(part) + 3
        elif isinstance(part, dict):
            left += [*part.values(), *part]
            size += 4
        elif isinstance(part, (list, tuple, set)):
            left += part
            size += 4
        elif isinstance(part, msgspec.Struct):
            left += msgspec.structs.astuple(part)
            size += _NUMBER
        else:
            size += _NUMBER
        if len(left) > _LOOKED_AT:
            return None
    return None


def column_text(text: str) -> str:
    """The text without what a database's columns can't carry: lone surrogates, and PostgreSQL's no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def column_json(value: Any) -> str:
    """The value for a column of JSON, where PostgreSQL's has no NUL either."""
    text = json_text(value)
    if "\\u0000" not in text:
        return text
    return _ESCAPED_NUL.sub(lambda found: f"{found[1]}\\ufffd", text)


def json_text(value: Any) -> str:
    """The value as JSON. What JSON or UTF-8 can't carry is replaced: a run is not lost for it."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, msgspec.MsgspecError):
        return _encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case bool() | None | float() | int():
            return value
        case dict():
            return {_plain(str(name)): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case msgspec.Struct():
            return _plain({name: getattr(value, name) for name in value.__struct_fields__})
        case _:
            return _plain(str(value))
