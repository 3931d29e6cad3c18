"""Tool calls that are steps of their own: those that a person must let, and those with side effects.

They are recorded as steps under the step that makes them (`agent/send_mail[1]`), so a run that is taken
up again, after a crash or after a person's answer, takes the result instead of doing it twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.engine.doubts import DecidedAsFailed, Doubts
from runner.engine.errors import RunnerError, failure_of
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.engine.resuming import Earlier
from runner.engine.stops import Parked
from runner.engine.waits import RunControl

KIND = "tool"


class NotApproved(RunnerError):
    """A person did not let this tool be called."""

    code = "not_approved"


class Run(Protocol):
    """What of a run these steps need: `runner.engine.execute.Execution`."""

    control: RunControl
    busy: int
    recorded: Mapping[str, Mapping[str, Any]]
    earlier: Earlier
    doubts: Doubts
    journal: Any
    loop: asyncio.AbstractEventLoop

    def emit(self, type_: EventType, step: str = "", attempt: int = 0, **data: Any) -> float: ...

    def rest_soon(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSteps:
    """The tool calls of one run that are steps."""

    run: Run

    async def call(
        self,
        call: Call,
        name: str,
        arguments: Mapping[str, Any],
        work: Callable[[], Awaitable[Any]],
        question: str = "",
        once: bool = True,
    ) -> Any:
        """What the tool gives, or gave before. With a question it is done when a person has let it;
        NotApproved when they did not. Of a call that may be made `once` only and was under way when its
        runner ended, a person says what came of it."""
        path, run = f"{call.path}/{name}", self.run
        before = run.recorded.get(path)
        if before is not None and before.get("arguments") == dict(arguments):
            return before["result"]
        settled = await self._settled(path) if once else None
        if settled is None:
            run.emit(EventType.STEP_STARTED, path, kind=KIND, inputs=dict(arguments))
        started = run.loop.time()
        try:
            if settled is None:
                if question:
                    await self._ask(path, question)
                await run.journal.commit()  # that it began must be known before it does anything
                result = await work()
            else:
                result = settled.get("result")
        except (asyncio.CancelledError, Parked):
            if not run.control.parked:
                run.emit(EventType.STEP_CANCELLED, path, seconds=run.loop.time() - started)
            raise
        except Exception as error:
            seconds = run.loop.time() - started
            run.emit(
                EventType.STEP_FAILED, path, failure=failure_of(error), seconds=seconds, usage=None
            )
            raise
        run.emit(
            EventType.STEP_SUCCEEDED,
            path,
            outputs={"result": result, "arguments": dict(arguments)},
            seconds=run.loop.time() - started,
            usage=None,
        )
        await run.journal.commit()
        return result

    async def _settled(self, path: str) -> Mapping[str, Any] | None:
        begun = self.run.earlier.begun.get(path)
        if begun is None or not begun.in_doubt:
            return None
        try:
            return await self.run.doubts.settled(path, KIND, begun)
        except DecidedAsFailed as error:
            failure = failure_of(error)
            self.run.emit(EventType.STEP_FAILED, path, failure=failure, seconds=0.0, usage=None)
            raise

    async def _ask(self, path: str, question: str) -> None:
        run = self.run
        answer = run.control.answers.get(path)
        if answer is None:
            run.emit(EventType.STEP_WAITING, path, question=question, editable=False)
            await run.journal.commit()
            run.busy -= 1  # the step that calls it waits with it
            try:
                run.rest_soon()
                answer = await run.control.wait(path)
            finally:
                run.busy += 1
        run.emit(
            EventType.STEP_ANSWERED,
            path,
            approved=answer.approved,
            comment=answer.comment,
            by=answer.by,
        )
        if not answer.approved:
            said = f" They said: {answer.comment}" if answer.comment else ""
            raise NotApproved(f"A person did not let this tool be called.{said}")
