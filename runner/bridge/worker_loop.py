"""A worker's side of the bridge: reads the socket, runs calls, asks the host.

Two threads. The reader takes every frame as it comes: it answers pings, wakes whoever waits for the
host, and cancels; so a worker that computes still answers. The main thread does the calls, in order;
where the host's hello asks for more threads, they do them with it, each in a context of its own.
An operation may start threads of its own (DSPy does); all of them may ask the host at once.

Knows nothing of DSPy: `worker.py` gives it the operations.
"""

import contextvars
import os
import queue
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from runner.bridge import formats, shared, tables
from runner.bridge.formats import ARROW
from runner.bridge.frames import MAX_FRAME, PROTOCOL_VERSION, Kind, ProtocolError
from runner.bridge.messages import (
    EMPTY,
    ErrorMessage,
    Hello,
    Measure,
    Message,
    ModuleInfo,
    Ready,
    ResultMessage,
)
from runner.bridge.wire import Received, Wire
from runner.bridge.worker_step import HostRefused, RunCancelled, Step, StepStopped
from runner.engine.errors import Failure, RunnerError, failure_of

__all__ = ["HostRefused", "RunCancelled", "Step", "StepStopped", "Worker", "WorkerLoop"]

READ_SIZE = 64 * 1024
MAX_THREADS = 64


type Operation = Callable[[Step, dict[str, Any]], Any]


def echo(step: Step, payload: dict[str, Any]) -> Any:
    """Give the payload back: a health check of the whole way, and the bench's task."""
    return payload


def chunks(step: Step, payload: dict[str, Any]) -> int:
    """Stream `count` pieces of `text`: a health check of streaming, and the bench's."""
    text, total = str(payload.get("text", "")), int(payload.get("count", 1))
    for index in range(total):
        step.chunk("text", text, index * len(text))
    return total


