"""Where workers come from: the host's side of the forkserver."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from runner.bridge import sandbox
from runner.bridge.frames import MAX_FRAME, Kind, ProtocolError
from runner.bridge.isolation import Isolation
from runner.bridge.messages import EMPTY, ErrorMessage, Exited, Forked, Kill, Message, Ready
from runner.bridge.pool_settings import DSPY_WORKER
from runner.bridge.process_memory import is_dead, resident
from runner.bridge.wire import Received, Wire
from runner.engine.errors import Failure, RemoteError, RunnerError

# All that a worker may know of the host's environment. Nothing here holds a key; HOME is left out
# because what libraries read there does.
ALLOWED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
_PROJECT = Path(__file__).parents[2]
_READ_SIZE = 64 * 1024

type OnExit = Callable[[Exited | None], None]


class WorkersUnavailable(RunnerError):
    """Worker processes can't be started."""

    code = "workers_unavailable"
    retryable = True


class ForkserverEnded(WorkersUnavailable):
    """The forkserver ended."""


class Newborn(NamedTuple):
    """A worker just forked: the host's end of its socket."""

    pid: int
    connection: socket.socket


class Vitals(NamedTuple):
    """`memory` is resident bytes, None where the system does not say."""

    is_dead: bool
    memory: int | None


class Nursery(Protocol):
    """Makes workers. `ForkNursery` makes processes; `testing.ThreadNursery` makes threads for tests."""

    async def start(self) -> None:
        """Be able to fork; again after a loss. Returns at once when it is."""
        ...

    async def fork(self, on_exit: OnExit) -> Newborn:
        """A worker. `on_exit` is told once of its end; with None when how it ended is unknown."""
        ...

    def kill(self, pid: int) -> None:
        """End a worker at once; one that has ended is no error."""
        ...

    def vitals(self, pid: int) -> Vitals:
        """How a worker is, measured now."""
        ...

    def heal(self) -> None:
        """Called now and then: mend what no event tells of."""
        ...

    async def aclose(self) -> None: ...


def environment(host: Mapping[str, str], paths: tuple[Path, ...] = ()) -> dict[str, str]:
    """The environment of forkserver and workers: an allow-list, and what keeps libraries quiet."""
    return {
        **{name: host[name] for name in ALLOWED if name in host},
        **sandbox.worker_environment(host),
        "PYTHONPATH": os.pathsep.join(str(path) for path in (_PROJECT, *paths)),
        "PYTHONUNBUFFERED": "1",
        # Importing litellm fetches a price list, and offline that stalls for many seconds.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # No directory: DSPy's disk cache, should anything ask for it, can't be made.
        "DSPY_CACHEDIR": os.devnull,
        # A worker does one step; the machine's cores are for several of them.
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }


