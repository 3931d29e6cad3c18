"""What it took to reach a worker and come back: one line for each time that a step did."""

from collections.abc import Iterable
from typing import Any

from django.template.defaultfilters import filesizeformat

from runner.engine.events import EventType
from runner.models import Event
from runner.views.values import event_value

NOTHING = 0.05
"""Milliseconds below which a time is shown as none."""
SECOND = 1_000.0


def crossings_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The crossings among a step's events, as texts."""
    traces = (event_value(event) for event in events if event.type == EventType.TRACE)
    return [_line(trace) for trace in traces if trace.get("name") == "bridge"]


def _line(trace: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": f"{trace.get('format')}, arrow" if trace.get("tables") else trace.get("format"),
        "time": _milliseconds(trace.get("ms", 0.0)),
        "waited": _milliseconds(trace.get("queued_ms", 0.0)),
        "worked": _milliseconds(trace.get("worked_ms", 0.0)),
        "bars": _bars([trace.get(name, 0.0) for name in ("queued_ms", "ms", "worked_ms")]),
        "notes": _notes(trace),
    }


def _bars(times: list[float]) -> list[dict[str, Any]]:
    """What the step's time went to, one after the other, in hundredths of all of it."""
    whole, before, bars = sum(times), 0.0, []
    for part, time in zip(("queue", "bridge", "worker"), times, strict=True):
        width = 100 * time / whole if whole else 0.0
        bars.append({"part": part, "x": f"{before:.2f}", "width": f"{width:.2f}"})
        before += width
    return bars


def _notes(trace: dict[str, Any]) -> list[str]:
    """How much crossed, to which worker, and what went beside the socket."""
    shared = trace.get("shared_out", 0) + trace.get("shared_in", 0)
    tables = trace.get("tables", 0)
    sizes = filesizeformat(trace.get("bytes_out", 0)), filesizeformat(trace.get("bytes_in", 0))
    notes = [
        f"{sizes[0]} out, {sizes[1]} in",
        f"process {trace.get('worker')} of pool {trace.get('pool', 'general')}",
    ]
    if shared:
        notes.append(f"{filesizeformat(shared)} through shared memory")
    if tables:
        notes.append(f"{tables} table{'s' if tables > 1 else ''} in Arrow")
    return notes


def _milliseconds(value: float) -> str:
    if value >= SECOND:
        return f"{value / SECOND:,.1f} s"
    return f"{value:,.1f} ms" if value >= NOTHING else "—"
