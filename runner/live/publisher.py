"""Tells everybody who watches, without ever making the runner wait.

What is told goes into a bounded queue that one task empties into the channel layer. When the layer
can't keep up the oldest goes first: watchers see the gap in the numbers and read what they missed.
Chunks of a stream are joined for some 15 ms; the first after a pause goes at once.

The database has the text of a stream as it was up to a second ago. Who joins from another process, or missed
a piece, would read that and then be told what comes now, with a hole in between. So it asks for the text that
is in hand here, and gets it between the same two pieces that everybody is told.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer

from runner.engine.events import Chunk
from runner.live.frames import chunks_frame, events_frame, streams_frame
from runner.live.groups import RUNNERS, run_group
from runner.live.streams import HERE

logger = logging.getLogger(__name__)

INTERVAL = 0.015
WAITING = 10_000
PAUSE = 0.5
SOON = 2.0
"""Seconds that a request waits for a layer that is away; what it wanted to tell is not told then."""

type ChunkKey = tuple[str, int, int, str]  # step, attempt, call, field


class _Told(NamedTuple):
    """A message to a group, or to one socket of another process."""

    to: str
    message: dict[str, Any]
    directly: bool = False

    async def send(self, layer: BaseChannelLayer) -> None:
        await (layer.send if self.directly else layer.group_send)(self.to, self.message)


class Publisher:
    """The publisher of one event loop. `interval` is in seconds."""

    def __init__(self, *, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._waiting: deque[_Told] = deque(maxlen=WAITING)
        self._chunks: dict[UUID, dict[ChunkKey, dict[str, Any]]] = {}
        # By run: its epoch here, and the number of the last message with chunks.
        self._numbers: dict[UUID, tuple[int, int]] = {}
        self._due: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._more = asyncio.Event()

    def start(self) -> None:
        global _here
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(self._publish())]
        if not isinstance(_layer(), InMemoryChannelLayer):
            self._tasks.append(self._loop.create_task(self._listen()))
        _here = self

    async def aclose(self) -> None:
        """Tell what is left, then end."""
        global _here
        if _here is self:
            _here = None
        self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
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
        if self.watched(group):
            self._put(_Told(group, {"type": type_, **parts}))

    def _put(self, told: _Told) -> None:
        self._waiting.append(told)
        self._more.set()

    def tell_from_anywhere(self, group: str, type_: str, parts: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(lambda: self.tell(group, type_, **parts))

    def events(self, run: UUID, first: int, last: int, events: list[str]) -> None:
        """Tell events, numbered from `first` to `last`; the chunks before them go ahead."""
        if run in self._chunks:
            self._flush()
        epoch, number = self._numbers.get(run, (0, 0))
        self.tell(
            run_group(run),
            "live.events",
            run=run.hex,
            first=first,
            last=last,
            epoch=epoch,
            number=number,
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
            epoch = next(iter(chunks.values()))["epoch"]
            number = self._numbers.get(run, (0, 0))[1] + 1
            self._numbers[run] = epoch, number
            self.tell(
                run_group(run),
                "live.chunks",
                run=run.hex,
                epoch=epoch,
                number=number,
                text=chunks_frame(run, chunks.values()),
            )
        self._chunks.clear()

    def streams(self, run: UUID, epoch: int, to: str) -> None:
        """Tell one socket the text of the run's open streams, if they are open here. What is not told to
        all yet comes to it twice, and is known by its offset."""
        streams = HERE.get(run)
        if streams is None or streams.epoch != epoch:
            return
        message = {
            "type": "live.streams",
            "run": run.hex,
            "epoch": epoch,
            "number": self._numbers.get(run, (0, 0))[1],
            "texts": [streams_frame(run, [stream]) for stream in streams.snapshot()],
        }
        self._put(_Told(to, message, directly=True))

    async def _listen(self) -> None:
        layer, channel = _layer(), ""
        while True:
            try:
                channel = channel or await layer.new_channel()
                await layer.group_add(RUNNERS, channel)
                while True:
                    asked = await layer.receive(channel)
                    self.streams(UUID(hex=asked["run"]), asked["epoch"], asked["to"])
            except Exception:
                # The layer is away. Nobody could ask.
                await asyncio.sleep(PAUSE)

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
            told = self._waiting.popleft()
            try:
                await told.send(layer)
            except Exception:
                if len(self._waiting) < WAITING:
                    self._waiting.appendleft(told)
                raise


def _layer() -> BaseChannelLayer:
    layer = get_channel_layer()
    assert layer is not None, "CHANNEL_LAYERS has no default."
    return layer


_here: Publisher | None = None


def tell(group: str, type_: str, **parts: Any) -> None:
    """Send a message to a group, from synchronous code in any thread. What happened is in the database:
    a layer that is away is no reason to fail."""
    if _here is not None:
        _here.tell_from_anywhere(group, type_, parts)
    else:
        async_to_sync(_tell_soon)(_Told(group, {"type": type_, **parts}))


async def _tell_soon(told: _Told) -> None:
    try:
        async with asyncio.timeout(SOON):
            await told.send(_layer())
    except Exception as error:
        logger.warning("The channel layer is away, pages will ask by themselves: %r", error)
