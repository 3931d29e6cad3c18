"""What it took to reach a worker and come back: one line for each time that a step did."""

from collections.abc import Iterable
from typing import Any

from django.template.defaultfilters import filesizeformat

from runner.engine.events import EventType
from runner.models import Event
from runner.views.values import event_value

NOTHING = 0.05
"""Milliseconds below which a time is shown as none."""


def crossings_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The crossings among a step's events, as texts."""
    traces = (event_value(event) for event in events if event.type == EventType.TRACE)
    return [_line(trace) for trace in traces if trace.get("name") == "bridge"]


def _line(trace: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": f"{trace.get('format')}, arrow" if trace.get("tables") else trace.get("format"),
        "bytes_out": filesizeformat(trace.get("bytes_out", 0)),
        "bytes_in": filesizeformat(trace.get("bytes_in", 0)),
        "time": _milliseconds(trace.get("ms", 0.0)),
        "waited": _milliseconds(trace.get("queued_ms", 0.0)),
        "notes": _notes(trace),
    }


def _notes(trace: dict[str, Any]) -> list[str]:
    """Which worker it was, and what went beside the socket."""
    shared = trace.get("shared_out", 0) + trace.get("shared_in", 0)
    tables = trace.get("tables", 0)
    notes = [f"process {trace.get('worker')} of pool {trace.get('pool', 'general')}"]
    if shared:
        notes.append(f"{filesizeformat(shared)} through shared memory")
    if tables:
        notes.append(f"{tables} table{'s' if tables > 1 else ''} in Arrow")
    return notes


def _milliseconds(value: float) -> str:
    return f"{value:,.1f} ms" if value >= NOTHING else "—"
