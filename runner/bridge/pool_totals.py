"""What a pool counted since it was made; none of it ever gets smaller."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

WAITS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0)
"""Seconds: the bounds between which waits for a worker are counted."""


class Refusal(StrEnum):
    """Why a step got no worker."""

    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    DEADLINE = "deadline"  # its own, while it waited
    CIRCUIT_OPEN = "circuit_open"
    WORKER_BUSY = "worker_busy"  # its session's, with strict_fail_fast


@dataclass(slots=True)
class Totals:
    """Steps and workers of one pool. A lease is a worker's use by one attempt of a step."""

    calls: int = 0
    lost: int = 0
    retried: int = 0
    reclaimed: int = 0
    leases: int = 0
    waited: float = 0.0
    waits: list[int] = field(default_factory=lambda: [0] * (len(WAITS) + 1))
    refused: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    def leased(self, waited: float) -> None:
        """A step got its worker after so many seconds."""
        self.leases += 1
        self.waited += waited
        self.waits[bisect_left(WAITS, waited)] += 1

    def stats(self) -> dict[str, Any]:
        """JSON. `waits` counts those up to each bound of WAITS, and above the last."""
        return {
            "calls": self.calls,
            "lost": self.lost,
            "retried": self.retried,
            "reclaimed": self.reclaimed,
            "leases": self.leases,
            "waited": self.waited,
            "waits": list(self.waits),
            "refused": dict(self.refused),
            "ended": dict(self.ends),
        }
