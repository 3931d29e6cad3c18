"""The formats a frame's body may be written in: a registry that both sides read.

A format turns a message (a `msgspec.Struct` of plain values) into bytes and back. JSON is always there
and carries the handshake; MessagePack is the usual choice. Arrow carries tables, which belong to messages
in one of the others. To add one, call `register` in the host and in the worker's module before either
starts; its code must be free on both sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runner.bridge.frames import SHARED, ProtocolError
from runner.bridge.tables import Table, refuse


class UnknownFormat(ProtocolError):
    """A frame is in a format that this side does not have."""

    code = "format_unknown"


class NoCommonFormat(ProtocolError):
    """The two sides have no format in common."""

    code = "format_none_common"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`decoder(type)` gives the function that reads a message of that type; it may raise
    `msgspec.MsgspecError` for a body that is not one. `encode` lets `tables.refuse` speak of values that
    it does not know. One that does not carry `messages` is no choice of the handshake's."""

    code: int
    name: str
    encode: Callable[[Any], bytes]
    decoder: Callable[[type], Callable[[bytes | memoryview], Any]]
    messages: bool = True


JSON = Format(
    code=1,
    name="json",
    encode=msgspec.json.Encoder(enc_hook=refuse).encode,
    decoder=lambda type_: msgspec.json.Decoder(type_).decode,
)

MESSAGEPACK = Format(
    code=2,
    name="messagepack",
    encode=msgspec.msgpack.Encoder(enc_hook=refuse).encode,
    decoder=lambda type_: msgspec.msgpack.Decoder(type_).decode,
)

ARROW = Format(
    code=3,
    name="arrow",
    encode=lambda table: bytes(table.data),
    decoder=lambda type_: lambda body: Table(body),
    messages=False,
)

_BY_CODE: dict[int, Format] = {}
_BY_NAME: dict[str, Format] = {}


def register(format_: Format) -> None:
    """Make a format known to this process; a code or name that is taken is refused."""
    if not 0 < format_.code < SHARED:
        raise ValueError(f"Format code {format_.code} is out of range: use 1 to {SHARED - 1}.")
    if format_.code in _BY_CODE or format_.name in _BY_NAME:
        raise ValueError(f"Format {format_.code} '{format_.name}' is registered already.")
    _BY_CODE[format_.code] = format_
    _BY_NAME[format_.name] = format_


def unregister(name: str) -> None:
    """Forget a format; for tests."""
    del _BY_CODE[_BY_NAME.pop(name).code]


def names() -> tuple[str, ...]:
    """The formats of this process."""
    return tuple(_BY_NAME)


def by_code(code: int) -> Format:
    try:
        return _BY_CODE[code]
    except KeyError:
        raise UnknownFormat(f"Frame format {code} is unknown here. Known: {_known()}.") from None


def by_name(name: str) -> Format:
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownFormat(f"Frame format '{name}' is unknown here. Known: {_known()}.") from None


def negotiate(offered: Sequence[str]) -> Format:
    """The first offered format that this side has for messages."""
    for name in offered:
        if name in _BY_NAME and _BY_NAME[name].messages:
            return _BY_NAME[name]
    raise NoCommonFormat(f"Offered: {', '.join(offered) or 'nothing'}. Known here: {_known()}.")


def _known() -> str:
    return ", ".join(f"{format_.code} {format_.name}" for format_ in _BY_CODE.values())


register(JSON)
register(MESSAGEPACK)
register(ARROW)
