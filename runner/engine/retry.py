"""Whether and when a failed attempt is followed by another one. Pure: clock and chance are arguments."""

from pipelines.graph.policy import StepPolicy
from runner.engine.errors import Failure


def wait_before_retry(
    policy: StepPolicy,
    *,
    failure: Failure,
    attempt: int,
    remaining: float | None,
    chance: float,
) -> float | None:
    """Seconds to wait before the next attempt, or None for no further one.

    `attempt` counts from 1, `remaining` is what the deadline leaves (None: no limit), `chance` is
    a random number from 0 to 1. The wait doubles from `policy.backoff` and grows by up to
    `policy.jitter` of itself.
    """
    if not failure.retryable or policy.retry == "never" or attempt > policy.retries:
        return None
    wait: float = policy.backoff * 2 ** (attempt - 1) * (1 + policy.jitter * chance)
    if remaining is not None and wait >= remaining:
        return None
    return wait
