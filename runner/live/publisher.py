"""Tells everybody who watches, without ever making the runner wait.

What is told goes into a bounded queue that one task empties into the channel layer. When the layer
can't keep up the oldest goes first: watchers see the gap in the numbers and read what they missed.
Chunks of a stream are joined for some 15 ms; the first after a pause goes at once.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer

from runner.engine.events import Chunk
from runner.live.frames import chunks_frame, events_frame
from runner.live.groups import run_group

INTERVAL = 0.015
WAITING = 10_000
PAUSE = 0.5

type ChunkKey = tuple[str, int, int, str]  # step, attempt, call, field


class Publisher:
    """The publisher of one event loop. `interval` is in seconds."""

    def __init__(self, *, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=WAITING)
        self._chunks: dict[UUID, dict[ChunkKey, dict[str, Any]]] = {}
        self._numbers: dict[UUID, int] = {}
        self._due: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._more = asyncio.Event()

    def start(self) -> None:
        global _here
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._publish())
        _here = self

    async def aclose(self) -> None:
        """Tell what is left, then end."""
        global _here
        if _here is self:
            _here = None
        self._flush()
        self._task.cancel()
        await asyncio.wait((self._task,))
        with suppress(Exception):
            await self._empty()

    def watched(self, group: str) -> bool:
        """Whether anybody may be in the group. Most runs are watched by nobody; the layer within a
        process can be seen into, of others it is taken for granted. Whoever joins later reads what
        was said before."""
        layer = _layer()
        return not isinstance(layer, InMemoryChannelLayer) or group in layer.groups

    def tell(self, group: str, type_: str, **parts: Any) -> None:
        """Send a message of this type, such as `live.events`, to a group."""
        if not self.watched(group):
            return
        self._waiting.append((group, {"type": type_, **parts}))
        self._more.set()

    def tell_from_anywhere(self, group: str, type_: str, parts: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(lambda: self.tell(group, type_, **parts))

    def events(self, run: UUID, first: int, last: int, events: list[str]) -> None:
        """Tell events, numbered from `first` to `last`; the chunks before them go ahead."""
        if run in self._chunks:
            self._flush()
        self.tell(
            run_group(run),
            "live.events",
            run=run.hex,
            first=first,
            last=last,
            text=events_frame(run, events),
        )

    def chunk(self, run: UUID, epoch: int, chunk: Chunk) -> None:
        if not self.watched(run_group(run)):
            return
        key = (chunk.step, chunk.attempt, chunk.call, chunk.field)
        known = self._chunks.setdefault(run, {}).get(key)
        if known is not None and known["offset"] + len(known["text"]) == chunk.offset:
            known["text"] += chunk.text
        else:
            if known is not None:  # told anew by the next runner of the run
                self._flush()
            self._chunks.setdefault(run, {})[key] = {
                "epoch": epoch,
                "step": chunk.step,
                "attempt": chunk.attempt,
                "call": chunk.call,
                "field": chunk.field,
                "offset": chunk.offset,
                "text": chunk.text,
            }
        if self._due is None:
            self._due = self._loop.call_at(self._flushed + self._interval, self._flush)

    def forget(self, run: UUID) -> None:
        """The run has ended here."""
        self._numbers.pop(run, None)

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._flushed = self._loop.time()
        for run, chunks in self._chunks.items():
            number = self._numbers[run] = self._numbers.get(run, 0) + 1
            text = chunks_frame(run, chunks.values())
            self.tell(run_group(run), "live.chunks", run=run.hex, number=number, text=text)
        self._chunks.clear()

    async def _publish(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            try:
                await self._empty()
            except Exception:
                # The layer is away. Watchers read what they missed when it is back.
                await asyncio.sleep(PAUSE)
                self._more.set()

    async def _empty(self) -> None:
        layer = _layer()
        while self._waiting:
            group, message = self._waiting.popleft()
            await layer.group_send(group, message)


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None, "CHANNEL_LAYERS has no default."
    return layer


_here: Publisher | None = None


def tell(group: str, type_: str, **parts: Any) -> None:
    """Send a message to a group, from synchronous code in any thread."""
    if _here is not None:
        _here.tell_from_anywhere(group, type_, parts)
    else:
        async_to_sync(_layer().group_send)(group, {"type": type_, **parts})
