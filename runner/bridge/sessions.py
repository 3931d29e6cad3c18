"""Which worker a session is bound to, in a pool that keeps its workers. Pure: the clock is an argument.

A session is a name that calls give: those of one name go to one worker, which has at hand what it
loaded for them. It holds nothing that can't be had again: state that counts is the host's.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Affinity(StrEnum):
    """What a call does when its session's worker is not free."""

    HINT = "hint"  # takes another
    STRICT_QUEUE = "strict_queue"  # waits for it
    STRICT_FAIL_FAST = "strict_fail_fast"  # fails at once: worker_busy

    @property
    def is_strict(self) -> bool:
        return self is not Affinity.HINT


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """A session that was not used for `ttl` seconds is forgotten; there are `limit` at most."""

    ttl: float = 3_600.0
    limit: int = 10_000
    warn_at: float = 0.8


class Bound(NamedTuple):
    """A session's worker. `lost`: it crashed, which the next call is to hear."""

    worker: int
    until: float
    lost: bool = False


class Sessions:
    """The sessions of one pool, the least recently used first."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._bound: OrderedDict[str, Bound] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bound)

    @property
    def are_many(self) -> bool:
        """Whether it is time to warn."""
        return len(self._bound) >= self._settings.warn_at * self._settings.limit

    def find(self, session: str, now: float) -> Bound | None:
        """What the session is bound to. That its worker was lost is told once."""
        bound = self._bound.get(session)
        if bound is None:
            return None
        if bound.lost or bound.until <= now:
            del self._bound[session]
        return bound if bound.until > now else None

    def bind(self, session: str, worker: int, now: float) -> None:
        """The session used this worker. At the limit the one that was used longest ago is forgotten."""
        self._bound[session] = Bound(worker, now + self._settings.ttl)
        self._bound.move_to_end(session)
        if len(self._bound) > self._settings.limit:
            self._bound.popitem(last=False)

    def ended(self, worker: int, *, lost: bool) -> None:
        """The worker is no more. Its sessions are bound anew by their next call, which hears of it
        if it was lost."""
        for session, bound in tuple(self._bound.items()):
            if bound.worker == worker and lost:
                self._bound[session] = bound._replace(lost=True)
            elif bound.worker == worker:
                del self._bound[session]

    def sweep(self, now: float) -> None:
        """Forget what has expired."""
        while self._bound:
            session, bound = next(iter(self._bound.items()))
            if bound.until > now:
                return
            del self._bound[session]

    def by_worker(self) -> Counter[int]:
        """How many sessions each worker has."""
        return Counter(bound.worker for bound in self._bound.values())
