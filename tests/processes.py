"""Whether processes live, for tests that kill them."""

import asyncio
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
