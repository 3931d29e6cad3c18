"""What pools decide, each on its own: breaker, sessions, recycling, crashes, pace, timeouts, choice."""

from math import inf

import pytest

from runner.bridge.breaker import Breaker, BreakerSettings, BreakerState
from runner.bridge.crash_barrier import BarrierSettings, Crash, CrashBarrier, Suspect
from runner.bridge.endings import EndReason, reason_of
from runner.bridge.heartbeat import Heartbeat, HeartbeatSettings
from runner.bridge.messages import Exited
from runner.bridge.pacing import Pace, Pacer
from runner.bridge.pool_choice import pool_for
from runner.bridge.pool_health import MANY_CRASHES, PoolState, health_of
from runner.bridge.recycling import Recycling, why_recycled
from runner.bridge.sessions import Sessions, SessionSettings
from runner.bridge.timeouts import PROFILES, budget


def opened(**settings: float) -> Breaker:
    breaker = Breaker(BreakerSettings(failures=2, seconds=30, **settings))  # type: ignore[arg-type]
    breaker.failed(100)
    breaker.failed(101)
    return breaker


def test_breaker_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(BreakerSettings(failures=2))
    breaker.failed(1)
    breaker.succeeded()
    breaker.failed(2)
    assert breaker.state(2) is BreakerState.CLOSED
    breaker.failed(3)
    assert breaker.state(3) is BreakerState.OPEN
    assert not breaker.admits(3)


def test_half_open_breaker_lets_one_try_and_its_success_closes_it() -> None:
    breaker = opened()
    assert breaker.opens_in(121) == 10
    assert breaker.state(131) is BreakerState.HALF_OPEN
    assert [breaker.admits(131), breaker.admits(131)] == [True, False]
    breaker.succeeded()
    assert breaker.state(131) is BreakerState.CLOSED


def test_probe_that_fails_opens_the_breaker_anew_and_one_that_is_cancelled_lets_the_next_try() -> (
    None
):
    breaker = opened()
    assert breaker.admits(131)
    breaker.undecided()
    assert breaker.admits(132)
    breaker.failed(132)
    assert breaker.state(161) is BreakerState.OPEN


def test_success_from_before_says_nothing_of_an_open_breaker_and_a_reset_closes_it() -> None:
    breaker = opened()
    breaker.succeeded()
    assert breaker.state(102) is BreakerState.OPEN
    breaker.reset()
    assert breaker.admits(102)


def test_session_finds_its_worker_until_its_time_is_over() -> None:
    sessions = Sessions(SessionSettings(ttl=10))
    sessions.bind("a", 3, now=0)
    assert sessions.find("a", 9) == (3, 10, False)
    sessions.bind("a", 3, now=9)
    assert sessions.find("a", 18)
    assert sessions.find("a", 19) is None
    assert len(sessions) == 0


def test_the_session_used_longest_ago_makes_room() -> None:
    sessions = Sessions(SessionSettings(limit=2))
    for session in ("a", "b", "a", "c"):
        sessions.bind(session, 1, now=0)
    assert [sessions.find(each, 1) is not None for each in "abc"] == [True, False, True]
    assert sessions.are_many


def test_session_hears_once_that_its_worker_was_lost_and_nothing_of_one_that_was_recycled() -> None:
    sessions = Sessions(SessionSettings())
    sessions.bind("a", 1, now=0)
    sessions.bind("b", 2, now=0)
    sessions.ended(1, lost=True)
    sessions.ended(2, lost=False)
    found = sessions.find("a", 1)
    assert found is not None and found.lost
    assert sessions.find("a", 1) is sessions.find("b", 1) is None


def test_expired_sessions_are_swept() -> None:
    sessions = Sessions(SessionSettings(ttl=10))
    for place, session in enumerate("abc"):
        sessions.bind(session, place, now=place)
    sessions.sweep(11)
    assert sessions.by_worker() == {2: 1}


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({}, ""),
        ({"calls": 11}, ""),
        ({"calls": 10}, "10 calls"),
        ({"age": 60}, "60 s old"),
        ({"idle": 5}, "nobody asked for it in 5 s"),
        ({"memory": 200_000_000}, "300 MB"),
        ({"memory": 400_000_000}, ""),
    ],
)
def test_worker_is_recycled_at_the_limit(limits: dict[str, int], why: str) -> None:
    found = why_recycled(Recycling(**limits), calls=10, age=60, idle=5, memory=300_000_000)
    assert (why in found) and bool(why) == bool(found)


def test_memory_that_is_not_told_recycles_nobody() -> None:
    assert not why_recycled(Recycling(memory=1), calls=0, age=0, idle=0, memory=None)


def crash(at: float, step: str = "n1") -> Crash:
    return Crash((Suspect("run", step),), 1, EndReason.SEGFAULT, at)


def test_crash_taints_its_step_for_a_while() -> None:
    barrier = CrashBarrier(BarrierSettings(taint=60))
    barrier.crashed(crash(0))
    assert barrier.is_tainted(Suspect("run", "n1"), 59)
    assert not barrier.is_tainted(Suspect("run", "n2"), 59)
    assert not barrier.is_tainted(Suspect("run", "n1"), 60)
    assert not barrier


def test_wait_before_new_attempts_grows_with_some_jitter() -> None:
    barrier = CrashBarrier(BarrierSettings())
    assert [barrier.backoff(losses, 0) for losses in (1, 2, 3, 9)] == [0.05, 0.1, 0.2, 0.2]
    assert barrier.backoff(1, 1) == pytest.approx(0.0625)
    assert CrashBarrier(BarrierSettings(backoff=())).backoff(1, 1) == 0


