"""What an earlier runner left of a run, read from the events that it recorded.

A step that had begun goes on in the attempt that it was in and on the backend that it was on: only so
do its calls to language models meet the answers that were paid for. One that had failed for good is not
tried again, as the run would not have tried it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec

from pipelines.graph.graph import Backend
from runner.engine.errors import Failure
from runner.engine.events import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A step that has not ended. `at` is when it began last, in seconds since the epoch; `in_doubt` says
    that nobody knows what came of it: it may have done all of its work, or none. `inputs` are those of a
    tool call, with None for each that was put aside."""

    at: float
    attempt: int = 1
    backend: Backend | None = None
    tries: int = 0  # on this backend, that failed
    fell_back: bool = False
    in_doubt: bool = True
    inputs: Mapping[str, Any] | None = None

    @property
    def number(self) -> str:
        """Tells this beginning of the step from its others."""
        return str(round(self.at * 1e6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Steps by path: those that had begun, and those that had failed without suspending the run."""

    begun: Mapping[str, Begun] = field(default_factory=lambda: MappingProxyType({}))
    failures: Mapping[str, Failure] = field(default_factory=lambda: MappingProxyType({}))


TOOL = "tool"
"""The kind of a step that is a tool's call (`runner.engine.tool_steps`)."""

type Told = tuple[EventType, str, float, Mapping[str, Any]]
"""An event's type, step, time and data."""

TELLS = (
    *(EventType.STEP_STARTED, EventType.STEP_ROUTED, EventType.ATTEMPT_FAILED),
    *(EventType.STEP_WAITING, EventType.STEP_ANSWERED, EventType.STEP_FAILED),
    *(EventType.STEP_SUCCEEDED, EventType.STEP_SKIPPED),
)
"""The events that this reads."""


def earlier(events: Iterable[Told]) -> Earlier:
    """What these events, in their order, leave."""
    begun: dict[str, Begun] = {}
    failures: dict[str, Failure] = {}
    routed: set[str] = set()  # since they began
    for type_, path, at, data in events:
        failures.pop(path, None)
        known = begun.get(path)
        if type_ is EventType.STEP_STARTED:
            inputs = data.get("inputs") if data.get("kind") == TOOL else None
            again = replace(known, at=at, in_doubt=True) if known else Begun(at=at)
            begun[path] = replace(again, inputs=inputs)
            routed.discard(path)
        elif type_ in (EventType.STEP_SUCCEEDED, EventType.STEP_SKIPPED):
            begun.pop(path, None)
        elif known is not None:
            begun[path] = _after(known, type_, data, again=path in routed)
            if type_ is EventType.STEP_ROUTED:
                routed.add(path)
            elif type_ is EventType.STEP_FAILED and data.get("suspends") is False:
                failures[path] = _failure(data["failure"])
            elif type_ is EventType.ATTEMPT_FAILED and "next" in data:
                # The next attempt may try again what its tools failed at.
                for inner in [each for each in failures if each.startswith(f"{path}/")]:
                    del failures[inner]
    return Earlier(begun=begun, failures=failures)


def _failure(data: Mapping[str, Any]) -> Failure:
    """Without what was too large to be kept with it, and is None."""
    kept = {name: value for name, value in data.items() if value is not None}
    return msgspec.convert({"message": "It failed; its message was too long.", **kept}, Failure)


def _after(known: Begun, type_: EventType, data: Mapping[str, Any], *, again: bool) -> Begun:
    match type_:
        case EventType.STEP_ROUTED:
            known = replace(known, backend=data["backend"], attempt=data.get("first", 1))
            return replace(known, fell_back=True, tries=0) if again else known
        case EventType.ATTEMPT_FAILED if (
            "next" in data
        ):  # else the next worker goes on with this one
            return replace(known, attempt=data["next"], tries=known.tries + 1)
        case EventType.STEP_WAITING if "begun" not in data:  # it asks before it does anything
            return replace(known, in_doubt=False)
        case EventType.STEP_ANSWERED if "begun" not in data:
            return replace(known, in_doubt=True)
        case EventType.STEP_FAILED:
            return replace(known, in_doubt=False)
    return known