BUILT_IN: Mapping[str, Operation] = {"echo": echo, "chunks": chunks}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a worker's module gives to the loop. `start` runs first in every worker; `describe` turns
    an exception that is not ours into a failure, None leaves it to `failure_of`."""

    operations: Mapping[str, Operation] = field(default_factory=dict)
    modules: tuple[ModuleInfo, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    start: Callable[[], None] = lambda: None
    describe: Callable[[BaseException], Failure | None] = lambda error: None


class WorkerLoop:
    """Serves one connection until the host closes it. `leave` is called when the host is gone; in a
    process it ends the process, whatever the main thread is doing."""

    def __init__(
        self,
        connection: socket.socket,
        worker: Worker,
        *,
        limit: int = MAX_FRAME,
        leave: Callable[[], None] = lambda: os._exit(0),
        isolation: tuple[Measure, ...] = (),
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._isolation = isolation
        self._cpu_seconds = 0
        self._running: Step | None = None
        self._threads: list[threading.Thread] = []
        self._clocks: dict[Step, ThreadClock] = {}
        self._greeted = False
        self._operations = {**BUILT_IN, **worker.operations}
        self._leave = leave
        self._wire = Wire(limit)
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._steps: dict[int, Step] = {}
        self._numbers = count(1)

    def serve(self) -> None:
        """Run calls until shutdown or the end of the connection."""
        self._worker.start()
        threading.Thread(target=self._read, name="bridge-reader", daemon=True).start()
        self._work()
        for thread in self._threads:
            thread.join()

    def limit_cpu(self, seconds: int) -> None:
        """End a call with `cpu_time_exceeded` when the process has computed so long for it; 0: never.
        Only where `serve` runs in the main thread, which alone hears signals. With several threads it
        is what the call's own has computed, looked at when the host pings."""
        self._cpu_seconds = seconds
        signal.signal(signal.SIGXCPU, self._out_of_cpu)

    def next_request(self) -> int:
        """A number for a request of this worker's own; the host numbers its calls by itself."""
        return next(self._numbers) & 0xFFFFFFFF

    def send(self, kind: Kind, request: int, message: Message) -> None:
        """Send from any thread. A host that is gone is the reader's affair, not the sender's."""
        with self._sending:
            parcels = self._wire.parcels(kind, request, message)
            try:
                for data, memory in parcels:
                    sent = shared.send(self._connection, data, memory)
                    if sent < len(data):
                        self._connection.sendall(memoryview(data)[sent:])
            except OSError:
                self._leave()

    # The reader's thread

    def _read(self) -> None:
        buffer = memoryview(bytearray(READ_SIZE))
        try:
            while True:
                size, descriptors = shared.receive(self._connection, buffer)
                if not size:
                    break
                for received in self._wire.feed(buffer[:size], descriptors):
                    self._take(received)
        except OSError:
            pass  # the host was killed with data under way: the same as its end
        except Exception as error:
            # The stream can't be trusted any more; tell the host why before leaving.
            self.send(Kind.ERROR, 0, ErrorMessage(failure=failure_of(error)))
        self._end()

    def _end(self) -> None:
        for step in tuple(self._steps.values()):
            step.stop(RunCancelled("The host is gone."))
        self._inbox.put(None)
        self._leave()

    def _take(self, received: Received) -> None:
        kind, number, message = received
        if (kind is Kind.HELLO) is self._greeted:
            why = (
                "greets twice" if self._greeted else f"sent a {kind.name.lower()} before its hello"
            )
            raise ProtocolError(f"The host {why}.")
        if kind is Kind.CALL:
            if number in self._steps:
                raise ProtocolError(f"Call {number} is under way already.")
            step = Step(self, number, message)
            self._steps[number] = step
            self._inbox.put(step)
        elif kind is Kind.LM_RESPONSE or kind is Kind.TOOL_RESPONSE:
            for step in tuple(self._steps.values()):
                step.answered(number, message)
        elif kind is Kind.TOOL_CHUNK:
            for step in tuple(self._steps.values()):
                step.part(number, message)
        elif kind is Kind.PING:
            self.send(Kind.PONG, number, EMPTY)
            self._look_at_clocks()
        elif kind is Kind.CANCEL:
            if cancelled := self._steps.get(number):
                cancelled.stop(RunCancelled())
        elif kind is Kind.HELLO:
            self._greet(message)
        elif kind is Kind.SHUTDOWN:
            self._inbox.put(None)
        else:
            raise ProtocolError(f"A worker does not take {kind.name.lower()} messages.")

    def _greet(self, hello: Hello) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            raise ProtocolError(
                f"The host speaks protocol {hello.protocol}, this worker {PROTOCOL_VERSION}."
            )
        chosen = formats.negotiate(hello.formats)
        self._greeted = True
        ready = Ready(
            protocol=PROTOCOL_VERSION,
            format=chosen.name,
            formats=formats.names(),
            shared=shared.AVAILABLE,
            threads=max(1, min(hello.threads, MAX_THREADS)),
            pid=os.getpid(),
            versions=dict(self._worker.versions),
            operations=tuple(self._operations),
            modules=self._worker.modules,
            isolation=self._isolation,
        )
        for number in range(2, ready.threads + 1):
            thread = threading.Thread(target=self._work, name=f"bridge-step-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self.send(Kind.READY, 0, ready)
        self._wire.format = chosen
        self._wire.tables = ARROW.name in hello.formats and ARROW.name in formats.names()
        self._wire.shared = ready.shared and hello.shared

    # The threads that do the calls

    def _work(self) -> None:
        while (step := self._inbox.get()) is not None:
            # What an operation leaves in its context is not the next one's.
            contextvars.copy_context().run(self._run, step)
        self._inbox.put(None)  # for the next thread

    def _run(self, step: Step) -> None:
        started = time.perf_counter()
        value, error = None, None
        try:
            if step.stopped is None:
                value = self._do(step)
        except BaseException as raised:
            error = raised
        # A module may have hidden why it was stopped, or turned it into an answer: that counts first.
        stopped = step.stopped
        step.close()
        if self._steps.pop(step.number, None) is None:
            return  # its caller has been told that it would not stop
        if stopped is not None:
            self._fail(step, stopped.failure, stopped.cause, started)
        elif error is not None:
            self._fail(step, self._describe(error), _cause(error), started)
        else:
            self._finish(step, value, started)

    def _do(self, step: Step) -> Any:
        operation = self._operation(step.call.operation)
        payload = tables.unpacked(step.call.payload, step.call.tables)
        if not self._cpu_seconds:
            return operation(step, payload)
        if self._threads:
            self._clocks[step] = ThreadClock()
            try:
                return operation(step, payload)
            finally:
                del self._clocks[step]
        # The soft limit alone, which may be raised again for the next call; whole seconds, rounded up.
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = int(time.process_time()) + 1 + self._cpu_seconds
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
        self._running = step
        try:
            return operation(step, payload)
        finally:
            self._running = None

    def _out_of_cpu(self, number: int, frame: object) -> None:
        if (step := self._running) is None:
            return
        stopped = self._cpu_time_exceeded()
        step.stop(stopped)
        raise stopped

    def _look_at_clocks(self) -> None:
        """Give up the calls whose threads computed too long. Nobody can end a thread: the host is told
        that this one goes on, and ends the process when the other calls in it are over."""
        for step, clock in tuple(self._clocks.items()):
            if clock.seconds() <= self._cpu_seconds or self._steps.pop(step.number, None) is None:
                continue
            stopped = self._cpu_time_exceeded()
            step.stop(stopped)
            message = ErrorMessage(failure=stopped.failure, seconds=clock.age(), stuck=True)
            self.send(Kind.ERROR, step.number, message)

    def _cpu_time_exceeded(self) -> StepStopped:
        message = (
            f"The call took more than {self._cpu_seconds:,} s of computing. "
            "Give the module less to do, or raise the pool's limit of CPU time."
        )
        return StepStopped(Failure(code="cpu_time_exceeded", message=message))

    def _operation(self, name: str) -> Operation:
        try:
            return self._operations[name]
        except KeyError:
            raise UnknownOperation(
                f"This worker has no operation '{name}'. It has: {', '.join(self._operations)}."
            ) from None

    def _describe(self, error: BaseException) -> Failure:
        for cause in _chain(error):
            if isinstance(cause, HostRefused):
                return cause.failure
            if isinstance(cause, MemoryError):
                message = (
                    "The worker may not take more memory. Give the module less data at once, or raise "
                    "the pool's limit of memory."
                )
                return Failure(code="out_of_memory", message=message)
        return self._worker.describe(error) or failure_of(error)

    def _finish(self, step: Step, value: Any, started: float) -> None:
        try:
            result = ResultMessage(value=value, seconds=time.perf_counter() - started)
            self.send(Kind.RESULT, step.number, result)
        except Exception as error:
            # Too large, too deep or not JSON: the step's own failure, and the connection is still whole.
            self._fail(step, failure_of(error), 0, started)

    def _fail(self, step: Step, failure: Failure, cause: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self.send(
            Kind.ERROR, step.number, ErrorMessage(failure=failure, cause=cause, seconds=seconds)
        )


class ThreadClock:
    """How long the thread that made it has computed since; never where the system does not say."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._started, self._number = 0.0, None
        if hasattr(time, "pthread_getcpuclockid"):
            self._number = time.pthread_getcpuclockid(threading.get_ident())
            self._started = time.clock_gettime(self._number)

    def age(self) -> float:
        return time.perf_counter() - self._begun

    def seconds(self) -> float:
        if self._number is None:
            return 0.0
        try:
            return time.clock_gettime(self._number) - self._started
        except OSError:  # the thread has ended
            return 0.0


class UnknownOperation(RunnerError):
    """The worker does not have this operation."""

    code = "operation_not_found"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _cause(error: BaseException) -> int:
    return next((item.cause for item in _chain(error) if isinstance(item, HostRefused)), 0)
