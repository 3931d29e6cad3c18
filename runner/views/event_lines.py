"""Events as lines: when, of which step, what happened, what it says."""

from collections.abc import Iterable
from typing import Any

from runner.models import Event, Run
from runner.views import figures
from runner.views.outline import outline_of

_SAID = ("reason", "cause", "question", "comment")
_NAMED = ("status", "profile", "model", "name", "by")
"""What an event says by itself, and what needs its name before it."""
_LOOKS = {
    "step_waiting": "waiting",
    "step_succeeded": "ok",
    "step_failed": "failed",
    "step_skipped": "skipped",
    "step_cancelled": "cancelled",
    "attempt_failed": "failed",
    "retract": "warn",
}


def event_lines(run: Run, events: Iterable[Event]) -> list[dict[str, Any]]:
    outline = outline_of(run.version)
    begin = run.started_at.timestamp() if run.started_at else 0.0
    return [
        {
            "event": event,
            "at": figures.seconds(max(event.at - begin, 0.0)),
            "title": outline.title(event.step) if event.step else "",
            "glyph": _LOOKS.get(event.type, ""),
            "word": event.type.capitalize().replace("_", " ").replace("Lm ", "LM "),
            "says": _says(event),
        }
        for event in events
    ]


def _says(event: Event) -> str:
    """One line of what the event holds."""
    data = event.value
    failure = data.get("failure") or {}
    parts = [str(data[name]) for name in _SAID if data.get(name)]
    parts += [f"{name} {data[name]}" for name in _NAMED if data.get(name)]
    if isinstance(data.get("seconds"), float):
        parts.append(figures.seconds(data["seconds"]))
    return " · ".join([*parts, *([str(failure.get("message"))] if failure else [])])[:500]
