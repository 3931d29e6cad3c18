"""How a run's figures and states are written: `0.62 s`, `214 tok`, `$0.0043`, a glyph and a word."""

from datetime import datetime, timedelta

from runner.engine.events import RunStatus

GLYPHS = {
    "queued": "queued",
    "running": "running",
    "waiting": "waiting",
    "suspended": "waiting",
    "cancelling": "running",
    "succeeded": "ok",
    "failed": "failed",
    "cancelled": "cancelled",
    "skipped": "skipped",
}
WORDS = {**{status.value: status.value.capitalize() for status in RunStatus}, "skipped": "Skipped"}
WORDS["cancelling"] = "Stopping"
WORDS["cancelled"] = "Stopped"
GLYPH_WORDS = {
    "ok": "Succeeded",
    "running": "Running",
    "failed": "Failed",
    "waiting": "Waits for a person",
    "queued": "Queued",
    "cancelled": "Stopped",
    "skipped": "Skipped",
    "cached": "From cache",
}
"""What a step's look is called."""


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 0.01:
        return f"{value * 1000:.0f} ms"
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def tokens(count: int) -> str:
    return f"{count:,} tok"


def cost(dollars: float) -> str:
    """Exact where it is small."""
    return f"${dollars:.4f}" if 0 < dollars < 0.01 else f"${dollars:.2f}"


def between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max((end - start) / timedelta(seconds=1), 0.0)


def short_id(pk: object) -> str:
    """What people call a run: the end of its id, which tells runs of one moment apart."""
    return str(pk).replace("-", "")[-6:]
