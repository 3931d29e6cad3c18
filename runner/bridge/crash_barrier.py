"""What crashes of workers lead to, so that one bad step harms nobody else. Pure: clock and chance are
arguments.

A crash taints the step that was at work for a while (with threads, all that were): its next attempt
gets a worker that nobody used and nobody else will use, so that it can't take the warm workers of a pool
down one by one. Before each new attempt it waits a little longer. Many crashes in a short time stop
spares from being forked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runner.bridge.endings import EndReason

JITTER = 0.25
KEPT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierSettings:
    """Seconds: `backoff` before the first, second, … new attempt, `taint` that a step stays tainted. More
    than `crashes` within `span`: no spares."""

    backoff: Sequence[float] = (0.05, 0.1, 0.2)
    taint: float = 60.0
    crashes: int = 3
    span: float = 5.0


class Suspect(NamedTuple):
    """The step of a run, by its path."""

    run_id: str
    step: str


class Crash(NamedTuple):
    """One worker that crashed, and all steps that were at work in it."""

    suspects: tuple[Suspect, ...]
    worker: int
    reason: EndReason
    at: float


class CrashBarrier:
    """The crashes of one pool."""

    def __init__(self, settings: BarrierSettings) -> None:
        self._settings = settings
        self._crashes: deque[Crash] = deque(maxlen=KEPT)

    def __bool__(self) -> bool:
        """Whether there was any crash that still counts for something."""
        return bool(self._crashes)

    def crashed(self, crash: Crash) -> None:
        self._crashes.append(crash)

    def tainted(self, now: float) -> list[Crash]:
        """The crashes that still taint, the last one first."""
        while self._crashes and self._crashes[0].at + self._settings.taint <= now:
            self._crashes.popleft()
        return list(reversed(self._crashes))

    def is_tainted(self, suspect: Suspect, now: float) -> bool:
        return any(suspect in crash.suspects for crash in self.tainted(now))

    def backoff(self, losses: int, chance: float) -> float:
        """Seconds to wait after so many losses of one call; `chance` is from 0 to 1."""
        if not self._settings.backoff:
            return 0.0
        step = min(losses, len(self._settings.backoff)) - 1
        return self._settings.backoff[step] * (1 + JITTER * chance)

    def holds_spares(self, now: float) -> bool:
        """Whether so many crashed that forking ahead would only feed it."""
        recent = sum(crash.at > now - self._settings.span for crash in self._crashes)
        return recent > self._settings.crashes
