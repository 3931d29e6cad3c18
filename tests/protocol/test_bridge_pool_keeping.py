"""Pools that keep their workers, and what keeps pools well: against fake workers."""

import asyncio
from typing import Any

import pytest

from runner.bridge.breaker import BreakerSettings
from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.frames import Kind
from runner.bridge.heartbeat import HeartbeatSettings
from runner.bridge.messages import ErrorMessage, Exited, ResultMessage
from runner.bridge.nursery import WorkersUnavailable
from runner.bridge.pacing import Pace
from runner.bridge.pool import Outcome, PoolBusy
from runner.bridge.pool_errors import CircuitOpen, SessionWorkerUnavailable, WorkerBusy
from runner.bridge.recycling import Recycling
from runner.bridge.sessions import Affinity
from runner.bridge.testing import ScriptedWorker
from runner.engine.errors import Failure, RemoteError, StepTimeout, WorkerLost
from tests.pool_bench import Bench, MakeBench, finish, until

SEGFAULT = 11


async def served(call: asyncio.Task[Outcome], worker: ScriptedWorker) -> Outcome:
    await finish(worker)
    return await call


async def begun(worker: ScriptedWorker) -> int:
    """The number of the call that it has now."""
    return (await worker.expect(Kind.CALL)).request


async def crash(bench: Bench, worker: ScriptedWorker, signal: int = SEGFAULT) -> None:
    await begun(worker)
    bench.nursery.end(worker.pid, Exited(pid=worker.pid, signal=signal))


async def settled() -> None:
    """Long enough for two rounds of looking."""
    await asyncio.sleep(0.05)


async def test_kept_worker_serves_run_after_run(make: MakeBench) -> None:
    bench = make(reuse=True)
    call = bench.call("one")
    worker = await bench.worker()
    await served(call, worker)
    await bench.pool.release_run("one")
    outcome = await served(bench.call("two"), worker)
    assert outcome.worker.pid == worker.pid
    assert bench.nursery.killed == []


async def two_sessions(bench: Bench) -> tuple[ScriptedWorker, ScriptedWorker]:
    """Two workers: session a was last on the first, session b on the second."""
    calls = [bench.call("r1", session="a"), bench.call("r2", session="b")]
    workers = [await bench.worker(), await bench.worker()]
    for worker in workers:
        await finish(worker)
    pids = [(await call).worker.pid for call in calls]
    by_pid = {worker.pid: worker for worker in workers}
    return by_pid[pids[0]], by_pid[pids[1]]


async def test_session_finds_its_worker_in_another_run(make: MakeBench) -> None:
    bench = make(reuse=True)
    first, second = await two_sessions(bench)
    for session, worker in (("a", first), ("b", second), ("a", first)):
        outcome = await served(bench.call("later", session=session), worker)
        assert outcome.worker.pid == worker.pid
    assert bench.pool.stats()["sessions"] == 2


async def test_hint_takes_another_worker_when_the_session_s_is_busy(make: MakeBench) -> None:
    bench = make(reuse=True)
    first, second = await two_sessions(bench)
    bench.call("r1", session="a")
    await begun(first)
    outcome = await served(bench.call("r3", session="a"), second)
    assert outcome.worker.pid == second.pid


async def test_strict_queue_waits_for_the_session_s_worker(make: MakeBench) -> None:
    bench = make(reuse=True, affinity=Affinity.STRICT_QUEUE)
    first, _ = await two_sessions(bench)
    bench.call("r1", session="a")
    number = await begun(first)
    waiting = bench.call("r3", session="a")
    await asyncio.sleep(0.01)
    assert bench.pool.stats()["queued"] == 1
    await first.send(Kind.RESULT, number, ResultMessage(value=1))
    assert (await served(waiting, first)).worker.pid == first.pid


async def test_strict_fail_fast_does_not_wait(make: MakeBench) -> None:
    bench = make(reuse=True, affinity=Affinity.STRICT_FAIL_FAST)
    first, _ = await two_sessions(bench)
    bench.call("r1", session="a")
    await begun(first)
    with pytest.raises(WorkerBusy, match="session 'a'") as raised:
        await bench.call("r3", session="a")
    assert raised.value.code == "worker_busy"


@pytest.mark.parametrize("affinity", [Affinity.STRICT_QUEUE, Affinity.STRICT_FAIL_FAST])
async def test_strict_session_hears_that_its_worker_was_lost_and_goes_on_with_another(
    make: MakeBench, affinity: Affinity
) -> None:
    bench = make(reuse=True, affinity=affinity)
    first, second = await two_sessions(bench)
    bench.nursery.end(first.pid, Exited(pid=first.pid, signal=SEGFAULT))
    await settled()
    with pytest.raises(SessionWorkerUnavailable, match="crashed") as raised:
        await bench.call("r3", session="a")
    assert raised.value.code == "session_worker_unavailable"
    assert (await served(bench.call("r3", session="a"), second)).worker.pid == second.pid


