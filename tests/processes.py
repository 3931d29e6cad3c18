"""Which programs there are, and whether processes live that tests kill."""

import asyncio
import re
import shutil
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> bool:
    """Whether all of them have ended within three seconds."""
    for _ in range(300):
        if not any(alive(pid) for pid in pids):
            return True
        await asyncio.sleep(0.01)
    return False


def children(pid: int, having: str) -> list[int]:
    """The processes below this one whose command line has these words."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found += [child] if having in command else []
            found += children(child, having)
    return found


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL; Debian keeps it out of PATH."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    folders = [each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(
        folders, key=lambda each: int(re.sub(r"\D", "", each.parent.name) or 0), default=None
    )
