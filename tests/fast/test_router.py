"""The router's decision as a table, what it learns from, and its effect on a run."""

from typing import Any

import pytest

from pipelines.graph.graph import Backend
from runner.engine.errors import (
    InvalidConfig,
    OperationNotFound,
    RemoteError,
    UnparsableAnswer,
    failure_of,
)
from runner.engine.events import EventType, RunStatus
from runner.engine.execute import Execution
from runner.engine.fake import FakeExecutor
from runner.engine.figures import (
    FAILURES_TO_OPEN,
    OPEN_SECONDS,
    RECENT,
    Entry,
    Figures,
    MemoryFigures,
    Outcome,
    Subject,
)
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.router import (
    EXPLORATION,
    Router,
    RouterSettings,
    counts,
    decide,
    exploring,
    other_backend,
    score,
)
from runner.lm.errors import AuthError
from tests.graphs import chain

BOTH: tuple[Backend, ...] = ("native", "dspy")
PLAIN = RouterSettings()
DSPY_FIRST = RouterSettings(prefer_native=False)
NATIVE_ONLY = RouterSettings(fallback_to_python=False)


def measured(seconds: float = 0.1, *, errors: float = 0.0, cost: float = 0.0) -> Figures:
    return Figures(calls=20, timed=20, seconds=seconds, error_rate=errors, cost=cost)


def broken(at: float = 0.0) -> Figures:
    figures = Figures()
    for _ in range(FAILURES_TO_OPEN):
        figures = figures.after(Outcome(seconds=0.1, at=at, failed=True))
    return figures


def entry(native: Figures | None = None, dspy: Figures | None = None, **more: Any) -> Entry:
    given: dict[Backend, Figures | None] = {"native": native, "dspy": dspy}
    return Entry(figures={name: each for name, each in given.items() if each}, **more)


@pytest.mark.parametrize(
    ("wanted", "able", "settings", "backend", "reason"),
    [
        ("auto", BOTH, PLAIN, "native", "native is preferred"),
        ("auto", BOTH, DSPY_FIRST, "dspy", "prefer_native is off"),
        ("auto", BOTH, NATIVE_ONLY, "native", "fallback_to_python is off"),
        ("auto", ("native",), DSPY_FIRST, "native", "only implementation"),
        ("auto", ("dspy",), PLAIN, "dspy", "no native implementation"),
        ("native", BOTH, DSPY_FIRST, "native", "set on the node"),
        ("dspy", BOTH, PLAIN, "dspy", "set on the node"),
        ("dspy", BOTH, NATIVE_ONLY, "dspy", "set on the node"),
    ],
)
def test_the_ladder(wanted: Any, able: Any, settings: Any, backend: str, reason: str) -> None:
    decision = decide("predict", wanted=wanted, able=able, settings=settings)
    assert decision.backend == backend
    assert reason in decision.reason


FAST, SLOW = measured(0.1), measured(0.3)


@pytest.mark.parametrize(
    ("known", "settings", "backend", "reason"),
    [
        (entry(FAST, SLOW), PLAIN, "native", "native: 100 ms, dspy 300 ms"),
        (entry(SLOW, FAST), PLAIN, "dspy", "dspy: 100 ms, native 300 ms"),
        (entry(SLOW, FAST), NATIVE_ONLY, "native", "fallback_to_python is off"),
        (entry(measured(0.105), FAST), PLAIN, "native", "native: 105 ms"),
        (entry(measured(0.105), FAST), DSPY_FIRST, "dspy", "dspy: 100 ms"),
        (
            entry(measured(0.1, errors=0.4), measured(0.2)),
            PLAIN,
            "dspy",
            "native 100 ms, 40% errors",
        ),
        (entry(measured(0.1, cost=0.01), measured(0.2)), PLAIN, "dspy", "dspy: 200 ms"),
        (entry(SLOW, FAST, pin="native"), PLAIN, "native", "pinned by an administrator"),
        (entry(FAST, Figures()), PLAIN, "dspy", "call 1 of 3 to measure it"),
        (entry(FAST, Figures(timed=1), under_way={"dspy": 1}), PLAIN, "dspy", "call 3 of 3"),
        (entry(broken(), FAST), PLAIN, "dspy", "native failed 5 times in a row"),
        (entry(FAST, broken()), DSPY_FIRST, "native", "dspy failed 5 times in a row"),
        (entry(broken(), broken()), PLAIN, "native", "both fail"),
        (entry(broken(), broken(), pin="dspy"), PLAIN, "dspy", "pinned"),
        (entry(broken(-OPEN_SECONDS), FAST), PLAIN, "native", "tried again after 5 failures"),
        (
            entry(broken(-OPEN_SECONDS), FAST, probing={"native"}),
            PLAIN,
            "dspy",
            "native failed 5 times in a row",
        ),
    ],
)
def test_figures_decide(known: Entry, settings: RouterSettings, backend: str, reason: str) -> None:
    decision = decide("predict", wanted="auto", able=BOTH, settings=settings, entry=known)
    assert decision.backend == backend
    assert reason in decision.reason


