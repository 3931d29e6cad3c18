"""The host's end of one worker's socket: drives the wire from asyncio."""

import asyncio
from collections.abc import Callable
from typing import cast

from runner.bridge.frames import Kind, ProtocolError
from runner.bridge.messages import Message
from runner.bridge.wire import Received, Wire

READ_SIZE = 64 * 1024


class Link(asyncio.BufferedProtocol):
    """Tells `on_message` of every message in order, and `on_lost` once, with the reason if the other
    side broke the protocol."""

    def __init__(
        self,
        wire: Wire,
        *,
        on_message: Callable[[Received], None],
        on_lost: Callable[[ProtocolError | None], None],
    ) -> None:
        self.wire = wire
        self._on_message = on_message
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        # Used for every read: asyncio would otherwise map and unmap 256 KB for each.
        self._buffer = memoryview(bytearray(READ_SIZE))

    def send(self, kind: Kind, request: int, message: Message) -> None:
        """Send, or keep what the socket does not take yet. FrameTooLarge, and nothing sent, when the
        message exceeds the limit. Once the worker is gone, nothing happens."""
        data = self.wire.pack(kind, request, message)
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close at once; what was not sent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for received in self.wire.feed(self._buffer[:nbytes]):
                self._on_message(received)
        except ProtocolError as error:
            self._lose(error)

    def connection_lost(self, error: Exception | None) -> None:
        try:
            self.wire.end()
        except ProtocolError as truncated:
            self._lose(truncated)
        else:
            self._lose(None)

    def _lose(self, error: ProtocolError | None) -> None:
        on_lost, self._on_lost = self._on_lost, lambda error: None
        self._on_message = lambda received: None
        self.close()
        self._transport = None
        on_lost(error)
