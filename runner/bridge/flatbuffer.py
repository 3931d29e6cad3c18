"""Reads flatbuffers, in which Arrow writes what its messages hold. Every place is checked: `struct.error` for
one outside of the data."""

import struct
from typing import NamedTuple


class Flat(NamedTuple):
    """A table in flatbuffers; fields by number."""

    data: memoryview
    at: int

    @classmethod
    def root(cls, data: memoryview) -> "Flat":
        return cls(data, u32(data, 0))

    def field(self, number: int) -> int:
        """Where the field is; 0 when it has its default."""
        (back,) = struct.unpack_from("<i", self.data, self.at)
        slots = self.at - back
        (size,) = struct.unpack_from("<H", self.data, slots)
        slot = 4 + 2 * number
        if slot + 2 > size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, slots + slot)
        return self.at + offset if offset else 0

    def value(self, number: int, layout: str) -> int:
        at = self.field(number)
        return int(struct.unpack_from(layout, self.data, at)[0]) if at else 0

    def table(self, number: int) -> "Flat":
        at = self.field(number)
        return Flat(self.data, at + u32(self.data, at))

    def text(self, number: int) -> str:
        at = self.field(number)
        start = at + u32(self.data, at)
        size = u32(self.data, start)
        return bytes(self.data[start + 4 : start + 4 + size]).decode()

    def tables(self, number: int) -> "list[Flat]":
        at = self.field(number)
        start = at + u32(self.data, at) + 4
        places = range(start, start + 4 * u32(self.data, start - 4), 4)
        return [Flat(self.data, place + u32(self.data, place)) for place in places]

    def start_of(self, number: int) -> int:
        """Where the first item of a vector is."""
        at = self.field(number)
        return at + u32(self.data, at) + 4

    def pairs(self, number: int) -> list[tuple[int, int]]:
        """A vector of two 64-bit numbers each."""
        at = self.field(number)
        if not at:
            return []
        start = at + u32(self.data, at)
        count = u32(self.data, start)
        flat = struct.unpack_from(f"<{2 * count}q", self.data, start + 4)
        return list(zip(flat[::2], flat[1::2], strict=True))


def u32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
