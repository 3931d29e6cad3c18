import pytest

from runner.engine.errors import OperationNotFound
from runner.engine.router import RouterSettings, decide, other_backend

BOTH = ("native", "dspy")
PLAIN = RouterSettings()
DSPY_FIRST = RouterSettings(prefer_native=False)
NATIVE_ONLY = RouterSettings(fallback_to_python=False)


@pytest.mark.parametrize(
    ("wanted", "able", "settings", "backend", "reason"),
    [
        ("auto", BOTH, PLAIN, "native", "native is preferred"),
        ("auto", BOTH, DSPY_FIRST, "dspy", "prefer_native is off"),
        ("auto", ("native",), DSPY_FIRST, "native", "only implementation"),
        ("auto", ("dspy",), PLAIN, "dspy", "no native implementation"),
        ("native", BOTH, DSPY_FIRST, "native", "set on the node"),
        ("dspy", BOTH, PLAIN, "dspy", "set on the node"),
        ("dspy", BOTH, NATIVE_ONLY, "dspy", "set on the node"),
    ],
)
def test_the_ladder(wanted, able, settings, backend, reason) -> None:  # type: ignore[no-untyped-def]
    decision = decide("predict", wanted=wanted, able=able, settings=settings)
    assert decision.backend == backend
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("wanted", "able", "settings", "words"),
    [
        ("auto", (), PLAIN, "No backend can run a predict"),
        ("auto", ("dspy",), NATIVE_ONLY, "fallback_to_python is off"),
        ("native", ("dspy",), PLAIN, "asks for native"),
    ],
)
def test_what_nobody_can_do_is_operation_not_found(wanted, able, settings, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OperationNotFound, match=words) as caught:
        decide("predict", wanted=wanted, able=able, settings=settings)
    assert caught.value.code == "operation_not_found"


@pytest.mark.parametrize(
    ("failed", "able", "settings", "backend"),
    [
        ("native", BOTH, PLAIN, "dspy"),
        ("dspy", BOTH, PLAIN, "native"),
        ("native", BOTH, NATIVE_ONLY, None),
        ("native", ("native",), PLAIN, None),
    ],
)
def test_who_takes_over_after_a_failure(failed, able, settings, backend) -> None:  # type: ignore[no-untyped-def]
    other = other_backend(failed, able=able, settings=settings)
    assert (other and other.backend) == backend