class ForkNursery:
    """Starts `python -m runner.bridge.forkserver`, and starts it again when it is gone.

    `worker` is the module that it preloads; `paths` are further places to import from.
    """

    def __init__(
        self,
        worker: str = DSPY_WORKER,
        *,
        paths: tuple[Path, ...] = (),
        limit: int = MAX_FRAME,
        timeout: float = 60.0,
        patience: float = 10.0,
        isolation: Isolation | None = None,
    ) -> None:
        """Seconds: `timeout` to load the module, `patience` until one that does not fork or kill counts
        as stuck."""
        self._isolation = isolation or Isolation()
        self._worker = worker
        self._paths = paths
        self._limit = limit
        self._timeout = timeout
        self._patience = patience
        self._starting = asyncio.Lock()
        self._numbers = count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[Ready] | None = None
        self._wire = Wire()
        self._forks: dict[int, tuple[asyncio.Future[int], OnExit]] = {}
        self._workers: dict[int, OnExit] = {}
        self._killed: dict[int, float] = {}  # when; until its end is told

    async def start(self) -> None:
        async with self._starting:
            if self._control is None:
                await self._launch()

    async def fork(self, on_exit: OnExit) -> Newborn:
        await self.start()
        ours, theirs = socket.socketpair()
        number = next(self._numbers)
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forks[number] = (forked, on_exit)
        try:
            with theirs:
                self._send(Kind.FORK, number, EMPTY, (theirs.fileno(),))
            async with asyncio.timeout(self._patience):
                return Newborn(await forked, ours)
        except TimeoutError:
            ours.close()
            self._give_up()
            raise WorkersUnavailable(
                f"The forkserver did not fork within {self._patience:g} s. It is started anew."
            ) from None
        except BaseException:
            ours.close()  # a worker that was born after all ends at once
            raise

    def kill(self, pid: int) -> None:
        if pid in self._workers:
            self._killed.setdefault(pid, asyncio.get_running_loop().time())
            with suppress(WorkersUnavailable):  # its workers die with the forkserver
                self._send(Kind.KILL, 0, Kill(pid=pid))

    def vitals(self, pid: int) -> Vitals:
        return Vitals(is_dead(pid), resident(pid))

    def heal(self) -> None:
        """See whether the forkserver does what it is told; one that does not is killed, and its workers
        with it."""
        before = asyncio.get_running_loop().time() - self._patience
        if any(at < before for at in self._killed.values()):
            self._give_up()

    def _give_up(self) -> None:
        """A stopped process does not hear that its connection ended; SIGKILL reaches it all the same."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._lose()

    async def aclose(self) -> None:
        process = self._process
        self._lose()
        if process is not None:
            try:
                await asyncio.wait_for(process.wait(), timeout=2)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _launch(self) -> None:
        if not hasattr(os, "fork"):
            raise WorkersUnavailable(
                f"DSPy workers need a system that can fork; {sys.platform} can't. Native steps run. "
                "Use Linux, a container or WSL 2 for DSPy steps."
            )
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        try:
            with theirs:
                self._process = await self._spawn(theirs.fileno())
        except OSError as error:
            ours.close()
            raise WorkersUnavailable(f"The forkserver can't be started: {error}.") from error
        self._wire, self._control, self._ready = Wire(), ours, loop.create_future()
        loop.add_reader(ours, self._hear)
        try:
            await asyncio.wait_for(self._ready, self._timeout)
        except TimeoutError:
            await self.aclose()
            message = f"The forkserver did not load {self._worker} within {self._timeout:g} s."
            raise WorkersUnavailable(message) from None

    async def _spawn(self, control: int) -> asyncio.subprocess.Process:
        arguments = {
            "--control": control,
            "--worker": self._worker,
            "--limit": self._limit,
            "--isolation": msgspec.json.encode(self._isolation).decode(),
        }
        return await asyncio.create_subprocess_exec(
            # -P: the working directory is not a place to import from.
            *(sys.executable, "-P", "-m", "runner.bridge.forkserver"),
            *(str(part) for pair in arguments.items() for part in pair),
            env=environment(os.environ, self._paths),
            pass_fds=(control,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=2,  # a module that prints must not write into what the host prints
            start_new_session=True,  # Ctrl-C in a terminal is for the host alone
        )

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(_READ_SIZE, socket.MSG_DONTWAIT)
            for received in self._wire.feed(data):
                self._take(received)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            data = b""
        if not data:
            self._lose()

    def _take(self, received: Received) -> None:
        match received.message:
            case Ready() as ready if self._ready is not None and not self._ready.done():
                self._ready.set_result(ready)
            case Forked(pid=pid):
                forked, on_exit = self._forks.pop(received.request)
                self._workers[pid] = on_exit
                if forked.done():
                    self.kill(pid)  # who asked for it is gone
                else:
                    forked.set_result(pid)
            case Exited() as exited:
                self._killed.pop(exited.pid, None)
                self._workers.pop(exited.pid)(exited)
            case ErrorMessage(failure=failure):
                self._fail(received.request, failure)

    def _fail(self, number: int, failure: Failure) -> None:
        error = RemoteError(failure)
        if number in self._forks:
            forked, _ = self._forks.pop(number)
            if not forked.done():
                forked.set_exception(error)
        elif self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)

    def _lose(self) -> None:
        """The forkserver is gone, or is told to go; its workers go with it."""
        control, self._control = self._control, None
        if control is None:
            return
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        gone = ForkserverEnded()
        forks, self._forks = self._forks, {}
        workers, self._workers = self._workers, {}
        self._killed.clear()
        for future in (self._ready, *(forked for forked, _ in forks.values())):
            if future is not None and not future.done():
                future.set_exception(gone)
        for on_exit in workers.values():
            on_exit(None)

    def _send(
        self, kind: Kind, number: int, message: Message, descriptors: tuple[int, ...] = ()
    ) -> None:
        if self._control is None:
            raise ForkserverEnded
        data = self._wire.pack(kind, number, message)
        try:
            # Blocking, and never for long: the forkserver reads whenever it does not fork.
            socket.send_fds(self._control, [data], descriptors)
        except OSError as error:  # it died a moment ago, which `_hear` will hear
            raise ForkserverEnded(f"The forkserver ended: {error}.") from None
