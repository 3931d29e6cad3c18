"""Single-flight: equal calls made at the same time are one paid call that all of them hear.

The paid call is a task of its own. Who asked first has no special part in it: whoever is cancelled
leaves, and the task is cancelled, and its connection closed, when the last one has left.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial

import msgspec

from runner.lm.call_stream import Listener
from runner.lm.errors import TransportError
from runner.lm.types import LMResponse, Rejected, Usage

type Pay = Callable[[Listener], Coroutine[None, None, LMResponse]]


class Flight:
    """A paid call under way: passes on what it hears to all who wait for it."""

    def __init__(self, pay: Pay) -> None:
        self._waiters: list[Listener] = []
        self._text = ""
        self.task = asyncio.create_task(pay(self))

    def attempted(self, waited: float) -> None:
        for waiter in self._waiters:
            waiter.attempted(waited)

    def delta(self, text: str) -> None:
        self._text += text
        for waiter in self._waiters:
            waiter.delta(text)

    def retract(self, reason: str) -> None:
        self._text = ""
        for waiter in self._waiters:
            waiter.retract(reason)

    def rejected(self, rejected: Rejected) -> None:
        self._text = ""
        for waiter in self._waiters:
            waiter.rejected(rejected)

    async def wait(self, waiter: Listener) -> LMResponse:
        """The answer. The first of those who are still waiting is its payer; to others it is shared."""
        self._waiters.append(waiter)
        if self._text:
            waiter.delta(self._text)
        try:
            await asyncio.wait((self.task,))
            payer = self._waiters[0]
        except asyncio.CancelledError:
            self._waiters.remove(waiter)
            if not self._waiters:
                await self.stop()
            raise
        if self.task.cancelled():
            raise TransportError("The gateway was closed during the call.")
        response = self.task.result()
        return response if waiter is payer else shared(response)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))
        if not self.task.cancelled():
            self.task.exception()  # nobody is left to hear it


class Flights:
    """The paid calls under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}

    async def join(self, key: Hashable, waiter: Listener, pay: Pay) -> LMResponse:
        flight = self._flights.get(key)
        if flight is None or flight.task.cancelling():
            flight = self._flights[key] = Flight(pay)
            flight.task.add_done_callback(partial(self._landed, key, flight))
        return await flight.wait(waiter)

    def _landed(self, key: Hashable, flight: Flight, _task: object) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def aclose(self) -> None:
        for flight in tuple(self._flights.values()):
            await flight.stop()


def shared(response: LMResponse) -> LMResponse:
    """The same answer for one who did not pay for it."""
    return msgspec.structs.replace(response, source="response_cache", usage=Usage())
