"""One DSPex per data directory, and where it is to be found.

The lock is the kernel's: it ends with the process however that ends, so there is no stale one. What is
in the file is for whoever comes second.
"""

import fcntl
import json
import os
from collections.abc import Iterator
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


def _already_running(file: IO[str]) -> AlreadyRunning:
    file.seek(0)
    try:
        found = json.load(file)
    except ValueError:  # it is being written
        found = {}
    return AlreadyRunning(int(found.get("pid", 0)), str(found.get("address", "")))
