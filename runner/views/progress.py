"""How far maps, reduces and loops have come: what their events told beforehand, and the steps in them.
The canvas and the run's panel count the same from the events (`static/src/run/progress.ts`)."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.engine.events import EventType, RunStatus, StepStatus
from runner.models import Event, Run, Step

CONTAINERS = ("map", "reduce", "loop")
_ENDS = (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` has those items in it that failed; of a loop it is the round."""

    done: int
    total: int
    failed: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A step in a container. `ended`: it won't be done again."""

    path: str
    ended: bool


@dataclass(slots=True)
class Told:
    """What a container's events say: `times`, `steps`, and the items that failed since it began last."""

    times: int
    steps: int
    loops: bool
    failed: set[int] = field(default_factory=set)


def progress_of(run: Run, containers: list[Step], inner: Iterable[Inner]) -> dict[str, Progress]:
    """By path, of those whose events tell it: a run of before told nothing. One query."""
    if not containers:
        return {}
    events = Event.objects.filter(
        run=run,
        type__in=(EventType.STEP_STARTED, EventType.TRACE),
        step__in=[step.path for step in containers],
        seq__gte=min(step.first_seq for step in containers),
        seq__lte=max(step.last_seq for step in containers),
    )
    rows = events.order_by("seq").values_list("type", "step", "data")
    return counted(_told((type_, path, json.loads(data)) for type_, path, data in rows), inner)


def inner_of(run: Run, path: str = "") -> list[Inner]:
    """The steps in all containers of the run, or in this one."""
    rows = Step.objects.filter(run=run)
    rows = rows.filter(path__startswith=f"{path}[") if path else rows.filter(path__contains="]/")
    found = rows.values_list("path", "status", "failure_code")
    return [inner(run, each, status, code) for each, status, code in found]


def inner(run: Run, path: str, status: str, failure_code: str) -> Inner:
    """One that was cut off, by the run's end or for want of what a person must mend, is done again."""
    mended = run.status == RunStatus.SUSPENDED and path == run.failed_step
    stopped = status == StepStatus.CANCELLED and bool(failure_code)
    return Inner(path=path, ended=stopped or (status in _ENDS and not mended))


def _told(events: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for type_, path, data in events:
        if type_ == EventType.STEP_STARTED and "times" in data:
            told[path] = Told(data["times"], data["steps"], data["kind"] == "loop")
        elif data.get("name") == "item_failed" and path in told:
            told[path].failed.add(data["index"])
    return told


def counted(told: Mapping[str, Told], inner: Iterable[Inner]) -> dict[str, Progress]:
    ended: dict[str, dict[int, int]] = defaultdict(dict)
    for step in inner:
        way, _, index = step.path.rpartition("/")[0].removesuffix("]").rpartition("[")
        if way in told and index.isdecimal():
            ended[way][int(index)] = ended[way].get(int(index), 0) + step.ended
    return {path: _progress(each, ended[path]) for path, each in told.items()}


def _progress(told: Told, ended: Mapping[int, int]) -> Progress:
    failed = len(told.failed)
    if told.loops:
        begun = max(ended, default=-1) + 1
        says = f"Round {begun} of {told.times}"
        return Progress(done=begun, total=told.times, failed=failed, text=says)
    whole = {index for index, count in ended.items() if count >= told.steps}
    done = len(whole | told.failed)
    says = f"{done} of {told.times}" + (f", {failed} failed" if failed else "")
    return Progress(done=done, total=told.times, failed=failed, text=says)
