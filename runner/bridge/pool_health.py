"""How a pool is, in one word and a sentence. Pure."""

from enum import StrEnum
from typing import NamedTuple

from runner.bridge.breaker import BreakerState
from runner.bridge.crash_barrier import Crash

MANY_CRASHES = 10
"""Within the time that a crash taints: from there on something is wrong with more than one step."""


class PoolState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # it works, and somebody should look
    BROKEN = "broken"  # it does no steps


class PoolHealth(NamedTuple):
    state: PoolState
    why: str = ""


def health_of(
    *,
    breaker: BreakerState,
    opens_in: float,
    draining: bool,
    crashes: list[Crash],
    queued: int,
    queue_limit: int,
    silent: int,
    sessions_are_many: bool,
) -> PoolHealth:
    """The worst that is to be said; `silent` workers miss a ping."""
    if breaker is BreakerState.OPEN:
        why = f"Too many calls failed in a row. One may try in {opens_in:.0f} s."
        return PoolHealth(PoolState.BROKEN, why)
    if draining:
        return PoolHealth(PoolState.BROKEN, "Steps wait until it is resumed.")
    if breaker is BreakerState.HALF_OPEN:
        return PoolHealth(PoolState.DEGRADED, "The next call tries whether workers work again.")
    if len(crashes) >= MANY_CRASHES:
        return PoolHealth(PoolState.DEGRADED, f"{len(crashes)} workers crashed lately.")
    if silent:
        return PoolHealth(PoolState.DEGRADED, f"{silent} of its workers do not answer.")
    if queued * 2 > queue_limit:
        return PoolHealth(PoolState.DEGRADED, "Its queue is more than half full.")
    if sessions_are_many:
        return PoolHealth(PoolState.DEGRADED, "It has nearly as many sessions as it may.")
    return PoolHealth(PoolState.OK)
