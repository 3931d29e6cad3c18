"""How fast an LM profile is called: calls at a time, requests and tokens in any minute.

One throttle serves a profile wherever it is used in the process, so that the limits hold over all
projects' gateways. Requests and tokens are counted over the last 60 seconds, not refilled at a rate: a
provider's limit then holds for every minute, also the first. Tokens are counted by an estimate when a
call begins and by the provider's own count when it ends. Who has to wait waits in line.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from runner.lm.types import LMProfile

MINUTE = 60.0


class Entry:
    """What one call took of a window. Its amount may be corrected."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: int) -> None:
        self.at = at
        self.amount = amount


class Window:
    """An amount within any `seconds`. Pure: the clock is an argument."""

    def __init__(self, limit: int | None, seconds: float = MINUTE) -> None:
        self.limit = limit
        self._seconds = seconds
        self._entries: deque[Entry] = deque()
        self._sum = 0

    def wait(self, now: float, amount: int) -> float:
        """Seconds until there is room; 0: now. More than the limit has room in an empty window, else
        it never had."""
        if self.limit is None:
            return 0.0
        self._forget(now)
        over = self._sum + amount - self.limit
        if over <= 0 or not self._sum:
            return 0.0
        for entry in self._entries:
            over -= entry.amount
            if over <= 0:
                return entry.at + self._seconds - now
        return self._entries[-1].at + self._seconds - now

    def take(self, now: float, amount: int) -> Entry:
        entry = Entry(now, amount)
        if self.limit is not None:
            self._entries.append(entry)
            self._sum += amount
        return entry

    def correct(self, entry: Entry, amount: int) -> None:
        """The call took this much. What has left the window is past correcting."""
        if self._entries and entry.at >= self._entries[0].at:
            self._sum += amount - entry.amount
            entry.amount = amount

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0].at + self._seconds <= now:
            self._sum -= self._entries.popleft().amount


class Throttle:
    """The limits of one profile. An edited profile's limits count from its next call."""

    def __init__(self) -> None:
        self.running = 0
        self._concurrency = 1
        self._requests = Window(None)
        self._tokens = Window(None)
        self._held_until = 0.0
        self._line = asyncio.Lock()
        self._waiting = 0
        self._freed = asyncio.Event()

    def place(self, profile: LMProfile, tokens: int) -> "Place":
        """A place for one attempt that takes about so many tokens; wait for it with `async with`."""
        self._concurrency = profile.concurrency
        self._requests.limit = profile.requests_per_minute
        self._tokens.limit = profile.tokens_per_minute
        return Place(self, tokens)

    def hold(self, until: float) -> None:
        """Let no further call begin before then: the provider asked for it."""
        self._held_until = max(self._held_until, until)

    async def enter(self, place: "Place") -> None:
        if not self._waiting and self._wait(place) == 0:
            return self._take(place)
        self._waiting += 1
        try:
            async with self._line:
                while (wait := self._wait(place)) != 0:
                    await self._change(wait)
                self._take(place)
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        self.running -= 1
        self._freed.set()

    def settle(self, place: "Place") -> None:
        self._tokens.correct(place.tokens_taken, place.tokens)

    def count_request(self, now: float) -> None:
        """An adapter asked again within its attempt."""
        self._requests.take(now, 1)

    def _wait(self, place: "Place") -> float | None:
        """Seconds to wait; 0: none; None: until a call ends."""
        if self.running >= self._concurrency:
            return None
        now = _now()
        return max(
            0.0,
            self._held_until - now,
            self._requests.wait(now, 1),
            self._tokens.wait(now, place.tokens),
        )

    def _take(self, place: "Place") -> None:
        now = _now()
        self.running += 1
        self._requests.take(now, 1)
        place.tokens_taken = self._tokens.take(now, place.tokens)
        place.waited = now - place.asked

    async def _change(self, wait: float | None) -> None:
        self._freed.clear()
        try:
            async with asyncio.timeout(wait):
                await self._freed.wait()
        except TimeoutError:
            pass


class Place:
    """One attempt's place. Set `tokens` to what the provider counted before leaving."""

    __slots__ = ("_throttle", "asked", "tokens", "tokens_taken", "waited")

    tokens_taken: Entry

    def __init__(self, throttle: Throttle, tokens: int) -> None:
        self._throttle = throttle
        self.tokens = tokens
        self.asked = _now()
        self.waited = 0.0

    async def __aenter__(self) -> Self:
        await self._throttle.enter(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._throttle.settle(self)
        self._throttle.leave()

    def asked_again(self) -> None:
        self._throttle.count_request(_now())


class Throttles:
    """The throttles of a process, by profile. Gateways share them."""

    def __init__(self) -> None:
        self._throttles: dict[str, Throttle] = {}

    def of(self, profile: LMProfile) -> Throttle:
        throttle = self._throttles.get(profile.identity)
        if throttle is None:
            throttle = self._throttles[profile.identity] = Throttle()
        return throttle


def _now() -> float:
    return asyncio.get_running_loop().time()
