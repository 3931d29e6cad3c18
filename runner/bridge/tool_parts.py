"""A tool whose answer comes in parts: shown as they come, sent to a module that asked for them, and joined.

Nothing runs ahead of who takes the parts. A generator is asked for its next one when there is room: a
module says what it took, and the host sends no more than `TOOL_WINDOW` parts before that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from runner.bridge.messages import TOOL_WINDOW, ToolChunkMessage, ToolFlowMessage

_NONE = object()


class Flow:
    """How many parts one request may be sent; without `streams` it wants the whole alone."""

    def __init__(self, *, streams: bool) -> None:
        self.streams = streams
        self._room = asyncio.Semaphore(TOOL_WINDOW)

    def more(self, message: ToolFlowMessage) -> None:
        """The module took some; it can't have taken more than it was sent."""
        for _ in range(min(message.taken, TOOL_WINDOW)):
            self._room.release()

    async def send(self, part: Any, answer: Callable[[ToolChunkMessage], None]) -> None:
        await self._room.acquire()
        answer(ToolChunkMessage(value=part))


def joined(parts: list[Any]) -> Any:
    """The whole answer: a text if all parts are texts, else their list."""
    return "".join(parts) if parts and all(isinstance(part, str) for part in parts) else parts


async def whole(parts: AsyncIterator[Any], each: Callable[[Any], Any] | None = None) -> Any:
    """Take all parts as plain values, `each` awaited with every one; the generator is closed whatever
    happens."""
    taken: list[Any] = []
    async with aclosing(parts) as source:  # type: ignore[type-var]  # tools are generators
        async for part in source:
            taken.append(msgspec.to_builtins(part))
            if each is not None:
                await each(taken[-1])
    return joined(taken)


async def in_thread(parts: Iterator[Any]) -> AsyncIterator[Any]:
    """A generator that is no coroutine: each part is made in a thread."""
    try:
        while (part := await asyncio.to_thread(next, parts, _NONE)) is not _NONE:
            yield part
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            await asyncio.to_thread(close)