def test_the_worse_one_is_asked_now_and_then() -> None:
    known = entry(FAST, SLOW)
    often = exploring(score(FAST), score(SLOW))
    for chance, backend in ((often - 0.001, "dspy"), (often, "native")):
        made = decide(
            "predict", wanted="auto", able=BOTH, settings=PLAIN, entry=known, chance=chance
        )
        assert made.backend == backend


@pytest.mark.parametrize("times", [1.5, 2, 10, 1_000])
def test_exploration_costs_no_more_than_its_share(times: float) -> None:
    assert exploring(1.0, times) * (times - 1) <= EXPLORATION + 1e-12


def test_what_is_not_warm_is_not_explored() -> None:
    for known in (entry(FAST), entry(FAST, SLOW)):
        made = decide(
            "predict",
            wanted="auto",
            able=BOTH,
            settings=PLAIN,
            entry=known,
            warm=("native",),
            chance=0,
        )
        assert made.backend == "native"


@pytest.mark.parametrize(
    ("wanted", "able", "settings", "words"),
    [
        ("auto", (), PLAIN, "No backend can run a predict"),
        ("auto", ("dspy",), NATIVE_ONLY, "fallback_to_python is off"),
        ("native", ("dspy",), PLAIN, "asks for native"),
    ],
)
def test_what_nobody_can_do_is_operation_not_found(
    wanted: Any, able: Any, settings: Any, words: str
) -> None:
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
def test_who_takes_over_after_a_failure(
    failed: Any, able: Any, settings: Any, backend: str | None
) -> None:
    other = other_backend(failed, able=able, settings=settings)
    assert (other and other.backend) == backend


# Figures


def test_figures_forget() -> None:
    figures = Figures()
    for _ in range(50):
        figures = figures.after(Outcome(seconds=1.0, at=0))
    for _ in range(30):
        figures = figures.after(Outcome(seconds=0.1, at=0))
    assert figures.seconds < 0.15
    assert (figures.calls, len(figures.recent)) == (80, RECENT)


def test_percentiles_are_of_the_last_calls() -> None:
    figures = Figures()
    for milliseconds in range(1, 101):
        figures = figures.after(Outcome(seconds=milliseconds / 1e3, at=0))
    assert figures.percentile(0.5) == 0.069  # of 37 to 100
    assert figures.percentile(0.95) == 0.097
    assert Figures().percentile(0.5) is None


def test_a_stored_answer_says_nothing_of_speed() -> None:
    figures = Figures().after(Outcome(seconds=0.001, at=0, timed=False))
    assert (figures.calls, figures.timed, figures.recent) == (1, 0, ())


