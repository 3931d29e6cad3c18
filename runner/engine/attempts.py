"""How a leaf step is brought to an end: routed, tried, tried again, handed to the other backend."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph.graph import Backend
from runner.engine.errors import RunnerError, StepTimeout, failure_of
from runner.engine.events import EventType
from runner.engine.executor import Call, Executor, Observer
from runner.engine.figures import Subject
from runner.engine.measuring import Measured
from runner.engine.plan import PlannedStep
from runner.engine.resuming import Begun
from runner.engine.retry import wait_before_retry
from runner.engine.router import Decision, Router, decide, other_backend

type Outputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What the attempts of one run share. `deadline` is in the event loop's time."""

    run_id: str
    executors: Mapping[Backend, Executor]
    router: Router
    deadline: float | None
    chance: Callable[[], float]
    observer: Observer
    emit: Callable[..., float]

    def able(self, step: PlannedStep) -> list[Backend]:
        """The backends that have this node."""
        return [
            name
            for name, executor in self.executors.items()
            if name in step.kind.backends and executor.can(step.node, step.config)
        ]

    def permitted(self, step: PlannedStep) -> list[Backend]:
        """Those whose outputs the step may have by its policy. The engine's own kinds have the engine."""
        if not step.kind.routed:
            return ["engine"]
        wanted = step.policy.backend
        return [name for name in self.able(step) if wanted in ("auto", name)]

    async def run(
        self, step: PlannedStep, path: str, inputs: dict[str, Any], begun: Begun | None = None
    ) -> tuple[Outputs, Backend]:
        """The step's outputs by port, and the backend that gave them; the error of its last attempt
        when it fails. One that an earlier runner began goes on where it was."""
        able = self.able(step)
        subject = self._subject(step)
        decision = _as_before(begun, able) or self._decision(step, able, subject)
        numbers = itertools.count(begun.attempt if begun else 1)
        tries = begun.tries if begun else 0
        try:
            outputs = await self._all(step, path, inputs, decision, subject, numbers, tries)
            return outputs, decision.backend
        except RunnerError as error:
            other = other_backend(decision.backend, able=able, settings=self.router.settings)
            falls_back = step.policy.on_error == "fallback_backend" and not error.suspends
            if not falls_back or other is None or (begun and begun.fell_back):
                raise
            outputs = await self._all(step, path, inputs, other, subject, numbers)
            return outputs, other.backend

    def _subject(self, step: PlannedStep) -> Subject | None:
        """What the step's figures are about; None where only one backend has the kind."""
        if len(step.kind.backends) < 2:
            return None
        return self.router.subject(step.node.kind, step.config)

    def _decision(
        self, step: PlannedStep, able: list[Backend], subject: Subject | None
    ) -> Decision:
        kind, wanted = step.node.kind, step.policy.backend
        if subject is None:
            return decide(kind, wanted=wanted, able=able, settings=self.router.settings)
        warm = [name for name in able if self.executors[name].warm]
        return self.router.choose(kind, subject, wanted, able, warm)

    async def _all(
        self,
        step: PlannedStep,
        path: str,
        inputs: dict[str, Any],
        decision: Decision,
        subject: Subject | None,
        numbers: Iterator[int],
        tries: int = 0,
    ) -> Outputs:
        """The attempts on one backend. `numbers` runs on when the other backend takes over; so many
        `tries` have failed before."""
        attempt = next(numbers)
        self.emit(
            EventType.STEP_ROUTED,
            path,
            backend=decision.backend,
            reason=decision.reason,
            figures=decision.figures,
            **({"first": attempt} if attempt > 1 else {}),
        )
        while True:
            tries += 1
            try:
                return await self._one(step, path, attempt, inputs, decision, subject)
            except Exception as error:
                wait = self._wait_after(step, tries, error)
                if wait is None:
                    raise
                failure = failure_of(error)
            failed, attempt = attempt, next(numbers)
            data = {"failure": failure, "wait": wait, "next": attempt}
            self.emit(EventType.ATTEMPT_FAILED, path, failed, **data)
            await asyncio.sleep(wait)

    def _wait_after(self, step: PlannedStep, tries: int, error: Exception) -> float | None:
        if not step.policy.retries:
            return None
        return wait_before_retry(
            step.policy,
            failure=failure_of(error),
            attempt=tries,
            remaining=None if self.deadline is None else self.deadline - _now(),
            chance=self.chance(),
        )

    async def _one(
        self,
        step: PlannedStep,
        path: str,
        attempt: int,
        inputs: dict[str, Any],
        decision: Decision,
        subject: Subject | None,
    ) -> Outputs:
        timeout, executor = step.policy.timeout, self.executors[decision.backend]
        call = Call(
            run_id=self.run_id,
            path=path,
            attempt=attempt,
            node=step.node,
            config=step.config,
            policy=step.policy,
            inputs=inputs,
            observer=self.observer,
            deadline=self._deadline(timeout),
        )
        if subject is None:
            return await in_time(executor.execute(call), timeout, path)
        with Measured(self.router, subject, decision, call) as measured:
            return await in_time(executor.execute(measured.call), timeout, path)

    def _deadline(self, timeout: float | None) -> float | None:
        if timeout is None:
            return self.deadline
        own = _now() + timeout
        return own if self.deadline is None else min(own, self.deadline)


def _as_before(begun: Begun | None, able: list[Backend]) -> Decision | None:
    """The backend that a step was on when its runner ended."""
    backend = begun.backend if begun else None
    if backend is None or backend not in able:
        return None
    return Decision(backend=backend, reason=f"{backend}: the step had begun on it")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def in_time(work: Awaitable[Outputs], timeout: float | None, path: str) -> Outputs:
    """The work's outputs, or StepTimeout after `timeout` seconds.

    `asyncio.timeout` alone would also take a TimeoutError of the work's own for its own; `expired`
    tells them apart.
    """
    if timeout is None:
        return await work
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise StepTimeout(
            f"Step '{path}' took longer than its timeout of {timeout:g} s.", timeout=timeout
        ) from None
