"""A run as its events tell it. The state of a run is a fold of its events, whoever keeps them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.engine.errors import Failure
from runner.engine.events import Event, EventType, RunStatus, StepStatus


@dataclass(slots=True, kw_only=True)
class StepResult:
    """One step of a run. `attempts` counts the tries; `seconds` is wall time, tries and waits in.
    `taken_from` names the run whose outputs it took, or says `pinned`."""

    path: str
    kind: str = ""
    status: StepStatus = StepStatus.RUNNING
    backend: str = "engine"
    reason: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    seconds: float = 0.0
    usage: dict[str, Any] | None = None
    failure: Failure | None = None
    cause: str = ""
    taken_from: str = ""
    lm_calls: list[dict[str, Any]] = field(default_factory=list)
    traces: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class RunResult:
    """A run: `outputs` by name, `steps` by path in the order of their start. `result["text"]` reads
    an output. `errors` lists the failures that did not stop the run."""

    run_id: str
    status: RunStatus = RunStatus.RUNNING
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, StepResult] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    failed_step: str = ""
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Any:
        try:
            return self.outputs[name]
        except KeyError:
            known = ", ".join(self.outputs) or "none"
            raise KeyError(f"The run has no output '{name}'. Outputs: {known}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __contains__(self, name: object) -> bool:
        return name in self.outputs


def fold(events: Iterable[Event]) -> RunResult:
    """The run that these events, in order, tell of."""
    result: RunResult | None = None
    for event in events:
        result = result or RunResult(run_id=event.run_id)
        take(result, event)
    if result is None:
        raise ValueError("A run has at least one event; there is none.")
    return result


def take(result: RunResult, event: Event) -> None:
    """Bring the result up to one more event."""
    data = event.data
    if event.type is EventType.RUN_STARTED:
        result.inputs = data["inputs"]
    elif event.type is EventType.RUN_FINISHED:
        for name in ("status", "outputs", "errors", "failure", "failed_step", "usage", "seconds"):
            setattr(result, name, data[name])
    else:
        step = result.steps.setdefault(event.step, StepResult(path=event.step))
        _TAKE[event.type](step, data)


def _started(step: StepResult, data: Mapping[str, Any]) -> None:
    step.kind, step.inputs = data["kind"], data["inputs"]


def _routed(step: StepResult, data: Mapping[str, Any]) -> None:
    step.backend, step.reason = data["backend"], data["reason"]


def _waiting(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status = StepStatus.WAITING


def _answered(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status = StepStatus.RUNNING
    step.traces.append({"name": "answer", **data})


def _succeeded(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status = StepStatus.SUCCEEDED
    step.outputs, step.seconds, step.usage = dict(data["outputs"]), data["seconds"], data["usage"]
    step.taken_from = data.get("taken_from", "")


def _failed(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status = StepStatus.FAILED
    step.failure, step.seconds, step.usage = data["failure"], data["seconds"], data["usage"]


def _skipped(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status, step.cause = StepStatus.SKIPPED, data["cause"]


def _cancelled(step: StepResult, data: Mapping[str, Any]) -> None:
    step.status, step.seconds = StepStatus.CANCELLED, data["seconds"]
    step.failure = data.get("failure")


def _attempt_failed(step: StepResult, data: Mapping[str, Any]) -> None:
    step.attempts += 1


def _traced(step: StepResult, data: Mapping[str, Any]) -> None:
    step.traces.append(dict(data))


def _lm_called(step: StepResult, data: Mapping[str, Any]) -> None:
    step.lm_calls.append(dict(data))


_TAKE = {
    EventType.STEP_STARTED: _started,
    EventType.STEP_WAITING: _waiting,
    EventType.STEP_ANSWERED: _answered,
    EventType.STEP_ROUTED: _routed,
    EventType.STEP_SUCCEEDED: _succeeded,
    EventType.STEP_FAILED: _failed,
    EventType.STEP_SKIPPED: _skipped,
    EventType.STEP_CANCELLED: _cancelled,
    EventType.ATTEMPT_FAILED: _attempt_failed,
    EventType.RETRACT: _traced,
    EventType.TRACE: _traced,
    EventType.LM_CALL: _lm_called,
}
