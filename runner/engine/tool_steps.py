"""Tool calls that are steps of their own: those that a person must let, and those with side effects.

They are recorded as steps under the step that makes them (`agent/send_mail[1]`), so a run that is taken
up again, after a crash or after a person's answer, takes the result instead of doing it twice. The same
holds within one life: a worker that died is replaced, and the next one makes the same calls again.
A call is known by its arguments, for what a person let, or what happened, was this and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from runner.engine.doubts import DecidedAsFailed, Doubts
from runner.engine.errors import RemoteError, RunnerError, failure_of
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.engine.resuming import TOOL, Begun, Earlier
from runner.engine.stops import Parked
from runner.engine.waits import RunControl


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


@dataclass(slots=True, kw_only=True)
class _Made:
    """A call of this life. `doubt` is its beginning, should it be cancelled before `result` is known."""

    arguments: Mapping[str, Any]
    attempt: int
    result: asyncio.Future[Any]
    doubt: Begun | None = None

    def holds(self, attempt: int) -> bool:
        """Whether what came of it stands. A failure does in its own attempt: the next one is a new try."""
        if self.result.cancelled():
            return False
        return self.result.exception() is None or self.attempt == attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSteps:
    """The tool calls of one run that are steps."""

    run: Run
    made: dict[str, _Made] = field(default_factory=dict)

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
        runner ended, or was cut off, a person says what came of it."""
        path, run = self._path(call, name, arguments), self.run
        if path in run.recorded:
            return run.recorded[path]["result"]
        if (before := self.made.get(path)) is not None:
            await asyncio.wait([before.result])  # a worker that died may have begun it
            if before.holds(call.attempt):
                return before.result.result()
            doubt = before.doubt if before.result.cancelled() else None
        else:
            if (failure := run.earlier.failures.get(path)) is not None:
                raise RemoteError(failure)
            doubt = _in_doubt(run.earlier.begun.get(path))
        made = self.made[path] = _Made(
            arguments=arguments,
            attempt=call.attempt,
            result=run.loop.create_future(),
            doubt=doubt if once else None,
        )
        try:
            result = await self._make(path, made, work, question)
        except (asyncio.CancelledError, Parked):
            made.result.cancel()
            raise
        except Exception as error:
            made.result.set_exception(error)
            made.result.exception()  # the caller hears of it; that nobody else asks is no news
            raise
        made.result.set_result(result)
        return result

    def _path(self, call: Call, name: str, arguments: Mapping[str, Any]) -> str:
        """Where this call is recorded: where one with these arguments is that its step, as the present
        worker does it, has not made yet; else in a place of its own."""
        for number in count(1):
            path = f"{call.path}/{name}[{number}]"
            if path not in call.tool_calls and self._fits(path, arguments):
                break
        call.tool_calls.append(path)
        return path

    def _fits(self, path: str, arguments: Mapping[str, Any]) -> bool:
        """Whether nothing is known of this place, or a call with these arguments."""
        if (made := self.made.get(path)) is not None:
            return made.arguments == arguments
        if (recorded := self.run.recorded.get(path)) is not None:
            return bool(recorded.get("arguments") == arguments)
        begun = self.run.earlier.begun.get(path)
        # A large one was put aside, and is None here.
        known = (begun.inputs or {}).items() if begun else ()
        return all(value is None or arguments.get(key) == value for key, value in known)

    async def _make(
        self, path: str, made: _Made, work: Callable[[], Awaitable[Any]], question: str
    ) -> Any:
        run, arguments = self.run, dict(made.arguments)
        settled = await self._settled(path, made.doubt)
        at = run.loop.time()
        try:
            if settled is None:
                begun = run.emit(EventType.STEP_STARTED, path, kind=TOOL, inputs=arguments)
                made.doubt = None
                if question:
                    await self._ask(path, question)
                made.doubt = Begun(at=begun)
                await run.journal.commit()  # that it began must be known before it does anything
                result = await work()
            else:
                result = settled.get("result")
            outputs = {"result": result, "arguments": arguments}
            await run.journal.check(outputs)
        except (asyncio.CancelledError, Parked):
            if not run.control.parked:
                run.emit(EventType.STEP_CANCELLED, path, seconds=run.loop.time() - at)
            raise
        except Exception as error:
            self._failed(path, error, run.loop.time() - at)
            raise
        seconds = run.loop.time() - at
        run.emit(EventType.STEP_SUCCEEDED, path, outputs=outputs, seconds=seconds, usage=None)
        await run.journal.commit()
        return result

    async def _settled(self, path: str, doubt: Begun | None) -> Mapping[str, Any] | None:
        """What a person says came of a call in doubt; None: it is to be made."""
        if doubt is None:
            return None
        await self.run.journal.commit()  # how it was cut off is told by itself
        try:
            return await self.run.doubts.settled(path, TOOL, doubt)
        except DecidedAsFailed as error:
            self._failed(path, error, 0.0)
            raise

    def _failed(self, path: str, error: Exception, seconds: float) -> None:
        self.run.emit(
            EventType.STEP_FAILED,
            path,
            failure=failure_of(error),
            seconds=seconds,
            usage=None,
            suspends=isinstance(error, RunnerError) and error.suspends,
        )

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


def _in_doubt(begun: Begun | None) -> Begun | None:
    return begun if begun is not None and begun.in_doubt else None
