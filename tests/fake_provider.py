"""A provider on loopback that speaks chat completions with server-sent events, faults included."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

USAGE = {"prompt_tokens": 7, "completion_tokens": 5}


@dataclass(kw_only=True)
class Reply:
    """What the provider answers with: `parts` as they are, `pause` seconds apart.

    With `cut` the connection ends in the middle of the body.
    """

    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    parts: Iterable[bytes] = ()
    pause: float = 0.0
    cut: bool = False


def event(data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    delta |= {} if content is None else {"content": content}
    return {"model": "fake-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def streamed(*deltas: str, finish: str = "stop", **reply: Any) -> Reply:
    """A whole stream: the deltas, the end, the usage."""
    events = [chunk(delta) for delta in deltas] + [chunk(finish=finish)]
    events.append({"model": "fake-1", "choices": [], "usage": USAGE})
    return Reply(parts=[*map(event, events), event("[DONE]")], **reply)


def failed(status: int, error: Any = None, **headers: str) -> Reply:
    """An error as a provider reports it."""
    error = {"message": "no"} if error is None else error
    body = json.dumps({"error": error}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, content_type="application/json", headers=named, parts=[body])


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class FakeProvider:
    """Gives its replies in order, the last one for ever; keeps the requests."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self._replies = list(replies)
        self.requests: list[Request] = []
        self.connections = 0
        self.base_url = ""
        self.disconnected = asyncio.Event()

    def reply(self) -> Reply:
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read_request(reader):
                self.requests.append(request)
                reply = self.reply()
                gone = asyncio.create_task(self._watch(reader, reply.pause))
                try:
                    await _send(writer, reply)
                finally:
                    gone.cancel()
                if reply.cut:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.disconnected.set()
        finally:
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader, pause: float) -> None:
        """Notice a client that leaves while the reply drips."""
        while pause and not reader.at_eof():
            await asyncio.sleep(0.001)
        if pause:
            self.disconnected.set()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Request(head[0].split(" ")[1], headers, json.loads(body))


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    headers = {"content-type": reply.content_type, "transfer-encoding": "chunked"} | reply.headers
    lines = [f"HTTP/1.1 {reply.status} Some reason", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    for part in reply.parts:
        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
        if reply.pause:
            await asyncio.sleep(reply.pause)
    if not reply.cut:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


@asynccontextmanager
async def provider(*replies: Reply) -> AsyncIterator[FakeProvider]:
    """A provider that serves on a free port of 127.0.0.1 while the block runs."""
    fake = FakeProvider(replies or [streamed("Hello", " you")])
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()
