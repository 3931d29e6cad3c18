"""Whether and when the gateway repeats a call. Pure: clock and chance are arguments."""

from runner.lm.errors import LMError

# Longer waits are a person's business: the run is suspended instead of holding its place.
LONGEST_WAIT = 60.0


def wait_before_retry(
    error: LMError,
    *,
    attempt: int,
    retries: int,
    backoff: float,
    remaining: float | None,
    chance: float,
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    `attempt` counts from 1, `remaining` is what the deadline leaves (None: no limit), `chance` is a
    random number from 0 to 1. The wait doubles from `backoff`, half of it by chance, so that calls
    which failed together do not return together; it is never shorter than the provider asked for.
    """
    if attempt > retries:
        return None
    wait: float = min(backoff * 2 ** (attempt - 1), LONGEST_WAIT) * (0.5 + 0.5 * chance)
    wait = max(wait, error.details.get("retry_after") or 0.0)
    if wait > LONGEST_WAIT or (remaining is not None and wait >= remaining):
        return None
    return wait
