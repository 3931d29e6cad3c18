"""What goes over the socket, and what polling returns: see docs/reference/live.md.

Frames are JSON text that is made once and sent as it is to everybody who watches.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import msgspec

from runner.engine.events import EventType

FRAME = 128 * 1024
"""Characters of events in one frame."""

encode = msgspec.json.Encoder().encode
# Prompts and answers of LM calls are long, and the answer's text has been streamed: they are had from
# the step, when somebody looks.
_LEFT_OUT: Mapping[str, frozenset[str]] = {EventType.LM_CALL: frozenset({"messages", "response"})}
_WITH_FAILURE = frozenset({EventType.STEP_FAILED, EventType.ATTEMPT_FAILED, EventType.RUN_FINISHED})


def event_text(
    seq: int,
    type_: str,
    *,
    at: float,
    step: str,
    attempt: int,
    data: str,
    aside: str,
) -> str:
    """An event as browsers get it, from its stored form. Without tracebacks: they name paths, and are
    for the run's owner, on the step's page."""
    event: dict[str, Any] = {
        "seq": seq,
        "type": type_,
        "at": at,
        "step": step,
        "attempt": attempt,
        "data": msgspec.Raw(_public(type_, data).encode()),
    }
    if aside != "{}":
        event["artifacts"] = msgspec.Raw(aside.encode())
    return encode(event).decode()


def _public(type_: str, data: str) -> str:
    left_out = _LEFT_OUT.get(type_, frozenset())
    if not left_out and (type_ not in _WITH_FAILURE or '"traceback"' not in data):
        return data
    value = msgspec.json.decode(data)
    if isinstance(failure := value.get("failure"), dict):
        failure.pop("traceback", None)
    return encode({name: v for name, v in value.items() if name not in left_out}).decode()


def events_frame(run: UUID, events: Iterable[str]) -> str:
    return f'{{"type":"events","run":"{run}","events":[{",".join(events)}]}}'


def chunks_frame(run: UUID, chunks: Iterable[Mapping[str, Any]]) -> str:
    return frame("chunks", run=str(run), chunks=list(chunks))


def streams_frame(run: UUID, streams: Iterable[Mapping[str, Any]]) -> str:
    return frame("streams", run=str(run), streams=list(streams))


def frame(type_: str, /, **parts: Any) -> str:
    return encode({"type": type_, **parts}).decode()


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """In frames that a browser takes in one go."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > FRAME:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
