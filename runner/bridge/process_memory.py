"""How much memory processes take, and whether they live, where the system says it."""

import os
from pathlib import Path

_PROC = Path("/proc/self/stat")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
# Of the whole system, and of our own control group in a container.
_COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


def memory_of(pid: int) -> int | None:
    """Bytes, with its share of the pages that it has in common with others: a forked worker shares most
    of its own. None where that is not told. Takes about a millisecond: not for an event loop."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def resident(pid: int) -> int | None:
    """Bytes in memory, those that it shares included; None where that is not told. Takes microseconds."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def is_dead(pid: int) -> bool:
    """Whether the process has ended, reaped or not. False where that is not told."""
    if not _PROC.exists():
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
    except OSError:
        return False


class OutOfMemoryKills:
    """Tells whether the system killed a process for its memory since it was last asked."""

    def __init__(self) -> None:
        self._seen = _kills()

    def __call__(self) -> bool:
        seen, self._seen = self._seen, _kills()
        return self._seen > seen


def _kills() -> int:
    total = 0
    for path in _COUNTERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return total
