"""Frames: what travels on the socket between the host and a worker, without any I/O.

The idea. Host and worker are joined by one end each of a socketpair, and either side may speak at any
time: the host sends calls, the worker asks for language models and tools while it works on one, and
pings pass in between. So a connection carries independent messages, and an answer names the request
it answers. A frame is

    length   4 bytes, big-endian: how many bytes follow this field (6 + the body)
    format   1 byte: how the body is written (see `formats.py`); with 128 added, the body is in shared
             memory whose descriptor comes with the frame, and 8 bytes here say how large it is
    kind     1 byte: what the body is (see `Kind`)
    request  4 bytes, big-endian: answers carry the number of what they answer; 0 where nothing is
    body     the message, in that format

The format is in every frame, not only in the handshake, because one connection may mix formats: the
handshake is JSON (a party can read it before anything was agreed), a table travels as Arrow beside
MessagePack messages. The length comes first, so a reader may skip what it can't read.

Alternatives. gRPC over a Unix socket brings the same in 747 µs a call and 48 MB a worker where this
takes 122 µs and 7 MB (measured; see `benchmarks/bridge.py`). `multiprocessing.Connection` unpickles
what arrives, so a worker could run code in the host. JSON lines can't carry a table.

Cost. Ten bytes and about 2 µs a frame and side. `Decoder` copies each body once. A frame over the limit
is refused when its header is read, before anything is allocated for it.
"""

import os
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple

from runner.engine.errors import RunnerError

PROTOCOL_VERSION = 1
MAX_FRAME = 64 * 1024 * 1024
MAX_TABLE = 2 * 1024**3
MAX_UNCLAIMED = 8
SHARED = 0x80
"""In a frame's format: its body is in shared memory."""

_HEADER = struct.Struct(">IBBI")
_SIZE = struct.Struct(">Q")
_PREFIX = 4
FIXED = _HEADER.size - _PREFIX


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
    TABLE = 16  # either way: a table in Arrow, for a message that follows
    TOOL_CHUNK = 17  # host → worker: a part of a tool's answer, before its response
    TOOL_FLOW = 18  # worker → host: so many parts were taken, or no more are wanted
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


class Descriptor:
    """A descriptor that was received; closed when nobody has it any more, whatever went wrong."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.number)


class Frame(NamedTuple):
    """One message, its body still encoded. With a descriptor, that is shared memory of `size` bytes."""

    format: int
    kind: Kind
    request: int
    body: bytes
    descriptor: Descriptor | None = None
    size: int = 0

    @property
    def on_socket(self) -> int:
        """Bytes that it took of the socket."""
        return _HEADER.size + (len(self.body) if self.descriptor is None else _SIZE.size)


def pack(format_code: int, kind: Kind, request: int, body: bytes, limit: int = MAX_FRAME) -> bytes:
    """One frame as bytes. FrameTooLarge when it exceeds `limit` bytes: the receiver would refuse it."""
    length = FIXED + len(body)
    if length > limit:
        raise FrameTooLarge(
            f"A {kind.name.lower()} message of {length:,} bytes exceeds the limit of {limit:,}. "
            "Pass less data, or raise the pool's frame limit."
        )
    return _HEADER.pack(length, format_code, kind, request) + body


def pack_shared(
    format_code: int, kind: Kind, request: int, size: int, limit: int = MAX_FRAME
) -> bytes:
    """The frame of a body in shared memory; the descriptor is to be sent with its first byte."""
    if size > limit:
        raise FrameTooLarge(
            f"A {kind.name.lower()} of {size:,} bytes exceeds the limit of {limit:,}."
        )
    return _HEADER.pack(FIXED + _SIZE.size, format_code | SHARED, kind, request) + _SIZE.pack(size)


class Decoder:
    """Turns received bytes into frames, however they were cut.

    After a ProtocolError the stream has no known frame boundary any more: close the connection.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._descriptors: deque[Descriptor] = deque()

    def feed(self, data: bytes | memoryview, descriptors: Sequence[int] = ()) -> list[Frame]:
        """The frames that are complete now, in order. `data` may be a buffer that is used again;
        `descriptors` came with it."""
        if descriptors:
            self._descriptors.extend(map(Descriptor, descriptors))
        rest = self._rest
        if rest:
            rest += data
        with memoryview(rest or data) as view:
            frames, used = self._frames(view)
            left = b"" if rest else bytes(view[used:])
        if len(self._descriptors) > MAX_UNCLAIMED:
            raise FrameMalformed("Descriptors came that no frame claims.")
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
            body = bytes(view[start + _HEADER.size : stop])
            if format_code & SHARED:
                frames.append(self._shared(format_code, known, request, body))
            else:
                frames.append(Frame(format_code, known, request, body))
            start = stop
        return frames, start

    def _shared(self, format_code: int, kind: Kind, request: int, body: bytes) -> Frame:
        limit = MAX_TABLE if kind is Kind.TABLE else self._limit
        if len(body) != _SIZE.size:
            raise FrameMalformed("A frame in shared memory does not say how large it is.")
        (size,) = _SIZE.unpack(body)
        if size > limit:
            raise FrameTooLarge(
                f"Shared memory of {size:,} bytes is announced; at most {limit:,} are accepted."
            )
        if not self._descriptors:
            raise FrameMalformed("A frame in shared memory came without its descriptor.")
        descriptor = self._descriptors.popleft()
        return Frame(format_code & ~SHARED, kind, request, b"", descriptor, size)

    def _check(self, length: int, kind: int) -> Kind:
        if length > self._limit:
            raise FrameTooLarge(
                f"A frame announces {length:,} bytes; at most {self._limit:,} are accepted."
            )
        if length < FIXED:
            raise FrameMalformed(f"A frame announces {length} bytes; its header alone has {FIXED}.")
        known = _KINDS.get(kind)
        if known is None:
            raise UnknownKind(
                f"Frame kind {kind} is unknown to protocol version {PROTOCOL_VERSION}."
            )
        return known

    def end(self) -> None:
        """The connection is at its end; FrameTruncated when that cuts a frame."""
        self._descriptors.clear()
        if self._rest:
            raise FrameTruncated(f"The connection ended {len(self._rest)} bytes into a frame.")
