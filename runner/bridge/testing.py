"""Working fakes of either side of the bridge, for tests and for who builds a worker of their own.

`ScriptedNursery` gives a real pool fake workers that a test speaks for. `ThreadNursery` runs the real
worker loop in threads. `FakeHost` speaks for the host to a real worker loop. All over real sockets.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from runner.bridge import shared
from runner.bridge.frames import PROTOCOL_VERSION, Kind
from runner.bridge.messages import (
    EMPTY,
    ChunkMessage,
    Exited,
    Hello,
    LMRequestMessage,
    LMResponseMessage,
    Message,
    Ready,
    ToolChunkMessage,
    ToolFlowMessage,
    ToolRequestMessage,
    ToolResponseMessage,
    TraceMessage,
)
from runner.bridge.nursery import Newborn, OnExit, Vitals
from runner.bridge.wire import Received, Wire
from runner.bridge.worker_loop import READ_SIZE, Worker, WorkerLoop
from runner.engine.errors import WorkerLost
from runner.lm.types import LMResponse

PATIENCE = 5.0
"""Seconds that a fake waits for the other side."""


class Recorder:
    """A call handler that answers LM requests with their text in capitals and tools with their
    arguments, and keeps what it hears."""

    def __init__(self) -> None:
        self.chunks: list[ChunkMessage] = []
        self.traces: list[TraceMessage] = []
        self.losses: list[WorkerLost] = []

    def lm_request(
        self, number: int, message: LMRequestMessage, answer: Callable[[LMResponseMessage], None]
    ) -> None:
        text = str(message.request.messages[0].content).upper()
        answer(LMResponseMessage(response=LMResponse(text=text)))

    def tool_request(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
    ) -> None:
        answer(ToolResponseMessage(value=message.arguments))

    def tool_flow(self, number: int, message: ToolFlowMessage) -> None:
        """Nothing streams here."""

    def chunk(self, message: ChunkMessage) -> None:
        self.chunks.append(message)

    def trace(self, message: TraceMessage) -> None:
        self.traces.append(message)

    def given_up(self) -> None: ...

    def lost(self, error: WorkerLost) -> None:
        self.losses.append(error)


class ScriptedWorker:
    """The worker's end of a connection; a test says what it says. Use on the host's event loop."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.connection = connection
        self.connection.setblocking(False)
        self.wire = Wire()
        self._received: deque[Received] = deque()

    async def shake_hands(self, **ready: Any) -> Hello:
        """Take the hello and be ready."""
        hello = (await self.expect(Kind.HELLO)).message
        assert isinstance(hello, Hello)
        message = {"protocol": PROTOCOL_VERSION, "format": "json", "pid": self.pid, **ready}
        await self.send(Kind.READY, 0, Ready(**message))
        return hello

    async def expect(self, kind: Kind) -> Received:
        """The next message, pings aside; it must be of this kind."""
        while not self._received:
            await self._receive()
        received = self._received.popleft()
        assert received.kind is kind, f"expected {kind.name}, got {received.kind.name}"
        return received

    async def send(self, kind: Kind, request: int, message: Message = EMPTY) -> None:
        for data, memory in self.wire.parcels(kind, request, message):
            sent = shared.send(self.connection, data, memory)
            await self.send_bytes(data[sent:])

    async def send_bytes(self, data: bytes | memoryview) -> None:
        """Send anything at all."""
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    def close(self) -> None:
        self.connection.close()

    async def _receive(self) -> None:
        buffer = memoryview(bytearray(READ_SIZE))
        async with asyncio.timeout(PATIENCE):
            await self._readable()
        size, descriptors = shared.receive(self.connection, buffer)
        if not size:
            raise ConnectionResetError("the host closed the connection")
        found = self.wire.feed(buffer[:size], descriptors)
        self._received.extend(item for item in found if item.kind is not Kind.PING)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.connection, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self.connection)