async def test_who_waits_for_a_session_s_worker_hears_of_its_crash(make: MakeBench) -> None:
    bench = make(reuse=True, affinity=Affinity.STRICT_QUEUE)
    first, _ = await two_sessions(bench)
    bench.call("r1", session="a", repeat=False)
    await begun(first)
    waiting = bench.call("r3", session="a")
    await asyncio.sleep(0.01)
    bench.nursery.end(first.pid, Exited(pid=first.pid, signal=SEGFAULT))
    with pytest.raises(SessionWorkerUnavailable):
        await waiting


async def test_step_that_crashed_a_kept_worker_gets_one_of_its_own(make: MakeBench) -> None:
    bench = make(reuse=True, size=3)
    first, second = await two_sessions(bench)
    call = bench.call("r1", session="a", step="bad")
    await crash(bench, first)
    own = await bench.worker()
    assert (await served(call, own)).worker.pid == own.pid
    await until(lambda: bench.nursery.killed == [own.pid])
    assert [each["reason"] for each in bench.pool.stats()["tainted"]] == ["segfault"]
    assert (await served(bench.call("r4"), second)).worker.pid == second.pid


async def test_worker_is_recycled_after_its_calls(make: MakeBench) -> None:
    bench = make(reuse=True, recycling=Recycling(calls=2))
    worker: ScriptedWorker | None = None
    for number in range(2):
        call = bench.call(f"run-{number}")
        worker = worker or await bench.worker()
        await served(call, worker)
    assert worker is not None
    await until(lambda: bench.pool.stats()["ends"])
    assert bench.nursery.killed == [worker.pid]
    (end,) = bench.pool.stats()["ends"]
    assert (end["reason"], end["why"], end["lost"]) == ("recycled", "it did 2 calls", False)


@pytest.mark.parametrize(
    ("limits", "why"),
    [({"age": 0.2}, "s old"), ({"idle": 0.05}, "nobody asked"), ({"memory": 500}, "it took")],
)
async def test_resting_worker_is_recycled_when_it_is_looked_at(
    make: MakeBench, limits: dict[str, Any], why: str
) -> None:
    bench = make(reuse=True, recycling=Recycling(**limits), reconcile=0.01)
    call = bench.call()
    worker = await bench.worker()
    number = await begun(worker)
    bench.nursery.memory[worker.pid] = 1_000
    await settled()
    assert bench.nursery.killed == []  # not while it works
    await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    await call
    await until(lambda: bench.pool.stats()["ends"])
    assert bench.nursery.killed == [worker.pid]
    assert why in bench.pool.stats()["ends"][0]["why"]


async def test_worker_that_never_rests_is_recycled_between_two_steps(make: MakeBench) -> None:
    """In a pool with much to do each worker has its next step at once: nobody sees it resting."""
    bench = make(reuse=True, size=1, reconcile=0.01, recycling=Recycling(memory=500))
    first = bench.call("one")
    worker = await bench.worker()
    number = await begun(worker)
    second = bench.call("two")
    bench.nursery.memory[worker.pid] = 501
    await until(lambda: bench.pool.stats()["workers"][0]["memory"] == 501)
    assert bench.nursery.killed == []
    await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    other = await bench.worker()
    assert (await served(second, other)).worker.pid == other.pid
    assert (await first).worker.pid == worker.pid
    assert bench.pool.stats()["ends"][0]["why"] == "it took 0 MB"


async def test_time_in_the_queue_is_taken_from_the_time_to_work(make: MakeBench) -> None:
    bench = make(size=1, cancel_grace=0.01, reuse=True)
    bench.call("one")
    first = await bench.worker()
    number = await begun(first)
    loop = asyncio.get_running_loop()
    began = loop.time()
    late = bench.call("two", deadline=began + 0.2)
    await asyncio.sleep(0.12)
    await first.send(Kind.RESULT, number, ResultMessage(value=1))
    await begun(first)
    granted = loop.time()
    with pytest.raises(StepTimeout, match=r"waited 0\.1.* s for a worker of pool 'general'"):
        await late
    assert loop.time() - granted < 0.15  # of 0.2 in all
    assert bench.nursery.killed == [first.pid]  # it did not stop when told to


