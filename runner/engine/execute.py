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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pipelines.graph.graph import Backend
from pipelines.graph.kinds.approve import APPROVE, VALUE, Approve
from runner.engine.attempts import Attempts, Outputs, in_time
from runner.engine.containers import Containers, extent
from runner.engine.control import CONTROLS
from runner.engine.doubts import Doubts
from runner.engine.errors import (
    Failure,
    OutputNotProduced,
    RunnerError,
    RunTimeout,
    WorkerLost,
    failure_of,
)
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.executor import Call, Executor
from runner.engine.identity import Identities, Identity
from runner.engine.inputs import check_inputs
from runner.engine.journal import Journal
from runner.engine.partial import Taking
from runner.engine.plan import Plan, PlannedStep, cause_of_skip, gather
from runner.engine.resuming import Begun, Earlier
from runner.engine.router import Router
from runner.engine.step_store import PINNED, Taken
from runner.engine.stopping import StoppedByUser
from runner.engine.stops import Parked, StepStopped, first_error, stop_for
from runner.engine.tally import Tally
from runner.engine.tool_steps import ToolSteps
from runner.engine.waits import RunControl, answered

REST = 0.05
"""Seconds after which a run that only waits for people gives its place up."""


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
    """One level in work: the top, or one run of a body."""

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
        router: Router | None = None,
        recorded: Mapping[str, Outputs] | None = None,
        earlier: Earlier | None = None,
        taking: Taking | None = None,
        identities: Identities | None = None,
        deadline: float | None = None,
        control: RunControl | None = None,
        prefix: str = "",
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`recorded` gives the outputs of steps that an earlier runner finished, by path: they are
        taken, not run; `earlier` says what else it left. `taking` says what it may take of other runs;
        with `identities` its own steps can be taken later. `deadline` is in the event loop's time.
        `control` answers what steps ask. `prefix` goes before the paths of a run within a step."""
        self.plan = plan
        self.run_id = run_id
        self.journal = journal
        self.recorded = recorded or {}
        self.earlier = earlier or Earlier()
        self.taking = taking
        self.identities = identities
        self.deadline = deadline
        self.prefix = prefix
        self.chunk = on_chunk
        self.clock = clock
        self.attempts = Attempts(
            run_id=run_id,
            executors={executor.backend: executor for executor in executors},
            router=router or Router(),
            deadline=deadline,
            chance=chance,
            observer=self,
            emit=self.emit,
        )
        self.control = control or RunControl()
        self.seq = 0
        self.busy = 0  # steps in work that wait neither for a person nor for steps of their own
        self.errors: list[dict[str, Any]] = []
        self.doubts = Doubts(run=self)
        self.tool_steps = ToolSteps(run=self)
        self.stops = self.control.stops
        self.containers = Containers(
            run_scope=self._run_scope, stops=self.stops, emit=self.emit, errors=self.errors
        )
        self.total = Tally()
        self.tallies: dict[str, Tally] = {}
        self.loop = asyncio.get_running_loop()

    def release(self) -> None:
        """Let go, after the run, of what points back here, so that nothing of it waits for Python's
        collector of cycles."""
        del self.attempts, self.containers, self.doubts, self.tool_steps

    # Events

    def emit(self, type_: EventType, step: str = "", attempt: int = 0, **data: Any) -> float:
        """Tell the next event; its time."""
        self.seq += 1
        at = self.clock()
        self.journal.append(
            Event(
                run_id=self.run_id,
                seq=self.seq,
                type=type_,
                at=at,
                step=step,
                attempt=attempt,
                data=data,
            )
        )
        return at

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
                given = check_inputs(self.plan, inputs)
                outputs = await self._run_scope(self.plan, self.prefix, given)
        except Parked:
            if doubt := self.doubts.failure():
                return self._ended(RunStatus.SUSPENDED, doubt[1], doubt[0])
            return Outcome(status=RunStatus.WAITING, errors=self.errors)
        except StepStopped as stop:
            return self._ended(stop.run_status, stop.failure, stop.path)
        except RunnerError as error:
            return self._ended(RunStatus.FAILED, failure_of(error))
        except TimeoutError:
            return self._ended(RunStatus.FAILED, failure_of(RunTimeout()))
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
            raise first_error(errors) from None
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
        if plan.result_of:
            return dict(outputs[plan.result_of])
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
        if self.taking and path in self.taking.pins:
            return self._take(step, path, {}, Taken(origin=PINNED, outputs=self.taking.pins[path]))
        if cause := cause_of_skip(step, scope.outputs):
            self.emit(EventType.STEP_SKIPPED, path, cause=cause)
            return {}
        if (failure := self.earlier.failures.get(path)) is not None:
            return self._go_on_after(step, StepStopped(path, failure), path)
        inputs = gather(step.sources, scope.outputs)
        known = await self.identities.of(step, path, inputs) if self.identities else None
        if known and self.taking and self.taking.may_take(path):
            identities = [known.on(backend) for backend in self.attempts.permitted(step)]
            if taken := await self.taking.store.find(identities, self.taking.base):
                return self._take(step, path, inputs, taken)
        return await self._work(step, path, inputs, known)

    def _take(self, step: PlannedStep, path: str, inputs: Outputs, taken: Taken) -> Outputs:
        """Record that outputs of another run, or of a person, stand for this step's."""
        self.emit(EventType.STEP_STARTED, path, kind=step.node.kind, inputs=dict(inputs))
        self._succeeded(path, taken.outputs, 0.0, taken.identity, taken.origin)
        return taken.outputs

    async def _work(
        self, step: PlannedStep, path: str, inputs: dict[str, Any], known: Identity | None
    ) -> Outputs:
        started, before = self.loop.time(), len(self.errors)
        if self.earlier.begun:
            started -= self._waited(step, path)
        self.busy += 1
        try:
            try:
                outputs, backend = await self._begun(step, path, inputs)
                await self.journal.check(outputs)
            except (asyncio.CancelledError, Parked):
                if not self.control.parked:
                    self.emit(EventType.STEP_CANCELLED, path, seconds=self.loop.time() - started)
                raise
            except Exception as error:
                outputs = self._failed(step, path, error, self.loop.time() - started)
            else:
                whole = known is not None and not self._failed_within(path, before)
                identity = known.on(backend) if known and whole else ""
                self._succeeded(path, outputs, self.loop.time() - started, identity)
            await self.journal.commit()
        finally:
            self.busy -= 1
            if self.control.asks:
                self.rest_soon()
        return outputs

    def _failed_within(self, path: str, before: int) -> bool:
        """Whether what a container gives lacks what failed in it, and was let fail."""
        inside = (f"{path}/", f"{path}[")
        return any(error["step"].startswith(inside) for error in self.errors[before:])

    def _succeeded(
        self, path: str, outputs: Outputs, seconds: float, identity: str, taken_from: str = ""
    ) -> None:
        tally = self.tallies.pop(path, None)
        self.emit(
            EventType.STEP_SUCCEEDED,
            path,
            outputs=outputs,
            seconds=seconds,
            usage=tally.as_dict() if tally else None,
            identity=identity,
            taken_from=taken_from,
        )

    def _failed(self, step: PlannedStep, path: str, error: Exception, seconds: float) -> Outputs:
        """Record the failure; the step's outputs when its policy lets the run go on."""
        stop = stop_for(path, error)
        failure = stop.failure
        tally = self.tallies.pop(path, None)
        stopped = failure.code == StoppedByUser.code  # the step, or what it could not do without
        if stopped:
            failure = msgspec.structs.replace(failure, traceback="")  # it explains nothing
        self.emit(
            EventType.STEP_CANCELLED if stopped else EventType.STEP_FAILED,
            path,
            failure=failure,
            seconds=seconds,
            usage=tally.as_dict() if tally else None,
            suspends=stop.suspends,
        )
        return self._go_on_after(step, stop, path)

    def _go_on_after(self, step: PlannedStep, stop: StepStopped, path: str) -> Outputs:
        if stop.suspends or step.policy.on_error in ("stop", "fallback_backend"):
            raise stop
        failure = stop.failure
        self.errors.append({"step": path, "code": failure.code, "message": failure.message})
        if step.policy.on_error == "fallback_value":
            return step.policy.fallback or {}
        return {}

    async def _begun(
        self, step: PlannedStep, path: str, inputs: dict[str, Any]
    ) -> tuple[Outputs, Backend]:
        """Begin the step, and bring it to its end. One with side effects that may have happened
        already is begun when a person says so."""
        begun = self.earlier.begun.get(path)
        once = step.policy.retry == "never" and step.kind.routed
        in_doubt = once and begun is not None and begun.in_doubt
        while True:
            if in_doubt and begun is not None:
                with self.stops.stoppable(path):
                    settled = await self.doubts.settled(path, step.node.kind, begun)
                if settled is not None:
                    return settled, "engine"
            at = self._begin(step, path, inputs, begun)
            try:
                with self.stops.stoppable(path):
                    if once:  # that it began must be known before it does anything
                        await self.journal.commit()
                    return await self._perform(step, path, inputs, begun)
            except WorkerLost:
                if not once:
                    raise
                begun, in_doubt = replace(begun or Begun(at=at), at=at), True

    def _begin(
        self, step: PlannedStep, path: str, inputs: dict[str, Any], begun: Begun | None
    ) -> float:
        """Tell that it begins; when. A person who was asked already is not asked anew."""
        kind = step.node.kind
        if step.body is not None:
            told = extent(step, inputs)
            return self.emit(EventType.STEP_STARTED, path, kind=kind, inputs=inputs, **told)
        if begun is not None and kind == APPROVE.name:
            return begun.at
        return self.emit(EventType.STEP_STARTED, path, kind=kind, inputs=inputs)

    def _waited(self, step: PlannedStep, path: str) -> float:
        """Seconds that a person has been asked already, before this runner had the run."""
        begun = self.earlier.begun.get(path) if step.node.kind == APPROVE.name else None
        return max(0.0, self.clock() - begun.at) if begun else 0.0

    async def _perform(
        self, step: PlannedStep, path: str, inputs: dict[str, Any], begun: Begun | None
    ) -> tuple[Outputs, Backend]:
        if control := CONTROLS.get(step.node.kind):
            return control(step.config, inputs), "engine"
        if step.body is None and step.node.kind != APPROVE.name:
            return await self.attempts.run(step, path, inputs, begun)
        self.busy -= 1  # what it waits for counts itself
        try:
            if step.body is None:
                return await self._approve(step, path, inputs, begun), "engine"
            work = self.containers.run(step, path, inputs)
            return await in_time(work, step.policy.timeout, path), "engine"
        finally:
            self.busy += 1

    # Waiting for a person

    async def _approve(
        self, step: PlannedStep, path: str, inputs: dict[str, Any], begun: Begun | None
    ) -> Outputs:
        config: Approve = step.config
        since: dict[str, Any] = {"kind": APPROVE.name, "begun_at": begun.at} if begun else {}
        answer = self.control.answers.get(path)
        if answer is None:
            asked = {"question": config.question, "editable": config.editable, **since}
            self.emit(EventType.STEP_WAITING, path, **asked)
            self.rest_soon()
            answer = await self.control.wait(path)
        self.emit(
            EventType.STEP_ANSWERED,
            path,
            approved=answer.approved,
            comment=answer.comment,
            by=answer.by,
            **since,
        )
        return answered(config, inputs[VALUE], answer)

    def rest_soon(self) -> None:
        """Look in a moment whether people are all that the run waits for: whatever was just made
        ready has begun by then, and told so."""
        self.loop.call_later(REST, self._rest, self.seq)

    def _rest(self, seq: int) -> None:
        if self.busy or not self.control.asks:
            return  # whoever ends a step next looks again
        if seq == self.seq:
            self.control.park()
        else:
            self.rest_soon()
