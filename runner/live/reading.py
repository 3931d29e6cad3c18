"""What happened since: the same for those who join, reconnect or poll."""

from typing import Any, TypedDict

import msgspec

from runner.live.frames import event_text
from runner.live.streams import HERE
from runner.models import Event, Run, Stream

PAGE = 200
"""Events that are given at once."""


class Since(TypedDict):
    """`events` are JSON texts. `seq` is the last event here; `more` says that there are further ones.
    `status` is not newer than the events: when it is final, nothing follows the last of them.
    `streams` has the text of streams that these events close and, without `more`, of the open ones."""

    run: str
    status: str
    epoch: int
    events: list[str]
    seq: int
    more: bool
    streams: list[dict[str, Any]]


def since(run: Run, after_seq: int, *, limit: int = PAGE) -> Since:
    """The events after this number, and the text of the streams that go with them. Three queries.

    Events are told from when the rows of steps have them on, so that who asks for more is not told less.
    The streams are read after the events, so their text is never older than the events say.
    """
    Run.refresh_from_db(run, fields=["status", "epoch", "last_seq"])
    rows = list(
        Event.objects.after(run.pk, after_seq)
        .filter(seq__lte=run.last_seq)
        .values_list("seq", "type", "at", "step", "attempt", "data", "artifacts")[: limit + 1]
    )
    more = len(rows) > limit
    seq = rows[:limit][-1][0] if rows else after_seq
    events = [
        event_text(seq, type_, at=at, step=step, attempt=attempt, data=data, aside=aside)
        for seq, type_, at, step, attempt, data, aside in rows[:limit]
    ]
    return {
        "run": str(run.pk),
        "status": run.status,
        "epoch": run.epoch,
        "events": events,
        "seq": seq,
        "more": more,
        "streams": _streams(run, after_seq, seq if more else None),
    }


def _streams(run: Run, after_seq: int, last_seq: int | None) -> list[dict[str, Any]]:
    """Streams that were closed after the one event, up to the other; to the end, with the open ones."""
    open_here = HERE.get(run.pk) if last_seq is None else None
    fresh = {_key(stream): stream for stream in open_here.snapshot()} if open_here else {}
    stored = [
        {
            "epoch": epoch,
            "step": step,
            "attempt": attempt,
            "call": call,
            "field": field,
            "text": text,
            "open": closed_seq is None,
        }
        for epoch, step, attempt, call, field, text, closed_seq in Stream.objects.between(
            run.pk, after_seq, last_seq
        ).values_list("epoch", "step", "attempt", "call", "field", "text", "closed_seq")
    ]
    return [stream for stream in stored if _key(stream) not in fresh] + list(fresh.values())


def _key(stream: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(stream[name] for name in ("epoch", "step", "attempt", "call", "field"))


def as_json(found: Since) -> str:
    """The answer to one who polls."""
    events = msgspec.Raw(f"[{','.join(found['events'])}]".encode())
    return msgspec.json.encode({**found, "events": events}).decode()
