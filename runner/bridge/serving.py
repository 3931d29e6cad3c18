"""What the host does for a worker during one step: language models, tools, chunks, traces."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import msgspec

from runner.bridge import tables
from runner.bridge.messages import (
    UNPARSABLE,
    ChunkMessage,
    ErrorMessage,
    LMRequestMessage,
    LMResponseMessage,
    ResultMessage,
    ToolChunkMessage,
    ToolFlowMessage,
    ToolRequestMessage,
    ToolResponseMessage,
    TraceMessage,
)
from runner.bridge.payloads import REWARD, TOOL_PREFIX
from runner.bridge.tool_parts import Flow, whole
from runner.engine.errors import (
    Failure,
    RemoteError,
    RunnerError,
    WorkerLost,
    failure_of,
)
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.engine.stops import Parked
from runner.lm.types import LMRequest, LMResponse

type Tool = Callable[[Call, dict[str, Any]], Awaitable[Any]]

# What a module may handle: its own prompt was wrong for this model. All else (keys, money, outages)
# would reach DSPy as a bad prediction, which an optimizer scores 0 and pays for again.
FOR_THE_MODULE = frozenset({"context_window_exceeded", "invalid_request", "refusal"})


class LMGateway(Protocol):
    """What the bridge needs of the gateway (`runner.lm.gateway.Gateway`, and the tests' fake)."""

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse: ...


class UnknownTool(RunnerError):
    """The worker asks for a tool that this step may not use."""

    code = "unknown_tool"


class StepServer:
    """Answers a worker's requests for one call, and the next worker's when the first is lost."""

    def __init__(
        self, call: Call, gateway: LMGateway, tools: Mapping[str, Tool], profile: str | None
    ) -> None:
        self._call = call
        self._gateway = gateway
        self._tools = tools
        self._profile = profile
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: dict[int, Exception] = {}
        self._asked: dict[int, _LMObserver] = {}
        self._uses: dict[int, tuple[asyncio.Task[None], Flow]] = {}
        self._shown: dict[str, int] = {}
        self._given_up = False

    async def aclose(self) -> None:
        """The step is over: stop what is still under way for it."""
        self.given_up()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def error_of(self, message: ErrorMessage) -> Exception:
        """The error that ended the call: the one raised in the host where that was its cause."""
        return self._errors.get(message.cause) or RemoteError(message.failure)

    # CallHandler

    def lm_request(
        self, number: int, message: LMRequestMessage, answer: Callable[[LMResponseMessage], None]
    ) -> None:
        if self._given_up:
            return
        observer = self._asked[number] = _LMObserver(self._call, message.request.predictor)
        self._spawn(self._complete(number, message.request, observer, answer))

    def tool_request(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
    ) -> None:
        if self._given_up:
            return
        flow = Flow(streams=message.stream)
        self._uses[number] = self._spawn(self._use(number, message, answer, flow)), flow

    def tool_flow(self, number: int, message: ToolFlowMessage) -> None:
        task, flow = self._uses.get(number, (None, None))
        if task is not None and message.stop:
            task.cancel()
        elif flow is not None:
            flow.more(message)

    def chunk(self, message: ChunkMessage) -> None:
        self._show(message.field, message.offset, message.text)

    def _show(self, field: str, offset: int, text: str) -> None:
        call = self._call
        chunk = Chunk(
            run_id=call.run_id,
            step=call.path,
            attempt=call.attempt,
            call=0,  # no LM call: the module's own stream, or a tool's
            field=field,
            offset=offset,
            text=text,
        )
        call.observer.chunk(chunk)

    def trace(self, message: TraceMessage) -> None:
        if message.name == UNPARSABLE:
            if asked := self._asked.get(message.data["request"]):
                asked.retract("unparsable_answer")
            return
        self._trace(message.name, message.data)

    def given_up(self) -> None:
        """End the calls of language models now: a worker that computes hears later that it is to stop."""
        self._given_up = True
        for task in self._tasks:
            task.cancel()

    def lost(self, error: WorkerLost) -> None:
        """Take back what the lost worker's calls streamed. They go on: an equal request of the next
        worker joins them, so what is under way is paid once."""
        for asked in self._asked.values():
            asked.retract("worker_lost")
        # New ones, not cleared: what goes on for the lost worker keeps writing into the old, and the
        # next worker counts its requests from 1 again.
        self._asked, self._errors = {}, {}
        # Nobody takes the parts of its streams any more.
        for task, flow in self._uses.values():
            if flow.streams:
                task.cancel()
        self._uses = {}
        # Its requests and tool calls are the lost one's once more: counted anew, they meet what it had.
        del self._call.lm_calls[1:]
        self._call.tool_calls.clear()
        data = {"failure": failure_of(error), "wait": 0.0}
        self._call.observer.event(EventType.ATTEMPT_FAILED, self._call, data)

    def _trace(self, name: str, data: dict[str, Any]) -> None:
        self._call.observer.event(EventType.TRACE, self._call, {"name": name, **data})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _complete(
        self,
        number: int,
        request: LMRequest,
        observer: "_LMObserver",
        answer: Callable[[LMResponseMessage], None],
    ) -> None:
        call = replace(self._call, observer=observer)
        errors = self._errors
        try:
            response = await self._gateway.complete(request, call, profile=self._profile)
            answer(LMResponseMessage(response=response))
        except Exception as error:
            known = errors[number] = _known(error)
            abort = known.code not in FOR_THE_MODULE
            answer(LMResponseMessage(failure=failure_of(known), abort=abort))

    async def _use(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
        flow: Flow,
    ) -> None:
        errors = self._errors
        try:
            tool = self._tools.get(message.tool)
            if tool is None:
                raise UnknownTool(
                    f"There is no tool '{message.tool}' here. Tools: {', '.join(self._tools) or 'none'}."
                )
            value = await tool(self._call, await plain(message))
            if isinstance(value, AsyncIterator):
                value = await whole(value, partial(self._part, message, answer, flow))
            answer(ToolResponseMessage(value=value))
        except Parked as parked:
            # The run gives its workers up until a person has answered.
            errors[number] = parked
            failure = Failure(code="parked", message="The run waits for a person.")
            answer(ToolResponseMessage(failure=failure, abort=True))
        except Exception as error:
            known = errors[number] = _known(error)
            # A reward that fails is no bad attempt, and what a person must mend no observation.
            abort = known.suspends or message.tool == REWARD
            answer(ToolResponseMessage(failure=failure_of(known), abort=abort))
        finally:
            if self._uses.get(number, (None, None))[1] is flow:
                del self._uses[number]

    async def _part(
        self,
        message: ToolRequestMessage,
        answer: Callable[[ToolChunkMessage], None],
        flow: Flow,
        part: Any,
    ) -> None:
        """Show a part of a tool's answer, and give it to a module that takes it so."""
        name = message.tool.removeprefix(TOOL_PREFIX)
        if isinstance(part, str) and part:
            self._show(name, self._shown.get(name, 0), part)
            self._shown[name] = self._shown.get(name, 0) + len(part)
        if flow.streams:
            await flow.send(part, answer)


async def plain(message: ResultMessage | ToolRequestMessage) -> Any:
    """A message's values as JSON has them: its tables are lists of records. That takes a second for a
    million of them, which is not the event loop's."""
    value = message.arguments if isinstance(message, ToolRequestMessage) else message.value
    return await asyncio.to_thread(tables.plain, value) if message.tables else value


def _known(error: Exception) -> RunnerError:
    return error if isinstance(error, RunnerError) else RemoteError(failure_of(error))


class _LMObserver:
    """Hears one LM request of a worker, so that what it streamed can be taken back later."""

    def __init__(self, call: Call, predictor: str) -> None:
        self._call = call
        self._observer = call.observer
        self._predictor = predictor
        self._streaming: int | None = None
        self._silent = False

    def chunk(self, chunk: Chunk) -> None:
        if not self._silent:
            self._streaming = chunk.call
            self._observer.chunk(msgspec.structs.replace(chunk, predictor=self._predictor))

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        if type_ is EventType.RETRACT:
            self._streaming = None  # the gateway did it itself
        self._observer.event(type_, self._call, {**data, "predictor": self._predictor})

    def retract(self, reason: str) -> None:
        """The text of this request is not part of the result; what still comes of it is not told."""
        self._silent = True
        if self._streaming is not None:
            data = {"call": self._streaming, "reason": reason, "predictor": self._predictor}
            self._observer.event(EventType.RETRACT, self._call, data)
            self._streaming = None
