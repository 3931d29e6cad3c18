"""What a pool remembers for a page: how many calls it served lately, and how its last workers ended."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

SPAN = 10.0
SPANS = 30
"""Seconds that are counted together, and how many of them are kept: five minutes."""
ENDS = 20


class PoolHistory:
    """`clock` is seconds; only differences count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: deque[tuple[int, int]] = deque(maxlen=SPANS)
        self._ends: deque[dict[str, Any]] = deque(maxlen=ENDS)

    def called(self) -> None:
        span = self._now()
        if self._calls and self._calls[-1][0] == span:
            self._calls[-1] = (span, self._calls[-1][1] + 1)
        else:
            self._calls.append((span, 1))

    def ended(self, end: dict[str, Any]) -> None:
        self._ends.append({**end, "at": time.time()})

    def stats(self) -> dict[str, Any]:
        """`recent`: calls of each span, the oldest first, with zeros. `ends`: the last one first."""
        now, counted = self._now(), dict(self._calls)
        recent = [counted.get(now - back, 0) for back in reversed(range(SPANS))]
        return {"recent": recent, "span": SPAN, "ends": list(reversed(self._ends))}

    def _now(self) -> int:
        return int(self._clock() // SPAN)