def test_many_crashes_in_a_short_time_hold_spares_back() -> None:
    barrier = CrashBarrier(BarrierSettings(crashes=3, span=5))
    for at in (0, 1, 2):
        barrier.crashed(crash(at))
    assert not barrier.holds_spares(3)
    barrier.crashed(crash(3))
    assert barrier.holds_spares(4) and not barrier.holds_spares(6)


@pytest.mark.parametrize(
    ("exited", "reason"),
    [
        (Exited(pid=1, signal=11), EndReason.SEGFAULT),
        (Exited(pid=1, code=139), EndReason.SEGFAULT),
        (Exited(pid=1, signal=6), EndReason.ABORT),
        (Exited(pid=1, code=134), EndReason.ABORT),
        (Exited(pid=1, signal=24), EndReason.CPU_LIMIT),
        (Exited(pid=1, signal=15), EndReason.SIGNAL),
        (Exited(pid=1, code=7), EndReason.EXIT),
        (Exited(pid=1, signal=9), EndReason.KILLED),
        (None, EndReason.LOST),
    ],
)
def test_ends_are_told_apart(exited: Exited | None, reason: EndReason) -> None:
    assert reason_of(exited, out_of_memory=False) is reason
    assert reason.is_crash


def test_kill_while_the_system_was_out_of_memory_was_that() -> None:
    for exited in (Exited(pid=1, signal=9), Exited(pid=1, code=137)):
        assert reason_of(exited, out_of_memory=True) is EndReason.OUT_OF_MEMORY
    assert reason_of(Exited(pid=1, signal=11), out_of_memory=True) is EndReason.SEGFAULT


def test_what_we_ended_ourselves_is_no_crash() -> None:
    meant = {reason for reason in EndReason if not reason.is_crash}
    assert meant == {EndReason.RECYCLED, EndReason.STOPPED, EndReason.RELEASED}


def test_workers_are_started_in_batches() -> None:
    pacer = Pacer(Pace(batch=2, pause=0.5))
    for at in (0.0, 0.1):
        assert pacer.room(at) > 0
        pacer.started(at)
    assert pacer.room(0.2) == 0
    assert pacer.next_at(0.2) == 0.5
    assert pacer.room(0.55) == 1


def test_after_a_start_that_failed_there_is_a_pause() -> None:
    pacer = Pacer(Pace(after_failure=1))
    pacer.failed(5)
    assert pacer.room(5.9) == 0 and pacer.next_at(5.5) == 6
    assert pacer.room(6) == 10


@pytest.mark.parametrize(
    ("streams", "deadline", "end"), [(False, None, 160), (True, None, 400), (True, 130, 130)]
)
def test_budget_is_the_earlier_of_deadline_and_profile(
    streams: bool, deadline: float | None, end: float
) -> None:
    profile = PROFILES["production_strict"]
    assert budget(profile, now=100, deadline=deadline, streams=streams) == end


def test_batch_streams_without_end() -> None:
    assert PROFILES["batch"].stream == inf
    assert budget(PROFILES["batch"], now=1, deadline=None, streams=True) is None
    assert set(PROFILES) == {
        "balanced",
        "production",
        "production_strict",
        "development",
        "ml_inference",
        "batch",
    }


@pytest.mark.parametrize(
    ("module", "pool"),
    [
        ("ColBERTv2", "neural"),
        ("Embeddings", "neural"),
        ("NeuralReranker", "neural"),
        ("rerank", "neural"),
        ("MIPROv2", "optimizer"),
        ("mipro", "optimizer"),
        ("COPRO", "optimizer"),
        ("BootstrapFewShotWithRandomSearch", "optimizer"),
        ("bootstrap_few_shot", "optimizer"),
        ("GEPA", "optimizer"),
        ("SIMBA", "optimizer"),
        ("Predict", "general"),
        ("ChainOfThought", "general"),
        ("BestOfN", "general"),
    ],
)
def test_module_s_name_says_its_pool(module: str, pool: str) -> None:
    assert pool_for((module,)) == pool


def test_inner_module_counts_too() -> None:
    assert pool_for(("BestOfN", "ColBERTv2")) == "neural"
    assert pool_for(()) == "general"


def test_worker_that_is_late_with_a_pong_is_known_before_it_is_lost() -> None:
    heartbeat, settings = Heartbeat(), HeartbeatSettings(timeout=10)
    number = heartbeat.ping(0)
    assert not heartbeat.is_late(10, settings) and heartbeat.is_late(11, settings)
    assert not heartbeat.is_lost(11, settings)
    heartbeat.pong(number)
    assert not heartbeat.is_late(11, settings)


HEALTHY = {
    "breaker": BreakerState.CLOSED,
    "opens_in": 0.0,
    "draining": False,
    "crashes": [],
    "queued": 0,
    "queue_limit": 10,
    "silent": 0,
    "sessions_are_many": False,
}


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        ({}, PoolState.OK, ""),
        ({"breaker": BreakerState.OPEN, "opens_in": 12.0}, PoolState.BROKEN, "12 s"),
        ({"draining": True}, PoolState.BROKEN, "resumed"),
        ({"breaker": BreakerState.HALF_OPEN}, PoolState.DEGRADED, "tries"),
        ({"crashes": [crash(0)] * MANY_CRASHES}, PoolState.DEGRADED, "crashed"),
        ({"silent": 1}, PoolState.DEGRADED, "do not answer"),
        ({"queued": 6}, PoolState.DEGRADED, "half full"),
        ({"sessions_are_many": True}, PoolState.DEGRADED, "sessions"),
    ],
)
def test_health_is_the_worst_that_is_to_be_said(
    changed: dict[str, object], state: PoolState, why: str
) -> None:
    found = health_of(**{**HEALTHY, **changed})  # type: ignore[arg-type]
    assert found.state is state and why in found.why
