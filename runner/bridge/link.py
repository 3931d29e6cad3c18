"""The host's end of one worker's socket: drives the wire from asyncio.

Not one of asyncio's transports, as those drop the descriptors that come with bytes.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from runner.bridge import shared
from runner.bridge.frames import Kind, ProtocolError
from runner.bridge.messages import Message
from runner.bridge.wire import Parcel, Received, Wire

READ_SIZE = 64 * 1024


class Link:
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
        self._loop = asyncio.get_running_loop()
        self._connection: socket.socket | None = None
        self._backlog: deque[Parcel] = deque()
        self._buffer = memoryview(bytearray(READ_SIZE))

    def open(self, connection: socket.socket) -> None:
        """Read from now on; the socket is the link's."""
        connection.setblocking(False)
        self._connection = connection
        self._loop.add_reader(connection, self._readable)

    def send(self, kind: Kind, request: int, message: Message) -> None:
        """Send, or keep what the socket does not take yet. FrameTooLarge, and nothing sent, when the
        message exceeds the limit. Once the worker is gone, nothing happens."""
        parcels = self.wire.parcels(kind, request, message)
        if self._connection is None:
            return
        waits = bool(self._backlog)
        self._backlog.extend(parcels)
        if not waits and not self._flushed():
            self._loop.add_writer(self._connection, self._writable)

    def close(self) -> None:
        """Close at once; what was not sent is dropped."""
        if self._close():
            self._loop.call_soon(self._lose, None)

    def _readable(self) -> None:
        assert self._connection is not None
        try:
            size, descriptors = shared.receive(self._connection, self._buffer)
            if size:
                for received in self.wire.feed(self._buffer[:size], descriptors):
                    self._on_message(received)
                return
            self.wire.end()
        except BlockingIOError:
            return
        except ProtocolError as error:
            self._lose(error)
        except OSError:  # killed with data under way
            self._lose(None)
        except Exception:  # a defect of ours: the worker's step is not to wait for ever
            self._lose(None)
            raise
        else:
            self._lose(None)

    def _writable(self) -> None:
        if self._flushed():
            assert self._connection is not None
            self._loop.remove_writer(self._connection)

    def _flushed(self) -> bool:
        """Send what the socket takes; whether that was all."""
        assert self._connection is not None
        try:
            while self._backlog:
                data, memory = self._backlog[0]
                sent = shared.send(self._connection, data, memory)
                if sent == len(data):
                    self._backlog.popleft()
                else:
                    self._backlog[0] = memoryview(data)[sent:], None
        except BlockingIOError:
            return False
        except OSError:  # the reader hears of it
            self._backlog.clear()
        return True

    def _close(self) -> bool:
        connection, self._connection = self._connection, None
        if connection is None:
            return False
        self._backlog.clear()
        self._loop.remove_reader(connection)
        self._loop.remove_writer(connection)
        connection.close()
        return True

    def _lose(self, error: ProtocolError | None) -> None:
        on_lost, self._on_lost = self._on_lost, lambda error: None
        self._on_message = lambda received: None
        self._close()
        on_lost(error)
