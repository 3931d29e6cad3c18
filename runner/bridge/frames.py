"""Frames: what travels on the socket between the host and a worker, without any I/O.

The idea. Host and worker are joined by one end each of a socketpair, and either side may speak at any
time: the host sends calls, the worker asks for language models and tools while it works on one, and
pings pass in between. So a connection carries independent messages, and an answer names the request
it answers. A frame is

    length   4 bytes, big-endian: how many bytes follow this field (6 + the body)
    format   1 byte: how the body is written (see `formats.py`)
    kind     1 byte: what the body is (see `Kind`)
    request  4 bytes, big-endian: answers carry the number of what they answer; 0 where nothing is
    body     the message, in that format

The format is in every frame, not only in the handshake, because one connection may mix formats: the
handshake is JSON (a party can read it before anything was agreed), a table may travel as Arrow beside
MessagePack messages. The length comes first, so a reader may skip what it can't read.

Alternatives. gRPC over a Unix socket brings the same in 747 µs a call and 48 MB a worker where this
takes 122 µs and 7 MB (measured; see `benchmarks/bridge.py`). `multiprocessing.Connection` unpickles
what arrives, so a worker could run code in the host. JSON lines can't carry a table.

Cost. Ten bytes and about 2 µs a frame and side. `Decoder` copies each body once. A frame over the limit
is refused when its header is read, before anything is allocated for it.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from runner.engine.errors import RunnerError

PROTOCOL_VERSION = 1
MAX_FRAME = 64 * 1024 * 1024

_HEADER = struct.Struct(">IBBI")
_PREFIX = 4
_FIXED = _HEADER.size - _PREFIX


class Kind(IntEnum):
    """What a frame is. Below 32: host and worker; from 32: host and forkserver."""

    HELLO = 1  # host → worker: protocol version, formats it would speak, best first
    READY = 2  # worker → host: the format chosen, versions, what it can run
    CALL = 3  # host → worker: do this operation
    CHUNK = 4  # worker → host: a piece of a stream, for the call with this number
    TRACE = 5  # worker → host: something to report about the call with this number
    LM_REQUEST = 6  # worker → host: ask a language model
    LM_RESPONSE = 7
    TOOL_REQUEST = 8  # worker → host: run a tool
    TOOL_RESPONSE = 9
    RESULT = 10  # worker → host: the call is done
    ERROR = 11  # worker → host: the call failed; with number 0, the worker itself did
    CANCEL = 12  # host → worker: stop the call with this number
    PING = 13  # host → worker; answered by a thread of its own, so a busy worker answers too
    PONG = 14
    SHUTDOWN = 15  # host → worker, host → forkserver: end when idle
    FORK = 32  # host → forkserver, with one end of a socketpair: fork a worker around it
    FORKED = 33  # forkserver → host: its pid
    EXITED = 34  # forkserver → host: a worker ended; exit code or signal
    KILL = 35  # host → forkserver: end this worker at once


_KINDS = {int(kind): kind for kind in Kind}


class ProtocolError(RunnerError):
    """The other side of the bridge sent something that is not the protocol."""

    code = "protocol"


class FrameTruncated(ProtocolError):
    """The connection ended in the middle of a frame."""

    code = "frame_truncated"


class FrameTooLarge(ProtocolError):
    """A frame is larger than this side accepts."""

    code = "frame_too_large"


class FrameMalformed(ProtocolError):
    """A frame's header can't be right."""

    code = "frame_malformed"


class UnknownKind(ProtocolError):
    """A frame is of a kind that this protocol version does not have."""

    code = "kind_unknown"


class Frame(NamedTuple):
    """One message, its body still encoded."""

    format: int
    kind: Kind
    request: int
    body: bytes


def pack(format_code: int, kind: Kind, request: int, body: bytes, limit: int = MAX_FRAME) -> bytes:
    """One frame as bytes. FrameTooLarge when it exceeds `limit` bytes: the receiver would refuse it."""
    length = _FIXED + len(body)
    if length > limit:
        raise FrameTooLarge(
            f"A {kind.name.lower()} message of {length:,} bytes exceeds the limit of {limit:,}. "
            "Pass less data, or raise the pool's frame limit."
        )
    return _HEADER.pack(length, format_code, kind, request) + body


class Decoder:
    """Turns received bytes into frames, however they were cut.

    After a ProtocolError the stream has no known frame boundary any more: close the connection.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """The frames that are complete now, in order. `data` may be a buffer that is used again."""
        rest = self._rest
        if rest:
            rest += data
        with memoryview(rest or data) as view:
            frames, used = self._frames(view)
            left = b"" if rest else bytes(view[used:])
        if rest:
            del rest[:used]
        else:
            rest += left
        return frames

    def _frames(self, view: memoryview) -> tuple[list[Frame], int]:
        """The whole frames at the head of `view`, and how many bytes they take."""
        frames: list[Frame] = []
        start, end = 0, len(view)
        while end - start >= _HEADER.size:
            length, format_code, kind, request = _HEADER.unpack_from(view, start)
            known = self._check(length, kind)
            stop = start + _PREFIX + length
            if stop > end:
                break
            frames.append(
                Frame(format_code, known, request, bytes(view[start + _HEADER.size : stop]))
            )
            start = stop
        return frames, start

    def _check(self, length: int, kind: int) -> Kind:
        if length > self._limit:
            raise FrameTooLarge(
                f"A frame announces {length:,} bytes; at most {self._limit:,} are accepted."
            )
        if length < _FIXED:
            raise FrameMalformed(
                f"A frame announces {length} bytes; its header alone has {_FIXED}."
            )
        known = _KINDS.get(kind)
        if known is None:
            raise UnknownKind(
                f"Frame kind {kind} is unknown to protocol version {PROTOCOL_VERSION}."
            )
        return known

    def end(self) -> None:
        """The connection is at its end; FrameTruncated when that cuts a frame."""
        if self._rest:
            raise FrameTruncated(f"The connection ended {len(self._rest)} bytes into a frame.")
