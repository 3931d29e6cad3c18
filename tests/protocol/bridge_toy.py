"""A worker module without DSPy, for tests of real processes: it loads in a tenth of a second."""

import os
import resource  # noqa: F401 (for `try_all`)
import signal
import socket  # noqa: F401
import subprocess  # noqa: F401
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.bridge import shared
from runner.bridge.frames import Kind
from runner.bridge.messages import ResultMessage
from runner.bridge.tables import Table
from runner.bridge.worker_loop import Step, Worker
from runner.lm.types import LMRequest, Message


def who(step: Step, payload: dict[str, Any]) -> Any:
    main = __import__("__main__")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "environment": dict(os.environ),
        "environ_file": Path("/proc/self/environ").read_bytes().decode(),
        "threads": threading.active_count(),
        "main": main.__spec__.name if main.__spec__ else "",
        "django": "django" in __import__("sys").modules,
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def die(step: Step, payload: dict[str, Any]) -> Any:
    """Die until the file says that enough have."""
    path = Path(payload["file"])
    died = path.read_text() if path.exists() else ""
    if len(died) < payload["times"]:
        path.write_text(died + "x")
        os.kill(os.getpid(), signal.SIGKILL)
    return len(died)


def ask_then_die(step: Step, payload: dict[str, Any]) -> Any:
    request = LMRequest(messages=(Message(role="user", content="hi"),))
    text = step.ask_lm(request)[1].result().text
    return [text, die(step, payload)]


def ask(step: Step, payload: dict[str, Any]) -> Any:
    """Ask the host; what it answered, and who asked."""
    request = LMRequest(messages=(Message(role="user", content=payload["text"]),))
    return [step.ask_lm(request)[1].result().text, os.getpid()]


def leave(step: Step, payload: dict[str, Any]) -> Any:
    os._exit(payload["code"])


def crash(step: Step, payload: dict[str, Any]) -> Any:
    """Die of this signal, sent by nobody else."""
    with suppress(OSError):  # SIGKILL has no handler
        signal.signal(payload["signal"], signal.SIG_DFL)
    os.kill(os.getpid(), payload["signal"])


def leave_a_child(step: Step, payload: dict[str, Any]) -> Any:
    """Fork a child that holds this worker's socket, and keep it for a while."""
    pid = os.fork()
    if pid == 0:
        time.sleep(payload["seconds"])
        os._exit(0)
    return pid


def wait(step: Step, payload: dict[str, Any]) -> Any:
    time.sleep(payload["seconds"])


def try_all(step: Step, payload: dict[str, Any]) -> Any:
    """Do what a worker may not, and say what came of each."""
    said: dict[str, str] = {}
    for name, attempt in payload["attempts"].items():
        try:
            said[name] = str(eval(attempt))  # the test's own text
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def burn(step: Step, payload: dict[str, Any]) -> Any:
    while True:
        sum(range(100_000))


def take(step: Step, payload: dict[str, Any]) -> Any:
    return len(bytearray(payload["bytes"]))


def litter(step: Step, payload: dict[str, Any]) -> Any:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"left behind")
    Path("here").write_text("too")
    return [file.name, os.getcwd()]


def again(step: Step, payload: dict[str, Any]) -> Any:
    """A table in, a table anew out."""
    table = payload["table"].arrow()
    return {"rows": len(table), "table": Table.of(table)}


def many(step: Step, payload: dict[str, Any]) -> Any:
    """Records, of which one is no row of a table."""
    return {"rows": [{"n": n} for n in range(payload["rows"])] + [{"n": "no number"}]}


def hold(step: Step, payload: dict[str, Any]) -> Any:
    rows = payload["table"].arrow()
    time.sleep(60)
    return len(rows)


def die_sending(step: Step, payload: dict[str, Any]) -> Any:
    """Die with a table's descriptor under way, and half a message."""
    table = Table.of_records([{"n": n} for n in range(payload["rows"])])
    parcels = step._loop._wire.parcels(Kind.RESULT, step.number, ResultMessage(value=table))
    socket_ = step._loop._connection
    for data, memory in parcels:
        shared.send(socket_, data[: len(data) - 3], memory)
        break
    os.kill(os.getpid(), signal.SIGKILL)


def preload() -> Worker:
    operations = {
        "who": who,
        "die": die,
        "ask_then_die": ask_then_die,
        "ask": ask,
        "leave": leave,
        "wait": wait,
        "crash": crash,
        "leave_a_child": leave_a_child,
        "try_all": try_all,
        "burn": burn,
        "take": take,
        "litter": litter,
        "again": again,
        "many": many,
        "hold": hold,
        "die_sending": die_sending,
    }
    return Worker(operations=operations, versions={"toy": "1"})
