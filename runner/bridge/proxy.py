"""The host's view of one worker: its state, the calls it is doing, its heartbeat."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec

from runner.bridge import formats, shared
from runner.bridge.endings import WORDS, EndReason, reason_of
from runner.bridge.frames import MAX_FRAME, PROTOCOL_VERSION, Kind, ProtocolError
from runner.bridge.heartbeat import Heartbeat, HeartbeatSettings
from runner.bridge.link import Link
from runner.bridge.messages import (
    EMPTY,
    CallMessage,
    ChunkMessage,
    ErrorMessage,
    Exited,
    Hello,
    LMRequestMessage,
    LMResponseMessage,
    Message,
    Ready,
    ResultMessage,
    ToolChunkMessage,
    ToolFlowMessage,
    ToolRequestMessage,
    ToolResponseMessage,
    TraceMessage,
)
from runner.bridge.nursery import Nursery
from runner.bridge.wire import Received, Wire
from runner.engine.errors import RemoteError, WorkerLost

EXIT_REPORT_WAIT = 0.2
"""Seconds that a lost connection waits for the forkserver to say how the process ended."""


class WorkerState(StrEnum):
    """The life of a worker."""

    STARTING = "starting"  # asked for; the handshake is not done
    IDLE = "idle"  # ready: a spare, or held by a run between two steps
    BUSY = "busy"  # leased to a step
    STOPPING = "stopping"  # told to end
    ENDED = "ended"


_ASKED = (Kind.LM_REQUEST, Kind.TOOL_REQUEST, Kind.TOOL_FLOW)
_ANSWERS: dict[type[Message], Kind] = {
    LMResponseMessage: Kind.LM_RESPONSE,
    ToolResponseMessage: Kind.TOOL_RESPONSE,
    ToolChunkMessage: Kind.TOOL_CHUNK,
}
_BEFORE_READY = (Kind.READY, Kind.ERROR)
_NEXT = {
    WorkerState.STARTING: {WorkerState.IDLE, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.IDLE: {WorkerState.BUSY, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.BUSY: {WorkerState.IDLE, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.STOPPING: {WorkerState.ENDED},
    WorkerState.ENDED: set[WorkerState](),
}


class CallHandler(Protocol):
    """What a worker may ask for or report while it does a call. Called on the event loop, in order;
    an `answer` may be given at any time, also to a worker that is gone."""

    def lm_request(
        self, number: int, message: LMRequestMessage, answer: Callable[[LMResponseMessage], None]
    ) -> None: ...

    def tool_request(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
    ) -> None: ...

    def tool_flow(self, number: int, message: ToolFlowMessage) -> None: ...

    def chunk(self, message: ChunkMessage) -> None: ...

    def trace(self, message: TraceMessage) -> None: ...

    def given_up(self) -> None:
        """Nobody waits for the call any more. The worker is told, and may take a while to hear."""
        ...

    def lost(self, error: WorkerLost) -> None:
        """The worker ended; the call will be done anew by another."""
        ...


@dataclass(slots=True)
class _CallInFlight:
    handler: CallHandler
    outcome: asyncio.Future[ResultMessage | ErrorMessage]


class CallTicket(NamedTuple):
    """A call under way."""

    worker: "WorkerProxy"
    number: int
    outcome: asyncio.Future[ResultMessage | ErrorMessage]


@dataclass(slots=True)
class Figures:
    """What one worker did."""

    calls: int = 0
    strays: int = 0  # messages about a call that is over: after a cancel these are usual
    started: float = 0.0
    handshake: float = 0.0  # seconds from the request to fork to the ready message
    used: float = (
        0.0  # when it last came to rest, in the loop's time; before that, when it was ready
    )


class WorkerProxy:
    """One worker. `on_end` is told once, when it is gone for whatever reason."""

    def __init__(
        self, number: int, nursery: Nursery, *, pool: str, offered: tuple[str, ...],
        on_end: "Callable[[WorkerProxy], None]", limit: int = MAX_FRAME,
        out_of_memory: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`out_of_memory` says whether the system has killed a process for its memory lately."""
        self.number = number
        self.state = WorkerState.STARTING
        self.run_id = ""
        self.step = ""
        self.pid = 0
        self.ready: Ready | None = None
        self.retiring = ""  # why it is to do no further step
        self.answers = True  # pings, in time
        self.memory: int | None = None  # resident bytes, as last measured
        self.reason: EndReason | None = None
        self.figures = Figures()
        self._nursery = nursery
        self.pool = pool
        self._offered = offered
        self._on_end = on_end
        self._out_of_memory = out_of_memory
        self._loop = asyncio.get_running_loop()
        self._link = Link(Wire(limit), on_message=self._take, on_lost=self._lost)
        self._greeted: asyncio.Future[Ready] = self._loop.create_future()
        self._calls: dict[int, _CallInFlight] = {}
        self._last_call = 0
        self._heartbeat = Heartbeat()
        self._exited: Exited | None = None
        self._reason = ""
        self._gone = False
        self._lost_a_call = False

    @property
    def wire(self) -> Wire:
        return self._link.wire

    @property
    def is_free(self) -> bool:
        """It can do a step now."""
        return self.state is WorkerState.IDLE and not self.retiring and self.answers

    @property
    def is_spare(self) -> bool:
        """Ready, and no run's."""
        return not self.run_id and self.is_free

    def lease(self, run_id: str) -> None:
        """Take the free worker for a step of this run, whose it stays."""
        if self.state is not WorkerState.IDLE:
            self.move(WorkerState.BUSY)  # says what is wrong
        self.state = WorkerState.BUSY
        self.run_id = run_id

    def rest(self) -> None:
        """The step is over. One that is ending already is no error."""
        if self.state is WorkerState.BUSY:
            self.figures.used = self._loop.time()
            self.step = ""
            self.state = WorkerState.IDLE

    async def start(self, timeout: float) -> Ready:
        """Be born and shake hands within `timeout` seconds; WorkerLost or RemoteError if not."""
        self.figures.started = self._loop.time()
        try:
            async with asyncio.timeout(timeout):
                self.pid, connection = await self._nursery.fork(self._on_exit)
                self._link.open(connection)
                hello = Hello(
                    protocol=PROTOCOL_VERSION,
                    formats=self._offered,
                    shared=shared.AVAILABLE,
                    worker=self.number,
                    pool=self.pool,
                )
                self._link.send(Kind.HELLO, 0, hello)
                self.ready = await self._greeted
        except TimeoutError:
            self.kill(f"it was not ready within {timeout:g} s", EndReason.NOT_READY)
            raise self._loss() from None
        self.figures.used = self._loop.time()
        self.figures.handshake = self.figures.used - self.figures.started
        return self.ready

    def call(self, message: CallMessage, handler: CallHandler) -> CallTicket:
        """Send a call to a leased worker. Calls that are sent together are done one by one."""
        if self.state is not WorkerState.BUSY:
            raise self._loss()
        self._last_call += 1
        number = self._last_call
        outcome: asyncio.Future[ResultMessage | ErrorMessage] = self._loop.create_future()
        self._link.send(Kind.CALL, number, message)
        self._calls[number] = _CallInFlight(handler, outcome)
        return CallTicket(self, number, outcome)

    def cancel(self, number: int) -> asyncio.Future[ResultMessage | ErrorMessage] | None:
        """Tell the worker to stop a call that its caller has given up. The future says when it has
        stopped; None when it is over already."""
        call = self._calls.get(number)
        if call is None:
            return None
        call.outcome = self._loop.create_future()
        self._link.send(Kind.CANCEL, number, EMPTY)
        call.handler.given_up()
        return call.outcome

    def kill(self, why: str, reason: EndReason = EndReason.RELEASED) -> None:
        """End the process at once; what it was doing fails with WorkerLost, which says why."""
        if self.state in (WorkerState.STOPPING, WorkerState.ENDED):
            return
        self._reason, self.reason = why, reason
        self.move(WorkerState.STOPPING)
        self._nursery.kill(self.pid)
        self._link.close()

    def discard(self) -> None:
        """Give up a worker that did not get ready."""
        self.kill("it did not get ready", EndReason.NOT_READY)
        self._end()

    def died_unseen(self) -> None:
        """The process is gone, and no event said so: a process that it left behind holds its socket."""
        self._gone = True
        self._link.close()
        self._end()

    def stats(self, now: float) -> dict[str, Any]:
        """Figures for a page; times are seconds."""
        return {
            "number": self.number,
            "pid": self.pid,
            "state": str(self.state),
            "retiring": self.retiring,
            "answers": self.answers,
            "run_id": self.run_id,
            "step": self.step,
            "format": self.wire.format.name,
            "isolation": [msgspec.to_builtins(each) for each in self.ready.isolation]
            if self.ready
            else [],
            "calls": self.figures.calls,
            "strays": self.figures.strays,
            "bytes_in": self.wire.bytes_in,
            "bytes_out": self.wire.bytes_out,
            "ready_after": self.figures.handshake,
            "age": now - self.figures.started,
        }

    def obituary(self, now: float) -> dict[str, Any]:
        """How it ended, for the pool's history. `lost`: in the middle of a call, or by itself."""
        return {
            "number": self.number,
            "pid": self.pid,
            "why": self._how(),
            "reason": str(self.reason or EndReason.LOST),
            "lost": self._lost_a_call or not self._reason,
            "calls": self.figures.calls,
            "age": now - self.figures.started,
        }

    def beat(self, settings: HeartbeatSettings) -> None:
        """Send a ping; kill the worker when it has missed too many."""
        if self.state not in (WorkerState.IDLE, WorkerState.BUSY):
            return
        now = self._loop.time()
        if self._heartbeat.is_lost(now, settings):
            self.kill("it missed its heartbeats", EndReason.HEARTBEAT)
        else:
            self.answers = not self._heartbeat.is_late(now, settings)
            self._link.send(Kind.PING, self._heartbeat.ping(now), EMPTY)

    def move(self, state: WorkerState) -> None:
        """Change the state; an impossible change is a defect of the pool."""
        if state is self.state:
            return
        if state not in _NEXT[self.state]:
            expected = ", ".join(sorted(_NEXT[self.state])) or "none"
            raise AssertionError(
                f"Worker {self.number} is {self.state}: expected {expected}, got {state}"
            )
        self.state = state

    # What the worker says

    def _take(self, received: Received) -> None:
        kind, number, message = received
        if not self._greeted.done() and kind not in _BEFORE_READY:
            raise ProtocolError(f"It sent a {kind.name.lower()} before it was ready.")
        if kind is Kind.PONG:
            self._heartbeat.pong(number)
            self.answers = True
        elif kind is Kind.READY:
            self._greet(message)
        elif kind is Kind.ERROR and number == 0:
            self._refused(message)
        elif kind is Kind.RESULT or kind is Kind.ERROR:
            self._finish(number, message)
        elif kind in _ASKED:
            self._serve(kind, number, message)
        elif kind is Kind.CHUNK or kind is Kind.TRACE:
            self._report(kind, number, message)
        else:
            raise ProtocolError(f"The host does not take {kind.name.lower()} messages.")

    def _greet(self, ready: Ready) -> None:
        if ready.protocol != PROTOCOL_VERSION:
            raise ProtocolError(
                f"The worker speaks protocol {ready.protocol}, not {PROTOCOL_VERSION}."
            )
        if self._greeted.done():
            raise ProtocolError("The worker was ready twice.")
        wire = self.wire
        wire.format = formats.by_name(ready.format)
        wire.tables = formats.ARROW.name in self._offered and formats.ARROW.name in ready.formats
        wire.shared = shared.AVAILABLE and ready.shared
        self.move(WorkerState.IDLE)
        self._greeted.set_result(ready)

    def _refused(self, message: ErrorMessage) -> None:
        """The worker itself failed, not a call."""
        if not self._greeted.done():
            self._greeted.set_exception(RemoteError(message.failure))
        self.kill(message.failure.message, EndReason.PROTOCOL)

    def _finish(self, number: int, message: ResultMessage | ErrorMessage) -> None:
        call = self._calls.pop(number, None)
        if call is None:
            self.figures.strays += 1
            return
        self.figures.calls += 1
        if not call.outcome.done():
            call.outcome.set_result(message)

    def _serve(self, kind: Kind, number: int, message: Any) -> None:
        call = self._calls.get(message.call)
        if call is None:
            self.figures.strays += 1
        elif kind is Kind.LM_REQUEST:
            call.handler.lm_request(number, message, partial(self._answer, number))
        elif kind is Kind.TOOL_REQUEST:
            call.handler.tool_request(number, message, partial(self._answer, number))
        else:
            call.handler.tool_flow(number, message)

    def _answer(self, number: int, message: Message) -> None:
        if self.state is WorkerState.BUSY:
            self._link.send(_ANSWERS[type(message)], number, message)

    def _report(self, kind: Kind, number: int, message: Any) -> None:
        call = self._calls.get(number)
        if call is None:
            self.figures.strays += 1
        elif kind is Kind.CHUNK:
            call.handler.chunk(message)
        else:
            call.handler.trace(message)

    # Its end

    def _on_exit(self, exited: Exited | None) -> None:
        self._exited = exited
        if self._gone:
            self._end()
        elif exited is None:
            self._link.close()  # the forkserver is gone: where the system does not end the worker, this does

    def _lost(self, error: ProtocolError | None) -> None:
        """The connection ended. Wait a moment for the forkserver to say how the process did."""
        if error is not None:
            self._reason = f"it broke the protocol: {error.message}"
            self.reason = EndReason.PROTOCOL
            self._nursery.kill(self.pid)
        self._gone = True
        if self._exited is not None:
            self._end()
        else:
            self._loop.call_later(EXIT_REPORT_WAIT, self._end)

    def _end(self) -> None:
        if self.state is WorkerState.ENDED:
            return
        self.move(WorkerState.ENDED)
        if self.reason is None:
            self.reason = reason_of(self._exited, out_of_memory=self._out_of_memory())
        calls, self._calls = self._calls, {}
        self._lost_a_call = bool(calls)
        for call in calls.values():
            if not call.outcome.done():
                call.outcome.set_exception(self._loss())
        if not self._greeted.done():
            self._greeted.set_exception(self._loss())
            self._greeted.exception()  # seen, should nobody wait for it
        self._on_end(self)

    def _loss(self) -> WorkerLost:
        return WorkerLost(
            f"Worker {self.number} of pool '{self.pool}' was lost: {self._how()}.",
            pid=self.pid,
            reason=str(self.reason or EndReason.LOST),
        )

    def _how(self) -> str:
        if self._reason:
            return self._reason
        how = str(self._exited) if self._exited else "its connection ended"
        word = WORDS.get(self.reason or EndReason.LOST)
        return f"{how} ({word})" if word else how
