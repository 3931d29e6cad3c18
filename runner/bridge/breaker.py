"""The circuit breaker of a pool. Pure: the clock is an argument, in seconds."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether the pool takes calls."""

    CLOSED = "closed"  # it does
    OPEN = "open"  # too many failed in a row
    HALF_OPEN = "half_open"  # a few calls are let through, to see


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """Opens after `failures` in a row, for `seconds`; then `probes` calls at a time may try."""

    failures: int = 5
    seconds: float = 30.0
    probes: int = 1


class Breaker:
    """Counts calls that the pool could not do at all: not those that a new attempt healed, nor those
    whose module failed."""

    __slots__ = ("_failing", "_opened_at", "_probing", "_settings")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget what failed."""
        self._failing = 0
        self._opened_at: float | None = None
        self._probing = 0

    def state(self, now: float) -> BreakerState:
        if self._opened_at is None:
            return BreakerState.CLOSED
        half = now >= self._opened_at + self._settings.seconds
        return BreakerState.HALF_OPEN if half else BreakerState.OPEN

    def admits(self, now: float) -> bool:
        """Whether a call may begin. Its end must be told, by one of the next three."""
        if self._opened_at is None:
            return True
        if self.state(now) is BreakerState.OPEN or self._probing >= self._settings.probes:
            return False
        self._probing += 1
        return True

    def succeeded(self) -> None:
        """One that began before the breaker opened, and ends well while it is open, says nothing."""
        if self._opened_at is None:
            self._failing = 0
        elif self._probing:
            self.reset()

    def failed(self, now: float) -> None:
        self._probing = max(0, self._probing - 1)
        self._failing += 1
        if self._failing >= self._settings.failures:
            self._opened_at = now

    def undecided(self) -> None:
        """It was cancelled, or ran out of time."""
        self._probing = max(0, self._probing - 1)

    def opens_in(self, now: float) -> float:
        """Seconds until a call is let through to try; 0 when one is now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._settings.seconds - now)

    @property
    def failing(self) -> int:
        return self._failing
