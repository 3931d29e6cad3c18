import pytest

from pipelines.graph.policy import StepPolicy
from runner.engine.errors import Failure
from runner.engine.retry import wait_before_retry


def wait(attempt: int = 1, remaining: float | None = None, **policy: object) -> float | None:
    retryable = policy.pop("retryable", True)
    return wait_before_retry(
        StepPolicy.model_validate({"retries": 3, "backoff": 1, "jitter": 0.5, **policy}),
        failure=Failure(code="x", message="x", retryable=bool(retryable)),
        attempt=attempt,
        remaining=remaining,
        chance=1.0,
    )


def test_the_wait_doubles_and_has_jitter() -> None:
    assert [wait(attempt) for attempt in (1, 2, 3)] == [1.5, 3, 6]


@pytest.mark.parametrize(
    "options",
    [{"attempt": 4}, {"retryable": False}, {"retry": "never"}, {"retries": 0}, {"remaining": 1.0}],
)
def test_when_there_is_no_further_attempt(options: dict[str, object]) -> None:
    assert wait(**options) is None  # type: ignore[arg-type]
