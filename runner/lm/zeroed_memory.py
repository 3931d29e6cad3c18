"""Gives back to the system what a process has written nothing but zeros into.

llama.cpp clears the keys and values of all the tokens that it could ever hold when it starts, which makes
them resident; most of them are never used. Anonymous memory that is given back reads as zeros again, so
nobody can tell the difference, except by the pages that there are.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

SMALLEST = 8 * 1024 * 1024
PIECE = 64 * 1024
"""Bytes: of a region that is worth a look, and what is given back at once."""
_DONTNEED = 4  # MADV_DONTNEED of Linux
_ZEROS = bytes(PIECE)


def give_back_zeros() -> int:
    """Bytes that were given back. Nobody may write while this looks: call it before there is work."""
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    given = 0
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        for start, end in _regions():
            for at in range(start, end - PIECE + 1, PIECE):
                if os.pread(memory, PIECE, at) == _ZEROS and not madvise(at, PIECE, _DONTNEED):
                    given += PIECE
    finally:
        os.close(memory)
    return given


def _regions() -> Iterator[tuple[int, int]]:
    """Anonymous memory of this process's own, large pieces of it: where they start and end."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, _, _, inode, *name = line.split()
        start, end = (int(address, 16) for address in addresses.split("-"))
        if rights == "rw-p" and inode == "0" and not name and end - start >= SMALLEST:
            yield start, end
