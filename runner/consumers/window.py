"""How much is on the way to a browser.

Nothing below us says when a reader is slow: the server takes every frame and buffers it. So the socket
sends a mark now and then, which the page sends back when it gets there; what was sent since the last
mark that came back is on the way. A mark is also the heartbeat.
"""

MARK_EVERY = 32 * 1024
LIMIT = 256 * 1024
"""Bytes between two marks, and bytes on the way from which nothing more is sent."""


class Window:
    """Counts one socket's bytes. Time is the event loop's."""

    def __init__(self, now: float) -> None:
        self.sent = 0
        self.returned_at = now
        self._returned = 0
        self._marks: dict[int, int] = {}
        self._number = 0

    @property
    def is_open(self) -> bool:
        return self.sent - self._returned < LIMIT

    @property
    def mark_is_due(self) -> bool:
        last = max(self._marks.values(), default=self._returned)
        return self.sent - last >= MARK_EVERY

    @property
    def waits_for_mark(self) -> bool:
        return bool(self._marks)

    def count(self, frame: str) -> None:
        self.sent += len(frame)

    def mark(self) -> int:
        """The number of a new mark, which stands for all that was sent so far."""
        self._number += 1
        self._marks[self._number] = self.sent
        return self._number

    def came_back(self, number: int, now: float) -> bool:
        """Take a mark back, and with it all earlier ones; False for one that is not out."""
        if number not in self._marks:
            return False
        self._returned, self.returned_at = self._marks[number], now
        self._marks = {n: sent for n, sent in self._marks.items() if n > number}
        return True
