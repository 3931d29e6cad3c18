"""Server-sent events, decoded from bytes. No I/O.

httpx's own `aiter_lines` also breaks lines at U+2028 and its like, which JSON strings may hold.
"""

from collections.abc import Iterator

from runner.lm.errors import UnexpectedResponse

LONGEST_EVENT = 16 * 2**20


class EventDecoder:
    """Feed it bytes; it gives the events that they complete, as (event name, data)."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._length = 0

    def feed(self, received: bytes) -> Iterator[tuple[str, bytes]]:
        self._length += len(received)
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line:
                self._field(line)
            else:
                self._length = len(self._rest)
                if self._data:
                    yield self._name, b"\n".join(self._data)
                self._name, self._data = "", []
        if self._length > LONGEST_EVENT:
            raise UnexpectedResponse(f"An event of the stream is over {LONGEST_EVENT >> 20} MiB.")

    def finish(self) -> Iterator[tuple[str, bytes]]:
        """The last event of a stream that ends without an empty line."""
        return self.feed(b"\n\n")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")  # a comment has an empty name
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
