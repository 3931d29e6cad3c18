"""The bridge protocol with typed messages, without I/O. Host, worker and forkserver all drive this."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runner.bridge import formats
from runner.bridge.frames import MAX_FRAME, Decoder, Frame, Kind, ProtocolError, pack
from runner.bridge.messages import TYPES, Message


class BodyMalformed(ProtocolError):
    """A frame's body is not the message that its kind announces."""

    code = "body_malformed"


class Received(NamedTuple):
    """A message with its frame's kind and request number."""

    kind: Kind
    request: int
    message: Any


class Wire:
    """One connection's state: what was received in part, the format to write, bytes each way.

    `format` starts as JSON, which every party has, and is set when the handshake has agreed on one.
    Frames are read in whatever registered format they name.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.format = formats.JSON
        self.bytes_in = 0
        self.bytes_out = 0
        self._limit = limit
        self._decoder = Decoder(limit)
        self._decoders: dict[int, Callable[[bytes], Any]] = {}

    def pack(self, kind: Kind, request: int, message: Message) -> bytes:
        """The frame to send; FrameTooLarge when the other side would refuse it."""
        data = pack(self.format.code, kind, request, self.format.encode(message), self._limit)
        self.bytes_out += len(data)
        return data

    def feed(self, data: bytes | memoryview) -> list[Received]:
        """The messages that are complete now, in order; ProtocolError when one is not valid."""
        self.bytes_in += len(data)
        return [self._read(frame) for frame in self._decoder.feed(data)]

    def end(self) -> None:
        """The connection is at its end; FrameTruncated when that cuts a frame."""
        self._decoder.end()

    def _read(self, frame: Frame) -> Received:
        key = frame.format << 8 | frame.kind
        decode = self._decoders.get(key)
        if decode is None:
            decode = formats.by_code(frame.format).decoder(TYPES[frame.kind])
            self._decoders[key] = decode
        try:
            return Received(frame.kind, frame.request, decode(frame.body))
        except (msgspec.MsgspecError, RecursionError) as error:
            name = frame.kind.name.lower()
            raise BodyMalformed(f"The body of a {name} message is not valid: {error}.") from None
