"""One web process per data directory, where it is to be found, and who executes runs there.

Locks are the kernel's: they end with the process however that ends, so there is no stale one. What is in
the first one's file is for whoever comes second.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another process serves this data directory. `address` is empty while it starts."""

    def __init__(self, pid: int, address: str) -> None:
        self.pid, self.address = pid, address
        where = f"at {address}" if address else "and is still starting"
        super().__init__(f"DSPex is already running {where} (process {pid}).")


@dataclass(frozen=True)
class Instance:
    """This process, while it holds the data directory."""

    file: IO[str]

    def tell(self, address: str = "") -> None:
        """Write down where it is to be found."""
        self.file.seek(0)
        self.file.truncate()
        json.dump({"pid": os.getpid(), "address": address}, self.file)
        self.file.flush()


@contextmanager
def only_instance(directory: Path) -> Iterator[Instance]:
    """Hold the data directory; AlreadyRunning when another process does."""
    with (directory / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _already_running(file) from None
        instance = Instance(file)
        instance.tell()
        yield instance


@contextmanager
def executing(directory: Path, when_alone: Callable[[], object]) -> Iterator[None]:
    """Be one of the processes that execute the runs of this data directory. `when_alone` is called first
    if there is no other, and none begins meanwhile."""
    with (directory / "runner.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            when_alone()
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _already_running(file: IO[str]) -> AlreadyRunning:
    file.seek(0)
    try:
        found = json.load(file)
    except ValueError:  # it is being written
        found = {}
    return AlreadyRunning(int(found.get("pid", 0)), str(found.get("address", "")))
