"""How well each backend does, by kind, signature and LM: what the router decides on.

Figures are values. `after` gives the next ones, so that whoever keeps them (memory, the database) does
the same sums. Latency, errors and cost are means that forget: a step that is slow since this morning
must count for more than a month of quick ones. The breaker is part of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import msgspec

from pipelines.graph.graph import Backend

FORGET = 0.1
"""What the newest outcome weighs in a mean; the first ones weigh the same each."""
RECENT = 64
"""Durations that are kept for percentiles."""
FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0

Breaker = Literal["closed", "open", "half_open"]


class Subject(NamedTuple):
    """What figures are about. `scope` is the project, whose figures are nobody else's affair."""

    scope: str
    kind: str
    signature: str
    lm: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt on one backend. `at` is seconds since 1970. One whose answers were stored is not
    `timed`: it says nothing of how fast the backend is."""

    seconds: float
    at: float
    failed: bool = False
    cost: float = 0.0
    timed: bool = True


class Figures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one backend. `seconds`, `error_rate` and `cost` (US dollars) are means a call that forget;
    `timed` counts the calls in them. `failing` counts failures in a row, `opened_at` is the last one's
    time once the breaker opened."""

    calls: int = 0
    failures: int = 0
    total_cost: float = 0.0
    timed: int = 0
    seconds: float = 0.0
    error_rate: float = 0.0
    cost: float = 0.0
    failing: int = 0
    opened_at: float = 0.0
    recent: tuple[float, ...] = ()

    def after(self, outcome: Outcome) -> "Figures":
        """The figures with one more outcome."""
        failing = self.failing + 1 if outcome.failed else 0
        opened = outcome.at if failing >= FAILURES_TO_OPEN else 0.0
        base = msgspec.structs.replace(
            self,
            calls=self.calls + 1,
            failures=self.failures + outcome.failed,
            total_cost=self.total_cost + outcome.cost,
            failing=failing,
            opened_at=opened,
        )
        if not outcome.timed:
            return base
        timed = self.timed + 1
        weight = max(FORGET, 1 / timed)
        return msgspec.structs.replace(
            base,
            timed=timed,
            seconds=_mean(self.seconds, outcome.seconds, weight),
            error_rate=_mean(self.error_rate, float(outcome.failed), weight),
            cost=_mean(self.cost, outcome.cost, weight),
            recent=(*self.recent[-RECENT + 1 :], round(outcome.seconds, 6)),
        )

    def breaker(self, now: float) -> Breaker:
        """Whether the backend may be asked: not while open; once, to try, when half open."""
        if self.failing < FAILURES_TO_OPEN:
            return "closed"
        return "open" if now < self.opened_at + OPEN_SECONDS else "half_open"

    def percentile(self, share: float) -> float | None:
        """Seconds that this share of the last calls took at most; None without any."""
        if not self.recent:
            return None
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _mean(before: float, new: float, weight: float) -> float:
    return before + weight * (new - before)


@dataclass(slots=True)
class Entry:
    """What is known of one subject. `under_way` counts calls without an outcome yet; `probing` are the
    backends that are being tried after their breaker opened."""

    figures: dict[Backend, Figures] = field(default_factory=dict)
    pin: Backend | None = None
    under_way: dict[Backend, int] = field(default_factory=dict)
    probing: set[Backend] = field(default_factory=set)

    def of(self, backend: Backend) -> Figures:
        return self.figures.get(backend, _NONE)

    def begun(self, backend: Backend) -> int:
        """Calls that were or will be measured."""
        return self.of(backend).timed + self.under_way.get(backend, 0)


_NONE = Figures()


class FigureStore(Protocol):
    """Keeps figures. Called on the event loop, in the middle of every step: it never waits."""

    def entry(self, subject: Subject) -> Entry: ...

    def add(self, subject: Subject, backend: Backend, outcome: Outcome) -> None: ...


class MemoryFigures:
    """Figures as long as the process lives."""

    def __init__(self, entries: Mapping[Subject, Entry] | None = None) -> None:
        self.entries: dict[Subject, Entry] = dict(entries or {})

    def entry(self, subject: Subject) -> Entry:
        entry = self.entries.get(subject)
        if entry is None:
            entry = self.entries[subject] = Entry()
        return entry

    def add(self, subject: Subject, backend: Backend, outcome: Outcome) -> None:
        entry = self.entry(subject)
        entry.figures[backend] = entry.of(backend).after(outcome)