async def test_profile_bounds_a_call_that_has_no_deadline(make: MakeBench) -> None:
    from runner.bridge import timeouts

    bench = make(cancel_grace=0.01, profile="quick")
    quick = timeouts.TimeoutProfile(call=0.05, stream=30, queue=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(timeouts.PROFILES, "quick", quick)
        call, streaming = bench.call("one"), bench.call("two", streams=True)
        workers = [await bench.worker(), await bench.worker()]
        for worker in workers:
            await begun(worker)
        with pytest.raises(StepTimeout, match="time was up"):
            await call
        assert not streaming.done()


async def test_breaker_opens_when_calls_fail_in_a_row_and_a_reset_closes_it(
    make: MakeBench,
) -> None:
    bench = make(lost_retries=0, breaker=BreakerSettings(failures=2))
    for _ in range(2):
        call = bench.call()
        await crash(bench, await bench.worker())
        with pytest.raises(WorkerLost):
            await call
    with pytest.raises(CircuitOpen, match=r"2 failed in a row. The last: .*segmentation") as raised:
        await bench.call()
    assert raised.value.code == "circuit_open"
    assert bench.pool.stats()["state"] == "broken"
    bench.pool.reset_breaker()
    await served(bench.call(), await bench.worker())


async def test_half_open_breaker_lets_one_call_try(make: MakeBench) -> None:
    bench = make(lost_retries=0, breaker=BreakerSettings(failures=1, seconds=0.03))
    call = bench.call()
    await crash(bench, await bench.worker())
    with pytest.raises(WorkerLost):
        await call
    await asyncio.sleep(0.04)
    probe = bench.call()
    worker = await bench.worker()
    with pytest.raises(CircuitOpen):
        await bench.call("other")
    await served(probe, worker)
    assert bench.pool.stats()["breaker"] == "closed"


async def test_crash_that_a_new_attempt_healed_does_not_count_for_the_breaker(
    make: MakeBench,
) -> None:
    bench = make(breaker=BreakerSettings(failures=1))
    call = bench.call()
    await crash(bench, await bench.worker())
    await served(call, await bench.worker())
    assert bench.pool.stats()["breaker"] == "closed"
    assert bench.pool.stats()["retried"] == 1


async def test_new_attempts_wait_a_little_longer_each_time(make: MakeBench) -> None:
    bench = make(barrier=BarrierSettings(backoff=(0.03, 0.06)), spares=1, size=3)
    call = bench.call()
    at = []
    first = await bench.worker()
    second = await bench.worker()
    await crash(bench, first)
    at.append(asyncio.get_running_loop().time())
    third = await bench.worker()  # the spare is refilled meanwhile
    await crash(bench, second)
    at.append(asyncio.get_running_loop().time())
    await begun(third)
    at.append(asyncio.get_running_loop().time())
    assert at[1] - at[0] >= 0.03 and at[2] - at[1] >= 0.06
    call.cancel()


@pytest.mark.parametrize(
    ("exited", "reason"),
    [
        ({"signal": 11}, "segfault"),
        ({"signal": 9}, "killed"),
        ({"signal": 6}, "abort"),
        ({"code": 3}, "exit"),
    ],
)
async def test_what_a_worker_died_of_is_in_the_error_and_on_the_page(
    make: MakeBench, exited: dict[str, int], reason: str
) -> None:
    bench = make()
    call = bench.call(repeat=False)
    worker = await bench.worker()
    await begun(worker)
    bench.nursery.end(worker.pid, Exited(pid=worker.pid, **exited))
    with pytest.raises(WorkerLost) as raised:
        await call
    assert raised.value.details["reason"] == reason
    assert bench.pool.stats()["ends"][0]["reason"] == reason


async def test_forkserver_that_dies_while_a_step_waits_costs_the_step_a_moment(
    make: MakeBench,
) -> None:
    bench = make(pace=Pace(after_failure=0.01), lost_retries=2)
    await asyncio.gather(bench.pool.start(), bench.worker())
    await bench.pool.release_run("")  # the first one; nobody had it
    bench.nursery.failing = 2
    await served(bench.call(repeat=False), await bench.worker())
    await bench.pool.release_run("run")
    bench.nursery.failing = 3
    with pytest.raises(WorkersUnavailable, match="forkserver ended"):
        await bench.call()


async def test_worker_that_is_killed_as_it_starts_costs_the_step_a_moment(make: MakeBench) -> None:
    bench = make(pace=Pace(after_failure=0.01))
    await asyncio.gather(bench.pool.start(), bench.worker())
    await bench.pool.release_run("")
    call = bench.call(repeat=False)
    unborn = await bench.nursery.next()
    bench.nursery.end(unborn.pid, Exited(pid=unborn.pid, signal=9))
    await served(call, await bench.worker())


async def test_many_workers_are_started_in_batches(make: MakeBench) -> None:
    bench = make(size=5, per_run=5, pace=Pace(batch=2, pause=0.05))
    for _ in range(5):
        bench.call()
    await bench.worker()
    await asyncio.sleep(0.02)
    assert bench.pool.stats()["started"] == 2
    await until(lambda: bench.pool.stats()["started"] == 5)


async def test_worker_that_died_unseen_is_found_and_its_step_done_by_another(
    make: MakeBench,
) -> None:
    bench = make(reconcile=0.01)
    call = bench.call()
    worker = await bench.worker()
    await begun(worker)
    bench.nursery.dead.add(worker.pid)  # something holds its socket, and nobody tells of it
    assert (await served(call, await bench.worker())).worker.pid != worker.pid


async def test_spare_that_is_missing_is_started_when_it_is_looked_at(make: MakeBench) -> None:
    barrier = BarrierSettings(backoff=(), crashes=0, span=0.3)
    bench = make(spares=1, barrier=barrier, reconcile=0.01)
    await asyncio.gather(bench.pool.start(), bench.worker())
    (spare,) = bench.pool.stats()["workers"]
    bench.nursery.end(spare["pid"], Exited(pid=spare["pid"], signal=SEGFAULT))
    await asyncio.sleep(0.015)
    assert bench.pool.stats()["started"] == 1  # one crash is one too many here
    await bench.worker()


async def test_worker_that_is_late_with_a_pong_gets_no_step(make: MakeBench) -> None:
    heartbeat = HeartbeatSettings(interval=0.01, timeout=0.02, missed=100)
    bench = make(heartbeat=heartbeat)
    call = bench.call()
    silent = await bench.worker()
    await served(call, silent)
    await settled()
    again = bench.call()
    assert (await served(again, await bench.worker())).worker.pid != silent.pid


async def test_drained_pool_ends_its_workers_after_their_steps_and_keeps_who_waits(
    make: MakeBench,
) -> None:
    bench = make(size=2)
    one = bench.call("one")
    worker = await bench.worker()
    number = await begun(worker)
    bench.pool.drain()
    two = bench.call("two")
    await asyncio.sleep(0.01)
    assert bench.nursery.killed == []
    await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    await one
    await until(lambda: bench.pool.stats()["workers"] == [])
    assert bench.nursery.killed == [worker.pid]
    assert bench.pool.stats()["queued"] == 1
    bench.pool.resume()
    await served(two, await bench.worker())


async def test_worker_that_was_starting_when_its_pool_was_drained_ends_too(
    make: MakeBench,
) -> None:
    bench = make(reconcile=0.01)
    call = bench.call()
    starting = await bench.nursery.next()
    bench.pool.drain()
    await starting.shake_hands()
    await until(lambda: bench.nursery.killed == [starting.pid])
    assert bench.pool.stats()["queued"] == 1
    bench.pool.resume()
    await served(call, await bench.worker())


async def test_who_waits_too_long_for_a_drained_pool_is_told_so(make: MakeBench) -> None:
    bench = make(queue_timeout=0.02)
    call = bench.call("one")
    await served(call, await bench.worker())
    bench.pool.drain()
    with pytest.raises(PoolBusy, match="It is drained"):
        await bench.call("two")


async def test_pool_grows_and_shrinks_while_it_runs(make: MakeBench) -> None:
    bench = make(size=1)
    one, two = bench.call("one"), bench.call("two")
    first = await bench.worker()
    number = await begun(first)
    bench.pool.scale(2, 0)
    await served(two, await bench.worker())
    bench.pool.scale(1, 0)
    await settled()
    assert first.pid not in bench.nursery.killed
    assert len(bench.pool.stats()["workers"]) == 1
    await first.send(Kind.RESULT, number, ResultMessage(value=1))
    await one


async def test_one_worker_is_replaced_after_its_step(make: MakeBench) -> None:
    bench = make(size=1)
    call = bench.call()
    worker = await bench.worker()
    number = await begun(worker)
    bench.pool.retire(bench.pool.stats()["workers"][0]["number"])
    await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    await call
    again = bench.call()
    assert (await served(again, await bench.worker())).worker.pid != worker.pid
    assert "administrator" in bench.pool.stats()["ends"][0]["why"]


async def test_workers_that_can_not_be_started_open_the_breaker(make: MakeBench) -> None:
    bench = make(breaker=BreakerSettings(failures=1))
    call = bench.call()
    worker = await bench.nursery.next()
    await worker.expect(Kind.HELLO)
    failure = Failure(code="preload_failed", message="no dspy")
    await worker.send(Kind.ERROR, 0, ErrorMessage(failure=failure))
    with pytest.raises(RemoteError, match="no dspy"):
        await call
    with pytest.raises(CircuitOpen, match="no dspy"):
        await bench.call()
