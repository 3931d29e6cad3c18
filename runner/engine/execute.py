"""The loop that runs a plan.

There is no central scheduler: whoever ends a step counts down the steps that wait for it and goes on
with the first that is ready; further ready ones get tasks of their own. A chain of steps is so one
task and costs no scheduling at all, and steps that do not depend on each other overlap as soon as one
of them awaits. A task group per scope ends everything in the scope when one step stops the run.

The alternatives cost more for the same meaning: a task per step is about 8 µs each, a ready queue
with a supervising loop adds a hand-over per step.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.engine.attempts import Attempts, Outputs, in_time
from runner.engine.control import CONTROLS
from runner.engine.errors import (
    Failure,
    InvalidInput,
    OutputNotProduced,
    RunnerError,
    StepTimeout,
    failure_of,
)
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.executor import Call, Executor
from runner.engine.inputs import check_inputs
from runner.engine.journal import Journal
from runner.engine.plan import Plan, PlannedStep, cause_of_skip, gather
from runner.engine.router import RouterSettings


class StepStopped(Exception):
    """A step failed for good and its policy stops the run. Carries the failure outwards."""

    def __init__(self, path: str, failure: Failure, *, suspends: bool = False) -> None:
        super().__init__(failure.message)
        self.path = path
        self.failure = failure
        self.suspends = suspends


@dataclass(slots=True)
class Tally:
    """Tokens and US dollars that LM calls reported."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    lm_calls: int = 0

    def add(self, usage: Mapping[str, Any]) -> None:
        self.input_tokens += usage["input_tokens"]
        self.output_tokens += usage["output_tokens"]
        self.cost += usage["cost"]
        self.lm_calls += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "lm_calls": self.lm_calls,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `errors` lists the failures that did not stop it, each with its step."""

    status: RunStatus
    outputs: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    failure: Failure | None = None
    failed_step: str = ""


@dataclass(slots=True)
class _Scope:
    """One level in work: the top, or one item of a map."""

    plan: Plan
    prefix: str
    outputs: dict[str, Outputs]
    waits: dict[str, int]
    group: asyncio.TaskGroup


class Execution:
    """One run of one plan. Use once: `await Execution(...).run(inputs)`; cancel the task to cancel
    the run. The same object is the observer of its calls."""

    def __init__(
        self,
        plan: Plan,
        *,
        run_id: str,
        executors: Sequence[Executor],
        journal: Journal,
        on_chunk: Callable[[Chunk], None],
        router: RouterSettings | None = None,
        recorded: Mapping[str, Outputs] | None = None,
        deadline: float | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`recorded` gives the outputs of steps that an earlier runner finished, by path: they are
        taken, not run. `deadline` is in the event loop's time."""
        self.plan = plan
        self.run_id = run_id
        self.journal = journal
        self.recorded = recorded or {}
        self.deadline = deadline
        self.chunk = on_chunk
        self.clock = clock
        self.attempts = Attempts(
            run_id=run_id,
            executors={executor.backend: executor for executor in executors},
            router=router or RouterSettings(),
            deadline=deadline,
            chance=chance,
            observer=self,
            emit=self.emit,
        )
        self.seq = 0
        self.errors: list[dict[str, Any]] = []
        self.total = Tally()
        self.tallies: dict[str, Tally] = {}
        self.loop = asyncio.get_running_loop()

    # Events

    def emit(self, type_: EventType, step: str = "", attempt: int = 0, **data: Any) -> None:
        self.seq += 1
        self.journal.append(
            Event(
                run_id=self.run_id,
                seq=self.seq,
                type=type_,
                at=self.clock(),
                step=step,
                attempt=attempt,
                data=data,
            )
        )

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        """What a backend or the gateway reports about an attempt (the Observer's side)."""
        if type_ is EventType.LM_CALL:
            self.total.add(data["usage"])
            self.tallies.setdefault(call.path, Tally()).add(data["usage"])
        self.emit(type_, call.path, call.attempt, **data)

    # The run

    async def run(self, inputs: Mapping[str, Any]) -> Outcome:
        """Run to the end and say how it ended; only cancellation is raised, after its event."""
        self.emit(EventType.RUN_STARTED, inputs=dict(inputs))
        started = self.loop.time()
        try:
            outcome = await self._within_deadline(inputs)
        except asyncio.CancelledError:
            self._finish(Outcome(status=RunStatus.CANCELLED, errors=self.errors), started)
            await self.journal.commit()
            raise
        self._finish(outcome, started)
        await self.journal.commit()
        return outcome

    async def _within_deadline(self, inputs: Mapping[str, Any]) -> Outcome:
        try:
            async with asyncio.timeout_at(self.deadline):
                outputs = await self._run_scope(self.plan, "", check_inputs(self.plan, inputs))
        except StepStopped as stop:
            status = RunStatus.SUSPENDED if stop.suspends else RunStatus.FAILED
            return self._ended(status, stop.failure, stop.path)
        except RunnerError as error:
            return self._ended(RunStatus.FAILED, failure_of(error))
        except TimeoutError:
            return self._ended(
                RunStatus.FAILED, failure_of(StepTimeout("The run's deadline has passed."))
            )
        return Outcome(status=RunStatus.SUCCEEDED, outputs=outputs, errors=self.errors)

    def _ended(self, status: RunStatus, failure: Failure, step: str = "") -> Outcome:
        return Outcome(status=status, failure=failure, failed_step=step, errors=self.errors)

    def _finish(self, outcome: Outcome, started: float) -> None:
        self.emit(
            EventType.RUN_FINISHED,
            status=outcome.status,
            outputs=outcome.outputs,
            errors=outcome.errors,
            failure=outcome.failure,
            failed_step=outcome.failed_step,
            usage=self.total.as_dict(),
            seconds=self.loop.time() - started,
        )

    # Scopes

    async def _run_scope(self, plan: Plan, prefix: str, given: Outputs) -> dict[str, Any]:
        """Run one level and give its results by name. Raises StepStopped."""
        outputs: dict[str, Outputs] = {plan.input_id: given} if plan.input_id else {}
        try:
            async with asyncio.TaskGroup() as group:
                scope = _Scope(plan, prefix, outputs, dict(plan.waits), group)
                if plan.roots:
                    await self._follow_all(scope, plan.roots)
        except BaseExceptionGroup as errors:
            raise _first_error(errors) from None
        return self._results(plan, outputs)

    async def _follow_all(self, scope: _Scope, ready: Sequence[str]) -> None:
        for step_id in ready[1:]:
            scope.group.create_task(self._follow(scope, step_id))
        await self._follow(scope, ready[0])

    async def _follow(self, scope: _Scope, step_id: str) -> None:
        """Run a step, then what it made ready: the first here, the others in tasks."""
        while True:
            scope.outputs[step_id] = await self._step(scope, scope.plan.steps[step_id])
            ready = []
            for dependent in scope.plan.dependents[step_id]:
                scope.waits[dependent] -= 1
                if not scope.waits[dependent]:
                    ready.append(dependent)
            if not ready:
                return
            step_id = ready[0]
            for other in ready[1:]:
                scope.group.create_task(self._follow(scope, other))

    def _results(self, plan: Plan, outputs: Mapping[str, Outputs]) -> dict[str, Any]:
        results = gather(plan.results, outputs)
        for port, sources in plan.results:
            if port.name not in results:
                if port.required:
                    raise OutputNotProduced(
                        f"The output '{port.name}' was not produced: "
                        f"{', '.join(f'{node}.{name}' for node, name in sources)} has no value.",
                        output=port.name,
                    )
                results[port.name] = port.default
        return results

    # Steps

    async def _step(self, scope: _Scope, step: PlannedStep) -> Outputs:
        """Run one step; its live outputs by port. A skipped step, or a failed one that does not
        stop the run, has none."""
        path = scope.prefix + step.node.id
        if path in self.recorded:
            return self.recorded[path]
        if cause := cause_of_skip(step, scope.outputs):
            self.emit(EventType.STEP_SKIPPED, path, cause=cause)
            return {}
        inputs = gather(step.sources, scope.outputs)
        self.emit(EventType.STEP_STARTED, path, kind=step.node.kind, inputs=inputs)
        started = self.loop.time()
        try:
            outputs = await self._perform(step, path, inputs)
        except asyncio.CancelledError:
            self.emit(EventType.STEP_CANCELLED, path, seconds=self.loop.time() - started)
            raise
        except Exception as error:
            outputs = self._failed(step, path, error, self.loop.time() - started)
        else:
            self._succeeded(path, outputs, self.loop.time() - started)
        await self.journal.commit()
        return outputs

    def _succeeded(self, path: str, outputs: Outputs, seconds: float) -> None:
        tally = self.tallies.pop(path, None)
        self.emit(
            EventType.STEP_SUCCEEDED,
            path,
            outputs=outputs,
            seconds=seconds,
            usage=tally.as_dict() if tally else None,
        )

    def _failed(self, step: PlannedStep, path: str, error: Exception, seconds: float) -> Outputs:
        """Record the failure; the step's outputs when its policy lets the run go on."""
        stop = _stop_for(path, error)
        failure = stop.failure
        tally = self.tallies.pop(path, None)
        self.emit(
            EventType.STEP_FAILED,
            path,
            failure=failure,
            seconds=seconds,
            usage=tally.as_dict() if tally else None,
        )
        if stop.suspends or step.policy.on_error in ("stop", "fallback_backend"):
            raise stop
        self.errors.append({"step": path, "code": failure.code, "message": failure.message})
        if step.policy.on_error == "fallback_value":
            return step.policy.fallback or {}
        return {}

    async def _perform(self, step: PlannedStep, path: str, inputs: dict[str, Any]) -> Outputs:
        if step.node.kind == "map":
            return await in_time(self._map(step, path, inputs), step.policy.timeout, path)
        if control := CONTROLS.get(step.node.kind):
            return control(step.config, inputs)
        return await self.attempts.run(step, path, inputs)

    # Map

    async def _map(self, step: PlannedStep, path: str, inputs: dict[str, Any]) -> Outputs:
        """Run the body once per item; lists in the order of the items."""
        items = inputs["items"]
        if not isinstance(items, list):
            raise InvalidInput(
                f"Map needs a list on its port 'items'; it got {type(items).__name__}."
            )
        assert step.body is not None
        others = {name: value for name, value in inputs.items() if name != "items"}
        results: list[dict[str, Any] | None] = [None] * len(items)
        failed: list[int] = []

        async def run_item(index: int) -> None:
            given = {**others, step.config.item: items[index]}
            assert step.body is not None
            try:
                results[index] = await self._run_scope(step.body, f"{path}[{index}]/", given)
            except (StepStopped, OutputNotProduced) as error:
                self._item_failed(step, path, index, error)
                failed.append(index)

        await _each(run_item, len(items), step.config.concurrency)
        if failed:
            self.emit(EventType.TRACE, path, name="failed_items", indexes=sorted(failed))
        return {
            port.name: [None if result is None else result[port.name] for result in results]
            for port, _ in step.body.results
        }

    def _item_failed(
        self, step: PlannedStep, path: str, index: int, error: StepStopped | OutputNotProduced
    ) -> None:
        """Raise when the failure ends the map, else list it on the run."""
        stop = _stop_for(f"{path}[{index}]", error)
        if step.config.on_item_error == "stop" or stop.suspends:
            raise stop
        failure = stop.failure
        self.errors.append(
            {
                "step": f"{path}[{index}]",
                "code": failure.code,
                "message": failure.message,
                "item": index,
            }
        )


def _first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a task group. The group lists them in the order in which tasks ended; what
    suspends a run goes before what fails it."""
    flat: list[BaseException] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions
        else:
            flat.append(error)
    return next(
        (error for error in flat if isinstance(error, StepStopped) and error.suspends), flat[0]
    )


def _stop_for(path: str, error: Exception) -> StepStopped:
    """What stops the run, should it: a failed item of a map keeps the path of the step inside."""
    if isinstance(error, StepStopped):
        return error
    suspends = isinstance(error, RunnerError) and error.suspends
    return StepStopped(path, failure_of(error), suspends=suspends)


async def _each(work: Callable[[int], Awaitable[None]], count: int, concurrency: int) -> None:
    """Call `work` for 0 … count-1, `concurrency` at once; the first error cancels the others."""
    indexes = iter(range(count))

    async def drain() -> None:
        for index in indexes:
            await work(index)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, count)):
                group.create_task(drain())
    except BaseExceptionGroup as errors:
        raise _first_error(errors) from None
