"""Which backend runs a node.

The order: what the node asks for; the one that can; and where both can, the one that does better, by
measured seconds, errors and dollars. `decide` is pure: everything it looks at is an argument, and it
says its reason in words, which the run page shows.

Exploration is paid for. A backend that nobody asks has stale figures, so the router asks the worse one
now and then, as often as costs `EXPLORATION` of the time at most: the worse it is, the more seldom. Until
each has been measured `LEARN` times they take turns. Only a backend that is warm is explored: no worker
is started to satisfy curiosity.
"""

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from pipelines.graph.graph import Backend
from runner.engine.errors import OperationNotFound, RunnerError
from runner.engine.figures import Entry, Figures, FigureStore, MemoryFigures, Outcome, Subject
from runner.engine.stops import Parked

LEARN = 3
EXPLORATION = 0.01
MOST_EXPLORED = 0.05
MARGIN = 1.1
"""How many times better the other must be before the preferred one is left."""
DOLLAR_SECONDS = 100.0
FAILURE_SECONDS = 2.0
"""What a dollar and a failed attempt weigh, in seconds of waiting."""
_WORST_RATE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """`prefer_native`: take native where both can, unless DSPy does better. `fallback_to_python`: let
    DSPy do what native can't, and what native failed at where the step policy asks for the other
    backend; without it DSPy runs only the nodes that ask for it."""

    prefer_native: bool = True
    fallback_to_python: bool = True

    @property
    def preferred(self) -> Backend:
        return "native" if self.prefer_native else "dspy"


