"""How fast workers are started: in batches, and not at once after one could not be. Pure."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`batch` starts within `pause` seconds at most; none for `after_failure` seconds after one failed."""

    batch: int = 10
    pause: float = 0.5
    after_failure: float = 1.0


class Pacer:
    """The starts of one pool."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._starts: deque[float] = deque(maxlen=pace.batch)
        self._not_before = 0.0

    def room(self, now: float) -> int:
        """How many may be started now."""
        if now < self._not_before:
            return 0
        recent = sum(at > now - self._pace.pause for at in self._starts)
        return self._pace.batch - recent

    def next_at(self, now: float) -> float:
        """When there is room again."""
        full = len(self._starts) == self._pace.batch
        oldest = self._starts[0] + self._pace.pause if full else now
        return max(oldest, self._not_before, now)

    def started(self, now: float) -> None:
        self._starts.append(now)

    def failed(self, now: float) -> None:
        self._not_before = now + self._pace.after_failure
