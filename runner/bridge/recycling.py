"""When a worker has served enough. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycling:
    """A worker that did `calls`, is `age` seconds old, was not asked for `idle` seconds or takes `memory`
    bytes (resident, as measured) is replaced, between two steps. 0: no limit."""

    calls: int = 0
    age: float = 0.0
    idle: float = 0.0
    memory: int = 0


def why_recycled(
    limits: Recycling, *, calls: int, age: float, idle: float, memory: int | None
) -> str:
    """The limit that a resting worker has reached, in words; empty to keep it."""
    if limits.calls and calls >= limits.calls:
        return f"it did {calls:,} calls"
    if limits.age and age >= limits.age:
        return f"it was {age:,.0f} s old"
    if limits.memory and memory is not None and memory >= limits.memory:
        return f"it took {memory / 1e6:,.0f} MB"
    if limits.idle and idle >= limits.idle:
        return f"nobody asked for it in {idle:,.0f} s"
    return ""