type Weighed = dict[Backend, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The chosen backend and why. `figures` are those that were weighed, by backend."""

    backend: Backend
    reason: str
    figures: Weighed = field(default_factory=dict)
    probe: bool = False


def decide(
    kind: str,
    *,
    wanted: str,
    able: Collection[Backend],
    settings: RouterSettings,
    entry: Entry | None = None,
    warm: Collection[Backend] | None = None,
    now: float = 0.0,
    chance: float = 1.0,
) -> Decision:
    """Choose among the backends that are `able` to run a node of this kind.

    `wanted` is the policy's backend, `warm` those that could start at once (all able ones, if None),
    `chance` a random number from 0 to 1. Raises OperationNotFound, saying what was looked for.
    """
    if wanted != "auto":
        return _wanted(kind, wanted, able)
    if "native" in able and "dspy" in able:
        if not settings.fallback_to_python:
            return Decision(backend="native", reason="native: fallback_to_python is off")
        return _of_both(settings, entry or Entry(), able if warm is None else warm, now, chance)
    if "native" in able:
        return Decision(backend="native", reason="native: the only implementation")
    if "dspy" in able and settings.fallback_to_python:
        return Decision(backend="dspy", reason="dspy: there is no native implementation")
    hint = " fallback_to_python is off." if "dspy" in able else ""
    raise OperationNotFound(
        f"No backend can run a {kind} with this configuration.{hint}", kind=kind
    )


def _wanted(kind: str, wanted: str, able: Collection[Backend]) -> Decision:
    for backend in able:
        if backend == wanted:
            return Decision(backend=backend, reason=f"{backend}: set on the node")
    raise OperationNotFound(
        f"The node asks for {wanted}, which can't run a {kind}. "
        f"Able: {', '.join(sorted(able)) or 'none'}. Set the backend to auto.",
        kind=kind,
    )


def _of_both(
    settings: RouterSettings, entry: Entry, warm: Collection[Backend], now: float, chance: float
) -> Decision:
    if entry.pin is not None:
        return Decision(backend=entry.pin, reason=f"{entry.pin}: pinned by an administrator")
    if broken := _around_breaker(settings, entry, now):
        return broken
    first = settings.preferred
    second = _other(first)
    weighed: Weighed = {each: _told(entry.of(each)) for each in (first, second)}
    if not entry.begun(first):
        why = f"both can, and {'native is preferred' if first == 'native' else 'prefer_native is off'}"
        return Decision(backend=first, reason=f"{first}: {why}", figures=weighed)
    if second not in warm and not entry.begun(second):
        return Decision(
            backend=first, reason=f"{first}: {second} is not measured yet", figures=weighed
        )
    if min(entry.begun(first), entry.begun(second)) < LEARN:
        least = min((first, second), key=entry.begun)
        number = entry.begun(least) + 1
        reason = f"{least}: call {number} of {LEARN} to measure it"
        return Decision(backend=least, reason=reason, figures=weighed)
    return _better(first, second, entry, warm, weighed, chance)


def _around_breaker(settings: RouterSettings, entry: Entry, now: float) -> Decision | None:
    """The decision when a backend fails in a row; None while neither does."""
    states = {
        each: entry.of(each).breaker(now)
        for each in (settings.preferred, _other(settings.preferred))
    }
    if set(states.values()) == {"closed"}:
        return None
    for backend, state in states.items():
        if state == "half_open" and backend not in entry.probing:
            failing = entry.of(backend).failing
            reason = f"{backend}: tried again after {failing} failures in a row"
            return Decision(backend=backend, reason=reason, probe=True)
    for backend, state in states.items():
        if state == "closed":
            failing = entry.of(_other(backend)).failing
            reason = f"{backend}: {_other(backend)} failed {failing} times in a row"
            return Decision(backend=backend, reason=reason)
    reason = f"{settings.preferred}: both fail, and it is preferred"
    return Decision(backend=settings.preferred, reason=reason)


def _better(
    first: Backend,
    second: Backend,
    entry: Entry,
    warm: Collection[Backend],
    weighed: Weighed,
    chance: float,
) -> Decision:
    scores = {each: score(entry.of(each)) for each in (first, second)}
    best, worse = (second, first) if scores[second] * MARGIN < scores[first] else (first, second)
    said = f"{_words(entry.of(best))}, {worse} {_words(entry.of(worse))}"
    if worse in warm and chance < exploring(scores[best], scores[worse]):
        return Decision(
            backend=worse, reason=f"{worse}: asked to keep its figures fresh", figures=weighed
        )
    return Decision(backend=best, reason=f"{best}: {said}", figures=weighed)


def score(figures: Figures) -> float:
    """Seconds that an answer is expected to cost, failures and dollars counted in. Less is better."""
    failed = min(figures.error_rate, _WORST_RATE)
    attempt = figures.seconds + figures.cost * DOLLAR_SECONDS
    return (attempt + failed * FAILURE_SECONDS) / (1 - failed)


def exploring(best: float, worse: float) -> float:
    """How often to ask the worse one: so that it costs at most EXPLORATION of the time."""
    excess = worse / max(best, 1e-9) - 1
    return MOST_EXPLORED if excess <= 0 else min(MOST_EXPLORED, EXPLORATION / excess)


def _told(figures: Figures) -> dict[str, Any]:
    return {
        "calls": figures.calls,
        "seconds": figures.seconds,
        "error_rate": figures.error_rate,
        "cost": figures.cost,
    }


def _words(figures: Figures) -> str:
    seconds = figures.seconds
    took = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
    errors = f", {figures.error_rate:.0%} errors" if figures.error_rate >= 0.005 else ""
    return f"{took}{errors}"


def _other(backend: Backend) -> Backend:
    return "dspy" if backend == "native" else "native"


def other_backend(
    failed: Backend, *, able: Collection[Backend], settings: RouterSettings
) -> Decision | None:
    """The backend to turn to after `failed` gave up, or None."""
    other = _other(failed)
    if other not in able or (other == "dspy" and not settings.fallback_to_python):
        return None
    return Decision(backend=other, reason=f"{other}: fallback after {failed} failed")


# What says nothing of a backend: the step's own input or config, or what a person must mend.
_NOT_ITS_FAULT = frozenset({"invalid_input", "invalid_config", "operation_not_found", "cancelled"})


def counts(error: BaseException) -> bool:
    """Whether a failed attempt is held against its backend."""
    if not isinstance(error, Exception) or isinstance(error, Parked):
        return False
    if not isinstance(error, RunnerError):
        return True
    failure = getattr(error, "failure", None)
    code = failure.code if failure is not None else error.code
    return not error.suspends and code not in _NOT_ITS_FAULT


class Router:
    """Decides for the runs of one project, and learns from how they went."""

    def __init__(
        self,
        settings: RouterSettings | None = None,
        figures: FigureStore | None = None,
        *,
        scope: str = "",
        default_lm: str = "",
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or RouterSettings()
        self.figures = figures or MemoryFigures()
        self._scope = scope
        self._default_lm = default_lm
        self._clock = clock
        self._chance = chance

    def subject(self, kind: str, config: Any) -> Subject:
        """What a node's figures are about. Of search it is the collection in the signature's place."""
        lm = getattr(config, "lm", None) or self._default_lm if hasattr(config, "lm") else ""
        signature = getattr(config, "signature", "") or getattr(config, "collection", "")
        return Subject(self._scope, kind, signature, lm)

    def choose(
        self,
        kind: str,
        subject: Subject,
        wanted: str,
        able: Collection[Backend],
        warm: Collection[Backend],
    ) -> Decision:
        """`decide`, with the figures as they are now."""
        return decide(
            kind,
            wanted=wanted,
            able=able,
            settings=self.settings,
            entry=self.figures.entry(subject),
            warm=warm,
            now=self._clock(),
            chance=self._chance(),
        )

    def begin(self, subject: Subject, decision: Decision) -> None:
        """An attempt begins on the decision's backend."""
        entry = self.figures.entry(subject)
        entry.under_way[decision.backend] = entry.under_way.get(decision.backend, 0) + 1
        if decision.probe:
            entry.probing.add(decision.backend)

    def end(
        self,
        subject: Subject,
        decision: Decision,
        *,
        seconds: float,
        error: BaseException | None = None,
        cost: float = 0.0,
        timed: bool = True,
    ) -> None:
        """The attempt is over. What says nothing of the backend is only taken off those under way."""
        entry = self.figures.entry(subject)
        entry.under_way[decision.backend] -= 1
        if decision.probe:
            entry.probing.discard(decision.backend)
        if error is not None and not counts(error):
            return
        outcome = Outcome(
            seconds=seconds,
            at=self._clock(),
            failed=error is not None,
            cost=cost,
            timed=timed or error is not None,
        )
        self.figures.add(subject, decision.backend, outcome)
