"""The host's view of one worker: its state, the calls it is doing, its heartbeat."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec

from runner.bridge import formats, shared
from runner.bridge.call_handler import CallHandler
from runner.bridge.endings import WORDS, EndReason, reason_of
from runner.bridge.frames import MAX_FRAME, PROTOCOL_VERSION, Kind, ProtocolError
from runner.bridge.heartbeat import Heartbeat, HeartbeatSettings
from runner.bridge.link import Link
from runner.bridge.messages import (
    EMPTY,
    CallMessage,
    ErrorMessage,
    Exited,
    Hello,
    LMResponseMessage,
    Message,
    Ready,
    ResultMessage,
    ToolChunkMessage,
    ToolResponseMessage,
)
from runner.bridge.nursery import Nursery
from runner.bridge.places import Places, WorkerState
from runner.bridge.wire import Received, Traffic, Wire
from runner.engine.errors import RemoteError, WorkerLost

EXIT_REPORT_WAIT = 0.2
"""Seconds that a lost connection waits for the forkserver to say how the process ended."""


_ASKED = (Kind.LM_REQUEST, Kind.TOOL_REQUEST, Kind.TOOL_FLOW)
_ANSWERS: dict[type[Message], Kind] = {
    LMResponseMessage: Kind.LM_RESPONSE,
    ToolResponseMessage: Kind.TOOL_RESPONSE,
    ToolChunkMessage: Kind.TOOL_CHUNK,
}
_BEFORE_READY = (Kind.READY, Kind.ERROR)


@dataclass(slots=True)
class _CallInFlight:
    """`traffic` is the call's own, where the worker does several at once."""

    handler: CallHandler
    outcome: asyncio.Future[ResultMessage | ErrorMessage]
    traffic: Traffic | None


class CallTicket(NamedTuple):
    """A call under way."""

    worker: "WorkerProxy"
    number: int
    outcome: asyncio.Future[ResultMessage | ErrorMessage]
    traffic: Traffic | None


class WorkerProxy(Places):
    """One worker. `on_end` is told once, when it is gone for whatever reason."""

    def __init__(
        self, number: int, nursery: Nursery, *, pool: str, offered: tuple[str, ...],
        on_end: "Callable[[WorkerProxy], None]", limit: int = MAX_FRAME,
        out_of_memory: Callable[[], bool] = lambda: False, threads: int = 1,
    ) -> None:  # fmt: skip
        """`out_of_memory` says whether the system has killed a process for its memory lately; `threads`
        are asked for, and the worker says how many it has."""
        super().__init__(number, threads)
        self.pid = 0
        self.ready: Ready | None = None
        self.memory: int | None = None  # resident bytes, as last measured
        self.reason: EndReason | None = None
        self.stuck_since = 0.0  # when a step in it was given up that did not stop; 0: none was
        self._nursery = nursery
        self.pool = pool
        self._offered = offered
        self._on_end = on_end
        self._out_of_memory = out_of_memory
        self._loop = asyncio.get_running_loop()
        self._link = Link(
            Wire(limit, shares=threads > 1), on_message=self._take, on_lost=self._lost
        )
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
                    threads=self.threads,
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
        traffic = None if self.wire.shares is None else Traffic()
        self._send(Kind.CALL, number, message, traffic)
        self._calls[number] = _CallInFlight(handler, outcome, traffic)
        return CallTicket(self, number, outcome, traffic)

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

    def give_up(self, number: int, why: str) -> None:
        """A step does not stop. End the worker; where others are at work in it, have it take no more
        instead, and forget the call: they may finish."""
        if len(self.at_work) <= 1:
            self.kill(why, EndReason.STOPPED)
            return
        self._is_stuck(why)
        call = self._calls.pop(number, None)
        if call is not None and not call.outcome.done():
            call.outcome.set_exception(self._loss())

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
            "threads": self.threads,
            "steps": [{"run_id": each.run_id, "step": each.step} for each in self.at_work],
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

    # What the worker says

    def _take(self, received: Received) -> None:
        kind, number, message = received
        if self.wire.shares is not None:
            self._share(kind, number, message, self.wire.shares.popleft())
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
        self.threads = max(1, min(self.threads, ready.threads))
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
        if isinstance(message, ErrorMessage) and message.stuck:
            self._is_stuck(message.failure.message)
        if not call.outcome.done():
            call.outcome.set_result(message)

    def _is_stuck(self, why: str) -> None:
        """A thread of it goes on with a step that nobody wants any more."""
        self.retire(why, EndReason.STOPPED)
        self.stuck_since = self.stuck_since or self._loop.time()

    def _share(self, kind: Kind, number: int, message: Any, share: Traffic) -> None:
        """Count what came for the call that it is about."""
        call = self._calls.get(message.call if kind in _ASKED else number)
        if call is not None and call.traffic is not None and kind is not Kind.PONG:
            call.traffic.add(share)

    def _send(self, kind: Kind, number: int, message: Message, traffic: Traffic | None) -> None:
        """Send something of one call."""
        if traffic is None:
            self._link.send(kind, number, message)
            return
        before = self.wire.traffic.copy()
        self._link.send(kind, number, message)
        traffic.add(self.wire.traffic.since(before))

    def _serve(self, kind: Kind, number: int, message: Any) -> None:
        call = self._calls.get(message.call)
        if call is None:
            self.figures.strays += 1
        elif kind is Kind.LM_REQUEST:
            call.handler.lm_request(number, message, partial(self._answer, number, call.traffic))
        elif kind is Kind.TOOL_REQUEST:
            call.handler.tool_request(number, message, partial(self._answer, number, call.traffic))
        else:
            call.handler.tool_flow(number, message)

    def _answer(self, number: int, traffic: Traffic | None, message: Message) -> None:
        if self.state is WorkerState.BUSY:
            self._send(_ANSWERS[type(message)], number, message, traffic)

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