class ScriptedNursery:
    """Workers that do nothing by themselves; `next()` gives each to the test as it is asked for. What a
    test puts into `dead` and `memory`, by pid, the pool measures."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.dead: set[int] = set()
        self.memory: dict[int, int] = {}
        self._born: asyncio.Queue[ScriptedWorker] = asyncio.Queue()
        self._workers: dict[int, tuple[ScriptedWorker, OnExit]] = {}
        self._pids = count(1001)

    async def next(self) -> ScriptedWorker:
        async with asyncio.timeout(PATIENCE):
            return await self._born.get()

    async def start(self) -> None:
        """Nothing to start."""

    async def fork(self, on_exit: OnExit) -> Newborn:
        ours, theirs = socket.socketpair()
        worker = ScriptedWorker(next(self._pids), theirs)
        self._workers[worker.pid] = (worker, on_exit)
        self._born.put_nowait(worker)
        return Newborn(worker.pid, ours)

    def kill(self, pid: int) -> None:
        if pid in self._workers:
            self.killed.append(pid)
            self.end(pid, Exited(pid=pid, signal=9))

    def end(self, pid: int, exited: Exited | None) -> None:
        """Let a worker's process end like this."""
        worker, on_exit = self._workers.pop(pid)
        worker.close()
        on_exit(exited)

    def vitals(self, pid: int) -> Vitals:
        return Vitals(pid in self.dead, self.memory.get(pid))

    def heal(self) -> None:
        """Nothing to mend."""

    async def aclose(self) -> None:
        for pid in tuple(self._workers):
            self.kill(pid)


class ThreadNursery:
    """The real worker loop, in a thread per worker. A kill closes the connection."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._workers: dict[int, tuple[socket.socket, OnExit]] = {}
        self._threads: list[threading.Thread] = []
        self._pids = count(1001)

    async def start(self) -> None:
        """Nothing to start."""

    async def fork(self, on_exit: OnExit) -> Newborn:
        ours, theirs = socket.socketpair()
        pid = next(self._pids)
        self._workers[pid] = (theirs, on_exit)
        thread = threading.Thread(target=self._serve, args=(theirs,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return Newborn(pid, ours)

    def kill(self, pid: int) -> None:
        if pid in self._workers:
            theirs, on_exit = self._workers.pop(pid)
            with suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)
            on_exit(Exited(pid=pid, signal=9))

    def vitals(self, pid: int) -> Vitals:
        return Vitals(is_dead=False, memory=None)

    def heal(self) -> None:
        """Nothing to mend."""

    async def aclose(self) -> None:
        for pid in tuple(self._workers):
            self.kill(pid)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, PATIENCE)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            WorkerLoop(connection, self._worker, leave=lambda: None).serve()


class FakeHost:
    """The host's end of a connection to a real worker loop in a thread. Blocking; use as a context."""

    def __init__(self, worker: Worker, *, limit: int = 1024 * 1024) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(PATIENCE)
        self.left = threading.Event()
        self._theirs = theirs
        self.wire = Wire()
        self._received: deque[Received] = deque()
        loop = WorkerLoop(theirs, worker, limit=limit, leave=self.left.set)
        self.thread = threading.Thread(target=loop.serve, name="worker", daemon=True)

    def __enter__(self) -> "FakeHost":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self.thread.join(PATIENCE)
        self._theirs.close()

    def shake_hands(self, *formats: str) -> Ready:
        offered = formats or ("messagepack", "json")
        self.send(Kind.HELLO, 0, Hello(protocol=PROTOCOL_VERSION, formats=offered))
        ready = self.expect(Kind.READY).message
        assert isinstance(ready, Ready)
        return ready

    def send(self, kind: Kind, request: int, message: Message = EMPTY) -> None:
        for data, memory in self.wire.parcels(kind, request, message):
            sent = shared.send(self.connection, data, memory)
            self.send_bytes(data[sent:])

    def send_bytes(self, data: bytes | memoryview) -> None:
        """Send anything at all."""
        self.connection.sendall(data)

    def expect(self, kind: Kind) -> Received:
        """The next message; it must be of this kind."""
        received = self.receive()
        assert received.kind is kind, f"expected {kind.name}, got {received.kind.name}"
        return received

    def receive(self) -> Received:
        """The next message."""
        buffer = memoryview(bytearray(READ_SIZE))
        while not self._received:
            size, descriptors = shared.receive(self.connection, buffer)
            if not size:
                raise ConnectionResetError("the worker closed the connection")
            self._received.extend(self.wire.feed(buffer[:size], descriptors))
        return self._received.popleft()
