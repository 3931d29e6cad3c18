"""The client for calls of language models: what a server may do to it, on a real connection."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runner.lm import http_client
from runner.lm.errors import AddressRefused, LMTimeout, TransportError
from runner.lm.http_client import Answer, HTTPClient, Place

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Sends its answers in order, one a request, and hangs up after one that is not OK's."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(request + await reader.readexactly(4))
                answer = self.answers.pop(0)
                writer.write(answer)
                if not answer.endswith(b"ok"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[Server, HTTPClient, Place]]:
    server, client = Server(*answers), HTTPClient()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    place = Place("http", "127.0.0.1", listening.sockets[0].getsockname()[1], False)
    try:
        yield server, client, place
    finally:
        await client.aclose()
        listening.close()
        listening.close_clients()
        await listening.wait_closed()


async def post(client: HTTPClient, place: Place) -> Answer:
    return await client.post(place, "/v1", {"host": "h"}, b"body", connect_timeout=1.0)


async def body(client: HTTPClient, place: Place) -> bytes:
    answer = await post(client, place)
    try:
        parts = []
        while part := await answer.read():
            parts.append(part)
        return b"".join(parts)
    finally:
        answer.close()


async def test_a_request_is_sent_with_its_length() -> None:
    async with serving(OK) as (server, client, place):
        assert await body(client, place) == b"ok"
    assert server.requests == [b"POST /v1 HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"]


async def test_a_connection_is_used_again_unless_the_server_closes_it() -> None:
    closes = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(OK, OK, closes, OK) as (server, client, place):
        assert [await body(client, place) for _ in range(4)] == [b"ok"] * 4
    assert server.connections == 2


async def test_what_goes_before_an_answer_is_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(hints + OK) as (_, client, place):
        answer = await post(client, place)
        assert (answer.status, "link" in answer.headers) == (200, False)
        assert await answer.read() == b"ok"
        answer.close()


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\nall of it") as (_, client, place):
        assert await body(client, place) == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_a_transport_error(answer: bytes) -> None:
    async with serving(answer) as (_, client, place):
        with pytest.raises(TransportError):
            await asyncio.wait_for(body(client, place), 1)


async def test_an_answer_that_nobody_reads_is_not_all_received() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000
    async with serving(long) as (_, client, place):
        answer = await post(client, place)
        await asyncio.sleep(0.05)
        assert len(await answer.read()) < 2 * http_client.BUFFERED
        rest = 0
        while part := await answer.read():
            rest += len(part)
        assert rest > 4_000_000
        answer.close()


async def test_an_answer_that_is_closed_early_closes_its_connection() -> None:
    async with serving(OK.replace(b": 2", b": 9"), OK) as (server, client, place):
        (await post(client, place)).close()
        assert await body(client, place) == b"ok"
    assert server.connections == 2


async def test_what_a_server_says_unasked_is_taken_for_no_answer() -> None:
    async with serving(OK + OK.replace(b"ok", b"no") + b"ok", OK) as (server, client, place):
        assert [await body(client, place) for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 2


async def test_open_connections_are_closed_when_nobody_used_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "IDLE_SECONDS", 0.02)
    async with serving(OK, OK) as (server, client, place):
        await body(client, place)
        await asyncio.sleep(0.06)
        await body(client, place)
    assert server.connections == 2


async def test_a_name_leads_only_where_it_may_and_is_looked_up_once() -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with serving(OK) as (server, _, place):
        client = HTTPClient(resolve)
        named = place._replace(host="api.example.com")
        with pytest.raises(AddressRefused):
            await body(client, named)
        assert server.connections == 0
        assert await body(client, named._replace(private_network=True)) == b"ok"
        await client.aclose()
    assert asked == ["api.example.com"] * 2


async def test_a_name_that_is_not_found_in_time_is_a_timeout() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(10)
        return []

    place = Place("http", "api.example.com", 80, False)
    with pytest.raises(LMTimeout, match=r"within 0\.01 s"):
        await HTTPClient(resolve).post(place, "/", {}, b"", connect_timeout=0.01)


async def test_a_name_that_is_not_found_is_a_transport_error() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    place = Place("http", "api.example.com", 80, False)
    with pytest.raises(TransportError, match="not known"):
        await HTTPClient(resolve).post(place, "/", {}, b"", connect_timeout=1.0)


async def test_a_certificate_that_nobody_signed_is_not_trusted(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    place = Place("https", "localhost", listening.sockets[0].getsockname()[1], False)
    with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        await post(HTTPClient(), place)
    listening.close()
    assert not any(heard)


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return path
