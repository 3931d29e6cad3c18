"""http_request against a server on loopback, faults included."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds.http_request import HttpRequest
from pipelines.graph.kinds.retrieval import ColBERT
from runner.engine.errors import RunnerError
from runner.native.corpus import FolderCorpus
from runner.native.executor import NativeExecutor
from runner.native.http_request import HTTPRequests, Key, Site, Sites
from tests.lm_calls import a_call, gateway_of, scripted

KEY = "sk-canary-12345"


class Server:
    """Answers each request with what `answer(path)` gives; keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.requests: list[bytes] = []
        self.origin = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line[15:])
                for line in head.split(b"\r\n")
                if line.lower()[:15] == b"content-length:"
            ),
            0,
        )
        self.requests.append(head + await reader.readexactly(length))
        path = head.split()[1].decode()
        writer.write(self.answers.get(path, reply(404, b"nothing here")))
        if path == "/slow":
            await reader.read()  # until the other side has had enough
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.origin = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listening.close()
        await listening.wait_closed()


async def send(site: Server, path: str, inputs: dict[str, Any] | None = None, **config: Any) -> Any:
    sites = Sites(
        approved={site.origin: Site(origin=site.origin)},
        keys={"mine": Key(origin=site.origin, secret=KEY)},
    )
    call = a_call(config=HttpRequest(url=site.origin + path, **config), inputs=inputs or {})
    return await HTTPRequests(sites).send(call)


async def test_json_comes_as_values() -> None:
    async with server() as site:
        site.answers["/a"] = reply(
            200, b'{"n": [1]}', content_type="application/json; charset=utf-8"
        )
        answer = await send(site, "/a")
    assert (answer["status"], answer["body"]) == (200, {"n": [1]})


async def test_values_are_escaped_in_the_address() -> None:
    async with server() as site:
        given = {"id": "../x?y=1&ü/{{ z }}", "q": True}
        await send(site, "/items/{{ id }}?q={{ q }}", given, on_status="report")
    path = site.requests[0].split()[1]
    assert path == b"/items/..%2Fx%3Fy%3D1%26%C3%BC%2F%7B%7B%20z%20%7D%7D?q=true"


async def test_a_body_is_sent_as_text_or_json() -> None:
    async with server() as site:
        await send(site, "/", {"body": {"a": 1}}, method="POST", on_status="report")
        await send(site, "/", {"body": "hi"}, method="PUT", on_status="report")
    assert site.requests[0].endswith(b'\r\n\r\n{"a":1}') and b"application/json" in site.requests[0]
    assert site.requests[1].endswith(b"\r\n\r\nhi") and b"text/plain" in site.requests[1]


async def test_a_key_is_sent_and_masked_where_the_answer_repeats_it() -> None:
    async with server() as site:
        body = json.dumps({"seen": f"Bearer {KEY}"}).encode()
        site.answers["/echo"] = reply(200, body, content_type="application/json", x_seen=KEY)
        site.answers["/bad"] = reply(401, body, content_type="application/json")
        answer = await send(site, "/echo", credential="mine")
        with pytest.raises(RunnerError) as refused:
            await send(site, "/bad", credential="mine")
    assert f"authorization: Bearer {KEY}".encode() in site.requests[0].lower().replace(
        b"bearer sk", b"Bearer sk"
    )
    assert KEY not in json.dumps(answer) + refused.value.message + json.dumps(refused.value.details)


async def test_no_key_is_sent_unless_the_node_names_it() -> None:
    async with server() as site:
        await send(site, "/", on_status="report")
    assert KEY.encode() not in site.requests[0]


async def test_a_redirect_is_followed_within_its_origin() -> None:
    async with server() as site:
        site.answers["/old"] = reply(302, location="/new")
        site.answers["/new"] = reply(200, b"here")
        assert (await send(site, "/old"))["body"] == "here"


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "//evil.example.com/", "http://127.0.0.1:1/", "file:///etc"],
)
async def test_a_redirect_to_another_host_is_refused(location: str) -> None:
    async with server() as site:
        site.answers["/old"] = reply(302, location=location)
        with pytest.raises(RunnerError) as refused:
            await send(site, "/old", credential="mine")
    assert refused.value.code in ("unexpected_response", "invalid_config")
    assert len(site.requests) == 1


async def test_what_was_posted_is_not_sent_twice() -> None:
    async with server() as site:
        site.answers["/old"] = reply(307, location="/new")
        with pytest.raises(RunnerError, match="redirects a POST"):
            await send(site, "/old", {"body": "x"}, method="POST")
    assert len(site.requests) == 1


async def test_redirects_in_a_circle_end() -> None:
    async with server() as site:
        site.answers["/a"] = reply(302, location="/a")
        with pytest.raises(RunnerError, match="more than 5 times"):
            await send(site, "/a")


async def test_an_answer_that_is_too_long_is_refused() -> None:
    async with server() as site:
        site.answers["/big"] = reply(200, b"x" * 5000)
        with pytest.raises(RunnerError, match="longer than 4,000 bytes"):
            await send(site, "/big", max_bytes=4000)


async def test_a_compressed_answer_is_refused() -> None:
    async with server() as site:
        site.answers["/z"] = reply(200, b"\x1f\x8b", content_encoding="gzip")
        with pytest.raises(RunnerError, match="compressed"):
            await send(site, "/z")


async def test_a_slow_host_is_left() -> None:
    async with server() as site:
        site.answers["/slow"] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
        with pytest.raises(RunnerError) as late:
            await send(site, "/slow", timeout=0.05)
    assert late.value.code in ("timeout", "transport")


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (429, True), (503, True)])
async def test_an_error_status_fails_the_step(status: int, retryable: bool) -> None:
    async with server() as site:
        site.answers["/"] = reply(status, b"sorry")
        with pytest.raises(RunnerError, match="sorry") as failed:
            await send(site, "/")
        assert (await send(site, "/", on_status="report"))["status"] == status
    assert (failed.value.code, failed.value.retryable) == ("http_status", retryable)


async def test_text_that_only_says_it_is_json_stays_text() -> None:
    async with server() as site:
        site.answers["/"] = reply(200, b"{oops \xff", content_type="application/json")
        assert (await send(site, "/"))["body"] == "{oops \ufffd"


async def test_a_colbert_server_is_asked_through_the_same_door() -> None:
    async with server() as site:
        row = {"pid": 1, "text": "a passage", "score": 2.0}
        body = json.dumps({"topk": [row]}).encode()
        site.answers["/api/search?query=a%26b&k=3"] = reply(
            200, body, content_type="application/json"
        )
        sites = Sites(approved={site.origin: Site(origin=site.origin)})
        executor = NativeExecutor(
            gateway_of(scripted("x")), FolderCorpus(Path("nowhere")), sites=sites
        )
        node = Node(id="look", kind="colbert")
        url = f"{site.origin}/api/search"
        call = a_call(node=node, config=ColBERT(url=url, k=3), inputs={"query": "a&b"})
        assert executor.can(node, call.config)
        assert await executor.execute(call) == {"passages": [row]}
        elsewhere = a_call(
            node=node, config=ColBERT(url="http://127.0.0.1:1/"), inputs={"query": "a"}
        )
        with pytest.raises(RunnerError, match="not an approved host"):
            await executor.execute(elsewhere)


async def test_cookies_stay_behind() -> None:
    async with server() as site:
        site.answers["/"] = reply(200, b"", set_cookie="a=b")
        assert "set-cookie" not in (await send(site, "/"))["headers"]
