"""A provider on loopback that speaks the wire formats of real ones, with server-sent events and faults.

What it sends was written down from the providers' own references: chat completions and responses as in
OpenAI's, messages as in Anthropic's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


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


def _named(data: dict[str, Any]) -> bytes:
    """An event under its type's name, as the responses and messages APIs have it."""
    return f"event: {data['type']}\n".encode() + event(data)


def responses_streamed(*deltas: str, **reply: Any) -> Reply:
    """The events of a response that was completed."""
    item = {"type": "message", "role": "assistant", "content": []}
    text = {"type": "output_text", "text": "".join(deltas), "annotations": []}
    done = {"type": "response.completed", "response": a_response([item | {"content": [text]}])}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": a_response([], status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *({"type": "response.output_text.delta", "delta": delta} for delta in deltas),
        {"type": "response.output_text.done", "text": "".join(deltas)},
        done,
    ]
    return Reply(parts=[_named(each) for each in events], **reply)


def a_response(output: list[Any], **fields: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    }
    given = {"id": "resp_1", "object": "response", "model": "fake-1", "status": "completed"}
    return given | {"output": output, "usage": usage, "error": None} | fields


def messages_streamed(
    *deltas: str, stop: str = "end_turn", blocks: Iterable[dict[str, Any]] = (), **reply: Any
) -> Reply:
    """The events of a message: a block of text, after `blocks` as they are."""
    usage = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    start = message | {"model": "fake-1", "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        *blocks,
        {
            "type": "content_block_start",
            "index": 9,
            "content_block": {"type": "text", "text": ""},
        },
        *(
            {
                "type": "content_block_delta",
                "index": 9,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in deltas
        ),
        {"type": "content_block_stop", "index": 9},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return Reply(parts=[_named(each) for each in events], **reply)


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block of a message."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One provider API: the profile that speaks it, and its replies."""

    adapter: str
    settings: dict[str, Any] = field(default_factory=dict)
    path: str
    key_header: str
    streamed: Callable[..., Reply]
    whole: dict[str, Any]
    """The body of an answer `all` that is not streamed."""
    error_event: dict[str, Any]
    """A rate limit, reported inside a stream."""


_WHOLE_TEXT = {"type": "output_text", "text": "all"}
DIALECTS = {
    "chat_completions": Dialect(
        adapter="openai_compatible",
        path="/v1/chat/completions",
        key_header="authorization",
        streamed=streamed,
        whole={
            "model": "fake-1",
            "choices": [{"message": {"content": "all"}, "finish_reason": "stop"}],
            "usage": USAGE,
        },
        error_event={"error": {"message": "slow", "code": 429}},
    ),
    "responses": Dialect(
        adapter="openai_compatible",
        settings={"api": "responses"},
        path="/v1/responses",
        key_header="authorization",
        streamed=responses_streamed,
        whole=a_response([{"type": "message", "content": [_WHOLE_TEXT]}]),
        error_event={"type": "error", "code": "rate_limit_exceeded", "message": "slow"},
    ),
    "messages": Dialect(
        adapter="anthropic",
        path="/v1/messages",
        key_header="x-api-key",
        streamed=messages_streamed,
        whole={
            "type": "message",
            "model": "fake-1",
            "content": [{"type": "text", "text": "all"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "output_tokens": 5},
        },
        error_event={"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
    ),
}


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