def test_a_breaker_opens_tries_once_and_closes() -> None:
    figures = broken(at=100)
    assert figures.breaker(100) == "open"
    assert figures.breaker(100 + OPEN_SECONDS) == "half_open"
    again = figures.after(Outcome(seconds=0.1, at=140, failed=True))
    assert again.breaker(150) == "open"
    assert again.after(Outcome(seconds=0.1, at=180)).breaker(180) == "closed"


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (UnparsableAnswer(), True),
        (ZeroDivisionError(), True),
        (RemoteError(failure_of(ZeroDivisionError())), True),
        (RemoteError(failure_of(InvalidConfig())), False),
        (InvalidConfig(), False),
        (AuthError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_what_is_a_backend_s_fault_counts(error: BaseException, counted: bool) -> None:
    assert counts(error) is counted


def test_figures_are_apart_by_project_kind_signature_and_lm() -> None:
    class Config:
        lm = None
        signature = "a -> b"

    router = Router(scope="p", default_lm="local")
    assert router.subject("predict", Config()) == Subject("p", "predict", "a -> b", "local")


# In a run


async def routed(router: Router, *executors: FakeExecutor, **policy: Any) -> tuple[Any, list[Any]]:
    """Run one auto predict; how it ended, and the routing events' data."""
    journal = MemoryJournal()
    execution = Execution(
        plan(chain(1, policy=policy)),
        run_id="r",
        executors=executors,
        journal=journal,
        on_chunk=lambda chunk: None,
        router=router,
    )
    outcome = await execution.run({"x": "1"})
    return outcome, [each.data for each in journal.events if each.type is EventType.STEP_ROUTED]


def answering(backend: Backend) -> FakeExecutor:
    return FakeExecutor(backend=backend, otherwise=lambda call: {"y": backend})


def failing(backend: Backend) -> FakeExecutor:
    def fail(call: Any) -> Any:
        raise UnparsableAnswer("nonsense")

    return FakeExecutor(backend=backend, otherwise=fail)


async def test_a_run_records_the_decision_with_its_figures_and_learns() -> None:
    store = MemoryFigures()
    router = Router(figures=store, chance=lambda: 1.0)
    native, dspy = answering("native"), answering("dspy")
    chosen = [(await routed(router, native, dspy))[1][0]["backend"] for _ in range(7)]
    assert chosen[:6] == ["native", "dspy"] * 3
    _, (data,) = await routed(router, native, dspy)
    assert data["figures"]["dspy"]["calls"] >= 3
    (known,) = store.entries.values()
    assert sum(each.calls for each in known.figures.values()) == 8
    assert set(known.under_way.values()) == {0}


async def test_prefer_native_off_takes_dspy_where_both_can() -> None:
    outcome, _ = await routed(Router(DSPY_FIRST), answering("native"), answering("dspy"))
    assert outcome.outputs == {"y": "dspy"}


async def test_a_native_failure_goes_to_dspy_where_the_policy_says_so() -> None:
    outcome, data = await routed(
        Router(), failing("native"), answering("dspy"), on_error="fallback_backend"
    )
    assert outcome.outputs == {"y": "dspy"}
    assert [each["reason"] for each in data][1] == "dspy: fallback after native failed"


async def test_without_fallback_to_python_the_failure_stays() -> None:
    outcome, _ = await routed(
        Router(NATIVE_ONLY), failing("native"), answering("dspy"), on_error="fallback_backend"
    )
    assert outcome.status is RunStatus.FAILED


async def test_a_backend_that_keeps_failing_is_left_and_tried_again_later() -> None:
    now = [0.0]
    store = MemoryFigures()
    router = Router(figures=store, clock=lambda: now[0], chance=lambda: 1.0)
    native, dspy = failing("native"), answering("dspy")
    for _ in range(2 * FAILURES_TO_OPEN):
        await routed(router, native, dspy, backend="native")
    outcome, (data,) = await routed(router, native, dspy)
    assert outcome.outputs == {"y": "dspy"} and "failed 10 times in a row" in data["reason"]
    now[0] += OPEN_SECONDS
    mended = answering("native")
    outcome, (data,) = await routed(router, mended, dspy)
    assert outcome.outputs == {"y": "native"} and "tried again" in data["reason"]
    (known,) = store.entries.values()
    assert known.of("native").breaker(now[0]) == "closed" and not known.probing
