"""A run's rows, from its events: the state of steps and attempts that lists and charts read.

Rows are written whole, so what several events did to a row since the last time costs one write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from runner.engine.errors import Failure
from runner.engine.events import Event, EventType, RunStatus, StepStatus
from runner.engine.tally import Tally
from runner.models import FINAL
from runner.recorder.cursor import Row
from runner.recorder.payload import Payload, column_json, column_text, json_text
from runner.recorder.rows import moment


@dataclass(slots=True, kw_only=True)
class RunState:
    """What a runner that claimed a run has to know of it.

    `answers` is the replay log so far. `artifacts` names the inputs that were put aside. `summary` is
    the run as lists show it.
    """

    id: UUID
    project_id: UUID
    owner: str
    epoch: int
    last_seq: int = 0
    tally: Tally = field(default_factory=Tally)
    answers: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Attempt:
    number: int
    backend: str
    started_at: str
    status: StepStatus = StepStatus.RUNNING
    finished_at: str | None = None
    wait: float | None = None
    failure_code: str = ""
    failure_message: str = ""


@dataclass(slots=True)
class _Step:
    path: str
    first_seq: int
    last_seq: int = 0
    kind: str = ""
    status: StepStatus = StepStatus.RUNNING
    backend: str = ""
    reason: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    seconds: float | None = None
    usage: Mapping[str, Any] | None = None
    failure: Failure | None = None
    cause: str = ""
    identity: str = ""
    taken_from: str = ""
    attempts: list[_Attempt] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)


_NO_USAGE = Tally().as_dict()


class Projection:
    """Takes the events of one run and gives the rows that they changed."""

    def __init__(self, state: RunState) -> None:
        self.tally = state.tally
        self.last_seq = state.last_seq
        self.finish: Row | None = None
        self.status: RunStatus | None = None
        self._artifacts = state.artifacts
        self._run, self._epoch = state.id.hex, state.epoch
        self._steps: dict[str, _Step] = {}
        self._touched: dict[str, _Step] = {}

    def take(self, event: Event, stored: Payload) -> None:
        """Bring the rows up to one more event, which is stored as `stored`."""
        self.last_seq = event.seq
        if event.type is EventType.RUN_FINISHED:
            self._finished(event, stored)
        elif event.step:
            step = self._step(event)
            step.last_seq = event.seq
            if (take := _TAKE.get(event.type)) is not None:
                take(step, event.data, moment(event.at))
            elif event.type is EventType.LM_CALL:
                self.tally.add(event.data["usage"])
            if take is not None or step.kind:  # without a kind: it has ended, and is forgotten
                self._touched[event.step] = step

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def touched(self) -> int:
        """Steps whose rows `changed` would give."""
        return len(self._touched)

    def changed(self) -> tuple[list[Row], list[Row]]:
        """Rows of steps and of attempts, since last asked."""
        steps = [self._step_row(step) for step in self._touched.values()]
        attempts = [
            self._attempt_row(step, step.attempts[index])
            for step in self._touched.values()
            for index in sorted(step.changed)
        ]
        for path, step in self._touched.items():
            step.changed.clear()
            if step.finished_at is not None:
                del self._steps[path]
        self._touched.clear()
        return steps, attempts

    def _step(self, event: Event) -> _Step:
        step = self._steps.get(event.step)
        if step is None:
            step = self._steps[event.step] = _Step(event.step, event.seq)
        return step

    def _finished(self, event: Event, stored: Payload) -> None:
        data = stored.data
        self.status = RunStatus(data["status"])
        failure: Failure | None = event.data["failure"]
        self.finish = (
            self.status.value,
            column_json(data["outputs"] or {}),
            column_json(data["errors"] or []),
            json_text({**self._artifacts, **stored.aside}),
            failure.code if failure else "",
            column_text(failure.message) if failure else "",
            event.data["failed_step"],
            moment(event.at) if self.status in FINAL else None,
        )

    def _step_row(self, step: _Step) -> Row:
        usage = step.usage or _NO_USAGE
        return (
            self._run,
            step.path,
            step.first_seq,
            step.last_seq,
            step.kind,
            step.status.value,
            step.backend,
            step.reason,
            len(step.attempts),
            step.started_at,
            step.finished_at,
            step.seconds,
            usage["input_tokens"],
            usage["output_tokens"],
            usage["cost"],
            usage["lm_calls"],
            step.failure.code if step.failure else "",
            column_text(step.failure.message) if step.failure else "",
            step.cause,
            step.identity,
            step.taken_from,
        )

    def _attempt_row(self, step: _Step, attempt: _Attempt) -> Row:
        return (
            self._run,
            step.path,
            self._epoch,
            attempt.number,
            attempt.backend,
            attempt.started_at,
            attempt.status.value,
            attempt.finished_at,
            attempt.wait,
            attempt.failure_code,
            attempt.failure_message,
        )


def _started(step: _Step, data: Mapping[str, Any], at: str) -> None:
    # Also of a step that an earlier runner began, or that is begun again as its worker was lost.
    step.kind, step.status, step.started_at = data["kind"], StepStatus.RUNNING, at
    step.finished_at, step.seconds, step.failure, step.cause = None, None, None, ""


def _waiting(step: _Step, data: Mapping[str, Any], at: str) -> None:
    step.status = StepStatus.WAITING
    _begun_before(step, data)


def _answered(step: _Step, data: Mapping[str, Any], at: str) -> None:
    step.status = StepStatus.RUNNING
    _begun_before(step, data)


def _begun_before(step: _Step, data: Mapping[str, Any]) -> None:
    """Of a step in doubt, which an earlier runner began and this one may only bring to its end."""
    if "begun_at" in data:
        step.kind, step.started_at = data["kind"], moment(data["begun_at"])


def _routed(step: _Step, data: Mapping[str, Any], at: str) -> None:
    step.backend, step.reason = data["backend"], data["reason"]
    _end_attempt(step, StepStatus.FAILED, at)  # when the other backend takes over
    _begin_attempt(step, at, data.get("first", 1))


def _attempt_failed(step: _Step, data: Mapping[str, Any], at: str) -> None:
    _end_attempt(step, StepStatus.FAILED, at, data["failure"], data["wait"])
    _begin_attempt(step, at)


def _succeeded(step: _Step, data: Mapping[str, Any], at: str) -> None:
    _end(step, StepStatus.SUCCEEDED, data, at)
    step.identity, step.taken_from = data.get("identity", ""), data.get("taken_from", "")


def _failed(step: _Step, data: Mapping[str, Any], at: str) -> None:
    _end(step, StepStatus.FAILED, data, at)


def _cancelled(step: _Step, data: Mapping[str, Any], at: str) -> None:
    _end(step, StepStatus.CANCELLED, data, at)


def _skipped(step: _Step, data: Mapping[str, Any], at: str) -> None:
    step.status, step.cause, step.finished_at = StepStatus.SKIPPED, data["cause"], at


def _end(step: _Step, status: StepStatus, data: Mapping[str, Any], at: str) -> None:
    step.status, step.finished_at, step.seconds = status, at, data["seconds"]
    step.usage, step.failure = data.get("usage"), data.get("failure")
    _end_attempt(step, status, at, step.failure)


def _begin_attempt(step: _Step, at: str, first: int = 1) -> None:
    """The next attempt; `first` is the number of the first one here."""
    number = step.attempts[-1].number + 1 if step.attempts else first
    step.changed.add(len(step.attempts))
    step.attempts.append(_Attempt(number, step.backend, at))


def _end_attempt(
    step: _Step,
    status: StepStatus,
    at: str,
    failure: Failure | None = None,
    wait: float | None = None,
) -> None:
    if not step.attempts or step.attempts[-1].finished_at is not None:
        return  # control kinds have none
    attempt = step.attempts[-1]
    attempt.status, attempt.finished_at, attempt.wait = status, at, wait
    if failure is not None:
        attempt.failure_code = failure.code
        attempt.failure_message = column_text(failure.message)
    step.changed.add(len(step.attempts) - 1)


_TAKE = {
    EventType.STEP_STARTED: _started,
    EventType.STEP_WAITING: _waiting,
    EventType.STEP_ANSWERED: _answered,
    EventType.STEP_ROUTED: _routed,
    EventType.STEP_SUCCEEDED: _succeeded,
    EventType.STEP_FAILED: _failed,
    EventType.STEP_CANCELLED: _cancelled,
    EventType.STEP_SKIPPED: _skipped,
    EventType.ATTEMPT_FAILED: _attempt_failed,
}
