"""HTTP/1.1 for calls of language models: connections that stay open, and answers read as they come.

Our own, on asyncio's transports and llhttp (`httptools`, Node's parser): a call takes a tenth of the
processor time that it takes with httpx, whose pool also looks through all connections for each call, and
a thousand calls at once are what a runner is for. It sends one kind of request: a POST with a body.
Redirects are given back as they are, the environment's proxies are not used, nothing is compressed, and a
name leads only where `runner/lm/network.py` lets it.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import httptools
import httpx

from runner.lm.errors import LMTimeout, TransportError
from runner.lm.network import Resolve, checked_addresses, resolve

IDLE_SECONDS = 30.0
IDLE_CONNECTIONS = 1_000
"""Kept open for the next call, for each place they lead to."""
BUFFERED = 1 << 20
"""Bytes of an answer that nobody has read yet, after which no more is received."""


class Place(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str
    port: int
    private_network: bool


class HTTPClient:
    """Sends requests on open connections, or on new ones. For one event loop."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._idle: dict[Place, list[Connection]] = {}
        self._context: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(
        self,
        place: Place,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_timeout: float,
    ) -> "Answer":
        """The answer, when its head is there; to be closed in the end, which cancels what is not read.
        `host` belongs to the headers. Raises LMTimeout, TransportError and AddressRefused."""
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
        connection = self._open(place) or await self._connect(place, connect_timeout)
        connection.send(head.encode("latin-1") + body)
        answer = Answer(self, place, connection)
        try:
            await connection.head()
        except BaseException:
            answer.close()
            raise
        return answer

    async def aclose(self) -> None:
        """Close what is open and used by nobody."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    def keep(self, place: Place, connection: "Connection") -> None:
        """For the next call."""
        idle = self._idle.setdefault(place, [])
        if self._closed or len(idle) >= IDLE_CONNECTIONS:
            return connection.abort()
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_SECONDS, self._close_old)

    def _open(self, place: Place) -> "Connection | None":
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            if not connection.lost:
                return connection
        return None

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for place, connections in tuple(self._idle.items()):
            kept = []
            for connection in connections:
                if connection.idle_since > oldest and not connection.lost:
                    kept.append(connection)
                else:
                    connection.abort()
            self._idle[place] = kept
            if not kept:
                del self._idle[place]
        self._sweep = loop.call_later(IDLE_SECONDS, self._close_old) if self._idle else None

    async def _connect(self, place: Place, timeout: float) -> "Connection":
        try:
            async with asyncio.timeout(timeout):
                context = await self._tls() if place.scheme == "https" else None
                return await self._connect_to_first(place, context)
        except TimeoutError as error:
            raise LMTimeout(f"No connection to the provider within {timeout:g} s.") from error
        except (OSError, UnicodeError) as error:
            raise TransportError(f"The connection to the provider failed: {error}") from error

    async def _connect_to_first(self, place: Place, context: ssl.SSLContext | None) -> "Connection":
        addresses = await checked_addresses(
            place.host,
            place.port,
            private_network=place.private_network,
            resolve=self._resolve,
        )
        loop = asyncio.get_running_loop()
        for number, address in enumerate(addresses, start=1):
            try:
                _, connection = await loop.create_connection(
                    Connection,
                    address,
                    place.port,
                    ssl=context,
                    server_hostname=place.host if context else None,
                )
            except OSError:
                # A name may have an address that this machine has no route to.
                if number == len(addresses):
                    raise
            else:
                return connection
        raise OSError(f"'{place.host}' has no address")

    async def _tls(self) -> ssl.SSLContext:
        """Reading the certificates takes too long for the event loop."""
        if self._context is None:
            context = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
            context.set_alpn_protocols(["http/1.1"])
            self._context = context
        return self._context


class Answer:
    """What came back. `headers` have lower-case names."""

    def __init__(self, client: HTTPClient, place: Place, connection: "Connection") -> None:
        self._client, self._place, self._connection = client, place, connection

    @property
    def status(self) -> int:
        return self._connection.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._connection.headers

    async def read(self) -> bytes:
        """The next bytes of the body; none at its end. Raises TransportError when it is cut."""
        return await self._connection.read()

    def close(self) -> None:
        """Give the connection back, or close it at once when the answer has not ended."""
        if self._connection.may_go_on:
            self._client.keep(self._place, self._connection)
        else:
            self._connection.abort()


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self.lost = False
        self.idle_since = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._busy = self._began = self._ended = self._stays_open = self._paused = False
        self._error: TransportError | None = None

    @property
    def may_go_on(self) -> bool:
        """Whether another request may follow."""
        return self._stays_open and not self.lost

    def send(self, request: bytes) -> None:
        self._parts, self._size = [], 0
        self._busy, self._began, self._ended, self._stays_open = True, False, False, False
        self._transport.write(request)

    async def head(self) -> None:
        """Return when status and headers are there."""
        while not self._began:
            if self._error is not None:
                raise self._error
            await self._change()

    async def read(self) -> bytes:
        while not self._parts:
            if self._ended:
                return b""
            if self._error is not None:
                raise self._error
            await self._change()
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._size = [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Close at once."""
        self.lost = True
        self._transport.abort()

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _changed(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, reason: str) -> None:
        if self._error is None and not self._ended:
            self._error = TransportError(f"The connection to the provider failed: {reason}")
        self.lost = True
        self._changed()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._ended:
            return self.abort()  # nobody asked
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"what it sent is no HTTP ({type(error).__name__})")
            self._transport.abort()
            return
        if self._size > BUFFERED and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._changed()

    def eof_received(self) -> bool:
        self._end_at_the_end()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self._end_at_the_end()
        self._fail("it was closed before the answer's end" if error is None else str(error))

    def _end_at_the_end(self) -> None:
        """An answer without a length is over when the connection is."""
        if self._began and not self.headers.keys() & {"content-length", "transfer-encoding"}:
            self._ended = self.lost = True
            self._changed()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._ended:
            raise ValueError("An answer that nobody asked for.")  # ends the parsing
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._began = self.status >= 200  # others go before the answer

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._began:
            self._ended, self._stays_open = True, self._parser.should_keep_alive()
