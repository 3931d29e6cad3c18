"""The call that a worker is working on, as its operation sees it: asks the host, streams, reports."""

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from runner.bridge import tables
from runner.bridge.frames import Kind, ProtocolError
from runner.bridge.messages import (
    TOOL_WINDOW,
    CallMessage,
    ChunkMessage,
    LMRequestMessage,
    LMResponseMessage,
    Message,
    ToolChunkMessage,
    ToolFlowMessage,
    ToolRequestMessage,
    ToolResponseMessage,
    TraceMessage,
)
from runner.engine.errors import Failure
from runner.lm.types import LMRequest, LMResponse

if TYPE_CHECKING:
    from runner.bridge.worker_loop import WorkerLoop


class StepStopped(BaseException):
    """The call ends now. A BaseException, because Refine, Evaluate and every optimizer of DSPy catch
    Exception, score the attempt 0 and go on."""

    def __init__(self, failure: Failure, cause: int = 0) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.cause = cause


class RunCancelled(StepStopped):
    """The host asked for the end of the call."""

    def __init__(self, message: str = "The step was cancelled.") -> None:
        super().__init__(Failure(code="cancelled", message=message))


class HostRefused(Exception):
    """The host answered a request with a failure that the module may handle."""

    def __init__(self, failure: Failure, cause: int) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.cause = cause


class Step:
    """The call that is being worked on, as an operation sees it.

    Everything an operation asks of the host goes through its step, so a thread that outlives the step
    (DSPy's ParallelExecutor leaves some) gets StepStopped instead of reaching the next call's host.
    """

    def __init__(self, loop: "WorkerLoop", number: int, call: CallMessage) -> None:
        self.number = number
        self.call = call
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._streams: dict[int, ToolStream] = {}
        self._stopped: StepStopped | None = None
        self._over = False

    @property
    def stopped(self) -> StepStopped | None:
        """Why this step must end, also when the operation hid it."""
        return self._stopped

    def close(self) -> None:
        """The operation has returned; what it left behind may not ask any more."""
        self._over = True
        if self._waiting:
            self.stop(RunCancelled("The step is over."))

    def ask_lm(self, request: LMRequest, node: str = "") -> tuple[int, Future[LMResponse]]:
        """Ask the host's gateway. Gives the request's number, and a future of the response, which
        raises HostRefused or StepStopped."""
        message = LMRequestMessage(call=self.number, request=request, node=node)
        return self._ask(Kind.LM_REQUEST, message)

    def ask_tool(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What the host's tool answers; waits. HostRefused, StepStopped as above."""
        message = ToolRequestMessage(call=self.number, tool=tool, arguments=arguments)
        _, answer = self._ask(Kind.TOOL_REQUEST, message)
        response: ToolResponseMessage = answer.result()
        return tables.unpacked(response.value, response.tables)

    def stream_tool(self, tool: str, arguments: dict[str, Any]) -> "ToolStream":
        """The parts of the tool's answer as they come. Close it to have the tool end early."""
        message = ToolRequestMessage(call=self.number, tool=tool, arguments=arguments, stream=True)
        stream = ToolStream(self)
        stream.begin(*self._ask(Kind.TOOL_REQUEST, message, stream))
        return stream

    def part(self, request: int, message: ToolChunkMessage) -> None:
        """A part of a tool's answer. One that nobody waits for (any more) is dropped."""
        with self._lock:
            stream = self._streams.get(request)
        if stream is not None:
            stream.part(message.value)

    def flow(self, request: int, *, taken: int = 0, stop: bool = False) -> None:
        """Tell the host of the parts that were taken, or that no more are wanted."""
        if stop:
            with self._lock:
                self._waiting.pop(request, None)
                self._streams.pop(request, None)
        message = ToolFlowMessage(call=self.number, taken=taken, stop=stop)
        self._loop.send(Kind.TOOL_FLOW, request, message)

    def chunk(self, name: str, text: str, offset: int) -> None:
        self._loop.send(Kind.CHUNK, self.number, ChunkMessage(field=name, text=text, offset=offset))

    def trace(self, name: str, data: dict[str, Any]) -> None:
        self._loop.send(Kind.TRACE, self.number, TraceMessage(name=name, data=data))

    def stop(self, reason: StepStopped) -> None:
        """End the step: whoever waits for the host is woken with `reason`, whoever asks later gets it."""
        with self._lock:
            if self._stopped is None:
                self._stopped = reason
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(reason)

    def answered(self, request: int, message: LMResponseMessage | ToolResponseMessage) -> None:
        """The host's answer to one request. One that nobody waits for (any more) is dropped."""
        with self._lock:
            future = self._waiting.pop(request, None)
            self._streams.pop(request, None)
        if future is None:
            return
        if message.failure is None:
            future.set_result(
                message.response if isinstance(message, LMResponseMessage) else message
            )
        elif message.abort:
            reason = StepStopped(message.failure, request)
            future.set_exception(reason)
            self.stop(reason)
        else:
            future.set_exception(HostRefused(message.failure, request))

    def _ask(
        self, kind: Kind, message: Message, stream: "ToolStream | None" = None
    ) -> tuple[int, Future[Any]]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # asyncio may give up waiting, the answer still comes
        request = self._loop.next_request()
        with self._lock:
            if self._stopped is not None:
                raise self._stopped
            if self._over:
                raise RunCancelled("The step is over.")
            self._waiting[request] = future
            if stream is not None:
                self._streams[request] = stream
        self._loop.send(kind, request, message)
        return request, future


class ToolStream:
    """The parts of a tool's answer, as the host streams them; `value` is the whole, when they have ended.
    The host sends `TOOL_WINDOW` parts ahead of who takes them, and no more."""

    def __init__(self, step: Step) -> None:
        self.value: Any = None
        self._step = step
        self._parts: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._request = 0
        self._taken = 0
        self._ended = False

    def begin(self, request: int, answer: Future[ToolResponseMessage]) -> None:
        self._request = request
        answer.add_done_callback(self._parts.put)

    def part(self, value: Any) -> None:
        """Called by the reader."""
        if self._parts.qsize() >= TOOL_WINDOW:
            raise ProtocolError(
                "The host sent parts of a tool's answer that were not asked for yet."
            )
        self._parts.put(value)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        part = self._parts.get()
        if isinstance(part, Future):
            self._ended = True
            self.value = part.result().value
            raise StopIteration
        self._taken += 1
        if self._taken == TOOL_WINDOW // 2:
            self._step.flow(self._request, taken=self._taken)
            self._taken = 0
        return part

    def close(self) -> None:
        """No more is wanted: the host ends the tool."""
        if not self._ended:
            self._ended = True
            self._step.flow(self._request, stop=True)
