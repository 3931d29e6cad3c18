"""A language model on loopback that counts what it was paid for, and a site that counts what it was sent.

It is a process of its own, so whoever is killed is not it. Each answer names its request, so an answer that
a database kept says which request it was paid for. `life` numbers the lives of the runner: whoever kills one
begins the next.
"""

import asyncio
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

_ACTS = {"next_thought": "{key}", "next_tool_name": "send", "next_tool_args": '{"to": "Ada"}'}
_ENDS = {"next_thought": "{key}", "next_tool_name": "finish", "next_tool_args": "{}"}
"""What an agent's model says: call the tool, and when it has seen what came of it, come to an end."""

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass(slots=True)
class Asked:
    """One request: which one it was, in which life it came, and whether it was answered."""

    key: str
    life: int
    answered: bool = False


@dataclass(slots=True)
class Behaviour:
    """Seconds until an answer; `cut` breaks each request off the first time that it comes."""

    delay: float = 0.2
    cut: bool = False


class Model:
    """What the harness knows and says of the model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.port: int = connection.recv()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self) -> list[Asked]:
        """The requests since the last reset, in the order in which they came."""
        found: list[Asked] = self._do("seen")
        return found

    def sent(self) -> int:
        """How often something was sent to the site."""
        return len([asked for asked in self.seen() if asked.key == "send"])

    def next_life(self) -> None:
        self._do("life")

    def reset(self, **behaviour: Any) -> None:
        """Forget what came, and behave so from now on."""
        self._do("reset", behaviour)

    def _do(self, name: str, argument: Any = None) -> Any:
        self._connection.send((name, argument))
        return self._connection.recv()


@contextmanager
def model() -> Iterator[Model]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Model(ours)
    finally:
        process.kill()
        process.join()


def _serve(connection: Connection) -> None:
    asyncio.run(_Server(connection).serve())


@dataclass(slots=True)
class _Server:
    connection: Connection
    life: int = 0
    asked: list[Asked] = field(default_factory=list)
    behaviour: Behaviour = field(default_factory=Behaviour)

    async def serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1024)
        self.connection.send(server.sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(self.connection.fileno(), self._told)
        await server.serve_forever()

    def _told(self) -> None:
        try:
            name, argument = self.connection.recv()
        except EOFError:  # whoever started this was killed
            os._exit(0)
        answer: Any = None
        if name == "seen":
            answer = self.asked
        elif name == "life":
            self.life += 1
        else:
            self.asked, self.behaviour, self.life = [], Behaviour(**argument), 0
        self.connection.send(answer)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                await self._answer(head, body, writer)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        sends = head.startswith((b"post /send", b"put /send"))
        asks = {} if sends else json.loads(body)
        key = "send" if sends else key_of(asks["messages"])
        again = any(each.key == key for each in self.asked)
        asked = Asked(key, self.life)
        self.asked.append(asked)
        await asyncio.sleep(self.behaviour.delay)
        answer = _json({"sent": True}) if sends else _completion(key, asks)
        half = len(answer) // 2
        writer.write(answer[:half])
        await writer.drain()
        await asyncio.sleep(self.behaviour.delay / 4)
        if self.behaviour.cut and not again:
            raise EOFError
        writer.write(answer[half:])
        await writer.drain()
        asked.answered = not writer.is_closing()


def key_of(messages: Any) -> str:
    """What the request is known by: the answer to it says `k` and this."""
    text = json.dumps([each["content"] for each in messages])
    return hashlib.sha1(text.encode()).hexdigest()[:16]


def _completion(key: str, asks: Mapping[str, Any]) -> bytes:
    said = "\n".join(str(each["content"]) for each in asks["messages"])
    fields = _ACTS if "next_tool_name" in said else {"y": "{key}"}
    if "observation_0" in said:
        fields = _ENDS if "next_tool_name" in said else {"reasoning": "r", "y": "{key}"}
    told = {name: text.replace("{key}", f"k{key}") for name, text in fields.items()}
    if "send_if_let" in said and told.get("next_tool_name") == "send":
        told["next_tool_name"] = "send_if_let"
    text = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in told.items())
    text += "\n\n[[ ## completed ## ]]"
    base = {"id": "1", "object": "chat.completion", "created": 1, "model": "counting"}
    if not asks.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return _json({**base, "choices": [choice], "usage": USAGE})
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": line}}]} for line in text.splitlines(True)
    ]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": USAGE})
    sent = "".join(f"data: {json.dumps({**base, **event})}\n\n" for event in events)
    return _response("text/event-stream", f"{sent}data: [DONE]\n\n")


def _json(value: Any) -> bytes:
    return _response("application/json", json.dumps(value))


def _response(kind: str, body: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()
