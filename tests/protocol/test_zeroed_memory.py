"""Memory that holds nothing but zeros is given back, and reads as before. In a process of its own, whose
other threads may not write meanwhile."""

import subprocess
import sys

import pytest

PROGRAM = """
import mmap
from pathlib import Path
from runner.lm.zeroed_memory import give_back_zeros

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

SIZE = 32 * 2**20
memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(bytes(SIZE))
memory[SIZE // 2 : SIZE // 2 + 5] = b"token"
before = resident()
given = give_back_zeros()
assert given >= SIZE - 2**20, given
assert before - resident() > SIZE - 4 * 2**20, (before, resident())
assert memory[SIZE // 2 : SIZE // 2 + 5] == b"token"
assert not any(memory[: SIZE // 2]) and not any(memory[SIZE // 2 + 5 :])
memory[7:8] = b"x"
assert memory[7] == 120
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its memory")
def test_zeros_are_given_back_and_read_as_zeros() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
