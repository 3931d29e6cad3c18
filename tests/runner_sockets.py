"""A browser's side of the live socket, through the whole of what Daphne serves."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from dspex_site.asgi import application
from runner.models import Run
from tests.runner_world import World, db

ORIGIN = "http://localhost:8000"


class Socket(WebsocketCommunicator):
    """What a page has received is kept by kind."""

    async def tell(self, type_: str, **parts: Any) -> None:
        await self.send_json_to({"type": type_, **parts})

    async def hear(self, *types: str) -> dict[str, Any]:
        """The next message of these types; marks are sent back, others passed over."""
        while True:
            message: dict[str, Any] = await self.receive_json_from(timeout=3)
            if message["type"] in types:
                return message
            if message["type"] == "mark":
                await self.send_json_to(message)

    async def closed(self) -> int:
        """The code with which the server closes, after whatever comes before."""
        while True:
            message = await self.receive_output(timeout=3)
            if message["type"] == "websocket.close":
                return int(message.get("code", 1000))

    async def watch(self, run: Run, after_seq: int = 0) -> "Watcher":
        await self.tell("subscribe", run=str(run.pk), after_seq=after_seq)
        return Watcher(self, after_seq)


class Watcher:
    """A page that watches a run, as the reference tells it to."""

    def __init__(self, socket: Socket, seq: int) -> None:
        self.socket = socket
        self.seq = seq
        self.events: list[dict[str, Any]] = []
        self.texts: dict[tuple[Any, ...], str] = {}
        self.gaps = 0

    async def until(self, type_: str) -> dict[str, Any]:
        """Take in messages up to and with one of this type, or an event of it."""
        while True:
            message = await self.socket.hear("events", "streams", "chunks", "caught_up", "error")
            self.take(message)
            if message["type"] == type_:
                return message
            for event in message.get("events", ()):
                if event["type"] == type_:
                    return dict(event)

    async def until_texts(self, texts: dict[str, str]) -> None:
        """Take in messages until the streams, by step, say this; what is on its way may still come."""
        while {key[1]: text for key, text in self.texts.items()} != texts:
            self.take(await self.socket.hear("events", "streams", "chunks", "caught_up", "error"))

    def take(self, message: dict[str, Any]) -> None:
        for event in message.get("events", ()):
            assert event["seq"] == self.seq + 1, (event["seq"], self.seq)
            self.seq = event["seq"]
            self.events.append(event)
        for stream in message.get("streams", ()):
            self.texts[_key(stream)] = stream["text"]
        for chunk in message.get("chunks", ()):
            text = self.texts.get(_key(chunk), "")
            self.gaps += chunk["offset"] > len(text)
            if chunk["offset"] + len(chunk["text"]) > len(text):
                self.texts[_key(chunk)] = text[: chunk["offset"]] + chunk["text"]


def _key(stream: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(stream[name] for name in ("epoch", "step", "attempt", "call", "field"))


async def cookie_of(user: User | None) -> bytes:
    """The cookie of a signed-in browser."""

    def session() -> str:
        store = SessionStore()
        if user is not None:
            store[SESSION_KEY] = str(user.pk)
            store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.save()
        return str(store.session_key)

    return f"{settings.SESSION_COOKIE_NAME}={await db(session)}".encode()


async def open_socket(
    user: User | None, *, origin: str | None = ORIGIN, host: str = "localhost:8000"
) -> Socket:
    headers = [(b"host", host.encode()), (b"cookie", await cookie_of(user))]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return Socket(application, "/ws/live/", headers)


@asynccontextmanager
async def connected(world: World, name: str) -> AsyncIterator[Socket]:
    """The socket of a page that this person has opened."""
    socket = await open_socket(await db(world.person, name))
    accepted, _ = await socket.connect(timeout=3)
    assert accepted
    assert (await socket.hear("hello"))["protocol"] == 1
    try:
        yield socket
    finally:
        await socket.disconnect(timeout=3)


def decoded(events: list[str]) -> list[dict[str, Any]]:
    return [json.loads(event) for event in events]
