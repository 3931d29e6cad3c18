"""The text of the streams that are open in this process."""

import dataclasses
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from runner.engine.events import Chunk

type Key = tuple[int, int, str]  # attempt, call, field


@dataclasses.dataclass(slots=True)
class StreamText:
    """What has come of one field of one LM call. `stored` is the length at the last snapshot."""

    step: str
    attempt: int
    call: int
    field: str
    parts: list[str] = dataclasses.field(default_factory=list)
    length: int = 0
    stored: int = 0

    @property
    def text(self) -> str:
        if len(self.parts) > 1:
            self.parts[:] = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""


class OpenStreams:
    """The open streams of one run. Written on the event loop; `snapshot` may be asked from anywhere."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._steps: dict[str, dict[Key, StreamText]] = {}
        # Closed by an event of this number, which is not durable yet: the database has older text.
        self._closing: list[tuple[int, StreamText]] = []

    def take(self, chunk: Chunk) -> None:
        """Add a chunk; what overlaps is dropped by its offset."""
        streams = self._steps.setdefault(chunk.step, {})
        key = (chunk.attempt, chunk.call, chunk.field)
        stream = streams.get(key)
        if stream is None:
            stream = streams[key] = StreamText(chunk.step, *key)
        text = chunk.text[stream.length - chunk.offset :]
        stream.parts.append(text)
        stream.length += len(text)

    def close(self, seq: int, step: str, call: int | None = None) -> list[StreamText]:
        """Close the streams of a step, or of one of its calls, with the event of this number."""
        streams = self._steps.get(step, {})
        found = [streams.pop(key) for key in tuple(streams) if call is None or key[1] == call]
        if not streams:
            self._steps.pop(step, None)
        self._closing += [(seq, stream) for stream in found]
        return found

    def stored(self, seq: int) -> None:
        """The database has everything up to this event."""
        if self._closing:
            self._closing = [entry for entry in self._closing if entry[0] > seq]

    def grown(self) -> list[StreamText]:
        """Those with text that no snapshot has yet; they count as stored from now on."""
        found = [stream for stream in self if stream.length > stream.stored]
        for stream in found:
            stream.stored = stream.length
        return found

    def __iter__(self) -> Iterator[StreamText]:
        for streams in tuple(self._steps.values()):
            yield from tuple(streams.values())

    def snapshot(self) -> list[dict[str, Any]]:
        return [
            {
                "epoch": self.epoch,
                "step": stream.step,
                "attempt": stream.attempt,
                "call": stream.call,
                "field": stream.field,
                "text": "".join(tuple(stream.parts)),
                "open": True,
            }
            for stream in [*self, *(stream for _, stream in self._closing)]
        ]


HERE: dict[UUID, OpenStreams] = {}
"""The runs that go on in this process, which knows their text to the last chunk."""
