"""How long a call may take: named profiles, and the one budget that waiting and working share. Pure."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutProfile:
    """Seconds: `call` for a call, `stream` for one whose text streams while it goes on, `queue` for the
    wait for a worker, which counts for the other two as well."""

    call: float
    stream: float
    queue: float


PROFILES = {
    "balanced": TimeoutProfile(call=300, stream=900, queue=10),
    "production": TimeoutProfile(call=300, stream=900, queue=10),
    "production_strict": TimeoutProfile(call=60, stream=300, queue=5),
    "development": TimeoutProfile(call=900, stream=3_600, queue=60),
    "ml_inference": TimeoutProfile(call=900, stream=3_600, queue=60),
    "batch": TimeoutProfile(call=3_600, stream=inf, queue=300),
}
"""Snakepit's, by their names."""


def budget(
    profile: TimeoutProfile, *, now: float, deadline: float | None, streams: bool
) -> float | None:
    """When a call that is asked for now must be over, whatever it spends its time on: the earlier one
    of the step's own deadline and the profile's. None: never."""
    own = now + (profile.stream if streams else profile.call)
    end = own if deadline is None else min(own, deadline)
    return None if end == inf else end
