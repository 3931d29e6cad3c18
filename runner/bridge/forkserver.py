"""The forkserver: `python -m runner.bridge.forkserver --control FD --worker MODULE`.

Loads MODULE once (for DSPy, most of a second), then forks a worker around every socket that the host
sends over the control connection: 20 ms and a few megabytes each. It reports workers' ends, kills on
request, and ends with the host, taking its workers along: at the end of the control connection, also
when the host was killed.

The standard library's forkserver imports the host's `__main__` again and inherits its environment; a
worker must have neither. One thread, always: a fork copies only the thread that forks, with every lock
as the others held it.
"""

import argparse
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from runner.bridge.frames import PROTOCOL_VERSION, Kind
from runner.bridge.isolation import Isolation, NotPermitted, end_with, isolate
from runner.bridge.messages import ErrorMessage, Exited, Forked, Kill, Message, Ready
from runner.bridge.scratch import Scratch
from runner.bridge.wire import Received, Wire
from runner.bridge.worker_loop import Worker, WorkerLoop
from runner.engine.errors import Failure, failure_of

READ_SIZE = 64 * 1024
MAX_DESCRIPTORS = 32


class ForkServer:
    """The loop of the forkserver process."""

    def __init__(
        self, control: socket.socket, worker: Worker, limit: int, isolation: Isolation
    ) -> None:
        self._control = control
        self._worker = worker
        self._limit = limit
        self._isolation = isolation
        self._scratch = Scratch()
        self._wire = Wire()
        self._sockets: deque[int] = deque()
        # The number of each worker's directory, by pid.
        self._workers: dict[int, int] = {}

    def serve(self) -> None:
        """Fork, kill and report until the host is gone."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            while True:
                readable, _, _ = select.select([self._control.fileno(), wake_read], [], [])
                if wake_read in readable:
                    os.read(wake_read, READ_SIZE)
                    self._reap()
                if self._control.fileno() in readable and not self._hear():
                    return
        finally:
            self._kill_all()
            self._scratch.close()

    def _hear(self) -> bool:
        """Take what the host sent; False at its end."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, READ_SIZE, MAX_DESCRIPTORS)
        except ConnectionError:
            return False
        self._sockets.extend(descriptors)
        for received in self._wire.feed(data):
            if received.kind is Kind.SHUTDOWN:
                return False
            self._take(received)
        return bool(data)

    def _take(self, received: Received) -> None:
        if received.kind is Kind.FORK:
            self._fork(received.request)
        elif received.kind is Kind.KILL:
            self._kill(received.message)

    def _fork(self, number: int) -> None:
        descriptor, parent = self._sockets.popleft(), os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._send(Kind.ERROR, number, ErrorMessage(failure=failure_of(error)))
            return
        if pid == 0:
            self._become_worker(descriptor, parent, number)
        os.close(descriptor)
        self._workers[pid] = number
        self._send(Kind.FORKED, number, Forked(pid=pid))

    def _become_worker(self, descriptor: int, parent: int, number: int) -> NoReturn:
        """In the child. Never returns to the forkserver's loop, whatever happens."""
        try:
            measures = isolate(self._isolation, lambda: self._scratch.of(number), parent)
            self._scratch.leave()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            gc.enable()
            connection = socket.socket(fileno=descriptor)
            loop = WorkerLoop(connection, self._worker, limit=self._limit, isolation=measures)
            loop.limit_cpu(self._isolation.cpu_seconds)
            loop.serve()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _kill(self, message: Kill) -> None:
        # Only a child that is not reaped yet: its pid can't belong to anyone else.
        if message.pid in self._workers:
            os.kill(message.pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._workers:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self._workers:
                continue  # it removed a directory
            self._scratch.clear(self._workers.pop(pid))
            code = os.waitstatus_to_exitcode(status)
            died = Exited(pid=pid, signal=-code) if code < 0 else Exited(pid=pid, code=code)
            self._send(Kind.EXITED, 0, died)

    def _send(self, kind: Kind, number: int, message: Message) -> None:
        with suppress(OSError):  # a host that is gone is noticed by `_hear`
            self._control.sendall(self._wire.pack(kind, number, message))


def load(module: str) -> Worker:
    """Preload the worker's module, with no garbage collection to scatter the pages to be shared."""
    gc.disable()
    worker: Worker = importlib.import_module(module).preload()
    gc.collect()
    gc.freeze()
    return worker


def threads() -> int:
    """How many threads this process has; 1 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def greeting(module: str, worker: Worker) -> Ready:
    """What the host hears first: the proof of what is loaded."""
    return Ready(
        protocol=PROTOCOL_VERSION,
        format="json",
        pid=os.getpid(),
        versions={**worker.versions, "worker": module, "threads": str(threads())},
        operations=tuple(worker.operations),
        modules=worker.modules,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="runner.bridge.forkserver")
    parser.add_argument(
        "--control", type=int, required=True, help="descriptor of the control socket"
    )
    parser.add_argument("--worker", required=True, help="module whose preload() gives the worker")
    parser.add_argument("--limit", type=int, required=True, help="bytes a frame may have")
    parser.add_argument("--isolation", required=True, help="how workers are shut in, as JSON")
    options = parser.parse_args(arguments)
    control = socket.socket(fileno=options.control)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which then ends us
    with suppress(NotPermitted, OSError):
        # Also while it is stopped, when it would not hear the end of its connection.
        end_with(os.getppid())
    wire = Wire()
    try:
        worker = load(options.worker)
    except BaseException as error:
        failure = Failure(
            code="preload_failed",
            message=f"The worker module {options.worker} does not load: {error!r}",
            traceback=traceback.format_exc(),
        )
        control.sendall(wire.pack(Kind.ERROR, 0, ErrorMessage(failure=failure)))
        sys.exit(1)
    try:
        control.sendall(wire.pack(Kind.READY, 0, greeting(options.worker, worker)))
    except BrokenPipeError:
        return  # the host has ended while we loaded
    isolation = msgspec.json.decode(options.isolation, type=Isolation)
    ForkServer(control, worker, options.limit, isolation).serve()


if __name__ == "__main__":
    main()
