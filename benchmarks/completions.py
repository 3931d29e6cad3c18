"""A server of chat completions on loopback, in a process of its own: HTTP/1.1 with keep-alive, as little
of it as the clients of the benchmarks use."""

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_BASE = {"id": "1", "object": "chat.completion", "created": 1, "model": "bench"}
BACKLOG = 2_048


@contextmanager
def completions(text: str, *, delay: float = 0.0) -> Iterator[str]:
    """The base URL of a model that answers with this text, streamed by the line if so asked, after so
    many seconds."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, text, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


def _serve(told: Connection, text: str, delay: float) -> None:
    asyncio.run(_serve_forever(told, partial(_Completions, _whole(text), _streamed(text), delay)))


async def _serve_forever(told: Connection, protocol: Any) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Completions(asyncio.Protocol):
    def __init__(self, whole: bytes, streamed: bytes, delay: float) -> None:
        self._whole, self._streamed, self._delay = whole, streamed, delay
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
            if len(self._rest) < end + 4 + length:
                return
            body = self._rest[end + 4 : end + 4 + length]
            self._rest = self._rest[end + 4 + length :]
            streams = b'"stream":true' in body.replace(b" ", b"")
            answer = self._streamed if streams else self._whole
            if self._delay:
                self._loop.call_later(self._delay, self._transport.write, answer)
            else:
                self._transport.write(answer)


def _response(kind: str, body: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _whole(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return _response(
        "application/json", json.dumps({**_BASE, "choices": [choice], "usage": _USAGE})
    )


def _streamed(text: str) -> bytes:
    lines: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": line}} for line in text.splitlines(keepends=True)
    ]
    lines.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events: list[dict[str, Any]] = [{"choices": [line]} for line in lines]
    events.append({"choices": [], "usage": _USAGE})
    sent = [f"data: {json.dumps({**_BASE, **event})}\n\n" for event in events]
    return _response("text/event-stream", "".join([*sent, "data: [DONE]\n\n"]))
