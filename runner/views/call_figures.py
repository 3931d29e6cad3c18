"""LM calls of a run as its charts need them: when, how much, from where. Without prompts and answers."""

from collections.abc import Iterable
from typing import Any

import msgspec

from runner.engine.events import EventType
from runner.models import Event, Run, Step

MOST = 400
"""Calls of one run that its charts show."""
CACHE = "response_cache"
WORTH_SAYING = 0.01
"""Seconds in line from which they are said."""


class CallFigures(msgspec.Struct, frozen=True):
    """`at` is when it ended, in seconds since 1970. `waited` is seconds in line for the profile's limits,
    `rejected` how many answers were not accepted."""

    step: str
    epoch: int
    attempt: int
    at: float
    model: str
    source: str
    seconds: float
    first_token: float | None
    tokens: int
    waited: float
    rejected: int
    failed: bool

    @property
    def begin(self) -> float:
        return self.at - self.seconds


class _Stored(msgspec.Struct):
    """What of an event's data is read; the rest, which is long, is passed over."""

    model: str = ""
    profile: str = ""
    source: str = ""
    seconds: float = 0.0
    first_token_s: float | None = None
    usage: dict[str, Any] = {}
    waited_s: float = 0.0
    rejected: list[msgspec.Raw] = []
    failure: Any = None


_decode = msgspec.json.Decoder(_Stored).decode


def calls_of(run: Run, steps: Iterable[Step]) -> dict[str, list[CallFigures]]:
    """By step. One query; none when no step can have called."""
    if not any(step.lm_calls or step.finished_at is None for step in steps):
        return {}
    rows = Event.objects.filter(run=run, type=EventType.LM_CALL).order_by("seq")
    found: dict[str, list[CallFigures]] = {}
    for step, epoch, attempt, at, data in rows.values_list(
        "step", "epoch", "attempt", "at", "data"
    )[:MOST]:
        found.setdefault(step, []).append(_figures(step, epoch, attempt, at, _decode(data)))
    return found


def _figures(step: str, epoch: int, attempt: int, at: float, stored: _Stored) -> CallFigures:
    usage = stored.usage
    return CallFigures(
        step=step,
        epoch=epoch,
        attempt=attempt,
        at=at,
        model=stored.model or stored.profile,
        source=stored.source,
        seconds=stored.seconds,
        first_token=stored.first_token_s,
        tokens=int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0),
        waited=stored.waited_s,
        rejected=len(stored.rejected),
        failed=stored.failure is not None,
    )


def all_from_cache(step: Step, calls: list[CallFigures]) -> bool:
    """Whether the step succeeded on stored answers alone."""
    return (
        step.status == "succeeded"
        and 0 < step.lm_calls == len(calls)
        and all(call.source == CACHE for call in calls)
    )
