"""When a worker counts as gone because it does not answer. Pure: the clock is an argument."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """A ping every `interval` seconds; one without an answer for `timeout` seconds is missed, and a
    worker that missed `missed` of them is gone. (Snakepit's figures.)"""

    interval: float = 2.0
    timeout: float = 10.0
    missed: int = 3


class Heartbeat:
    """The pings of one worker that are not answered yet."""

    __slots__ = ("_sent", "last")

    def __init__(self) -> None:
        self.last = 0
        self._sent: deque[tuple[int, float]] = deque()

    def ping(self, now: float) -> int:
        """The number of the next ping."""
        self.last += 1
        self._sent.append((self.last, now))
        return self.last

    def pong(self, number: int) -> None:
        """An answer; pings are answered in order, so earlier ones are no matter any more."""
        while self._sent and self._sent[0][0] <= number:
            self._sent.popleft()

    def is_late(self, now: float, settings: HeartbeatSettings) -> bool:
        """Whether a ping is missed already: until it is answered, the worker gets no further step."""
        return bool(self._sent) and now - self._sent[0][1] > settings.timeout

    def is_lost(self, now: float, settings: HeartbeatSettings) -> bool:
        """Whether the worker has missed too many."""
        missed = sum(1 for _, sent in self._sent if now - sent > settings.timeout)
        return missed >= settings.missed
