"""The real pool against fake workers, over socketpairs."""

import asyncio

import pytest

from runner.bridge.frames import Kind, pack
from runner.bridge.heartbeat import HeartbeatSettings
from runner.bridge.messages import (
    CallMessage,
    ChunkMessage,
    ErrorMessage,
    Exited,
    LMRequestMessage,
    ResultMessage,
    ToolRequestMessage,
    TraceMessage,
)
from runner.bridge.pool import PoolBusy, PoolClosed
from runner.engine.errors import Failure, RemoteError, StepTimeout, WorkerLost
from runner.lm.types import LMRequest, Message
from tests.pool_bench import CALL, MakeBench, finish

REQUEST = LMRequest(messages=(Message(role="user", content="hi"),))


async def test_call_reaches_a_worker_and_its_result_comes_back(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.worker()
    received = await worker.expect(Kind.CALL)
    assert received.message == CALL
    await worker.send(Kind.RESULT, received.request, ResultMessage(value=[1], seconds=0.25))
    outcome = await call
    assert outcome.message == ResultMessage(value=[1], seconds=0.25)
    assert (outcome.worker.pid, outcome.format) == (worker.pid, "json")
    assert outcome.traffic.bytes_out > len("echo") and outcome.traffic.bytes_in > 10


async def test_run_keeps_its_worker_from_step_to_step(make: MakeBench) -> None:
    bench = make()
    first = bench.call()
    worker = await bench.worker()
    await finish(worker)
    await first
    second = bench.call()
    await finish(worker)
    assert (await second).worker.pid == worker.pid


async def test_worker_is_killed_when_its_run_is_over(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.worker()
    await finish(worker)
    await call
    await bench.pool.release_run("run")
    assert bench.nursery.killed == [worker.pid]


async def test_runs_never_share_a_worker(make: MakeBench) -> None:
    bench = make()
    one = bench.call("one")
    worker = await bench.worker()
    await finish(worker)
    await one
    two = bench.call("two")
    other = await bench.worker()
    await finish(other)
    assert (await two).worker.pid == other.pid != worker.pid


async def test_parallel_steps_take_further_workers_up_to_the_limit_of_the_run(
    make: MakeBench,
) -> None:
    bench = make(size=4, per_run=2)
    calls = [bench.call() for _ in range(3)]
    first, second = await bench.worker(), await bench.worker()
    received = await first.expect(Kind.CALL)
    await second.expect(Kind.CALL)
    assert bench.pool.stats()["queued"] == 1
    assert len(bench.pool.stats()["workers"]) == 2
    await first.send(Kind.RESULT, received.request, ResultMessage(value=1))
    await finish(first, value=2)
    assert [(await call).message.value for call in (calls[0], calls[2])] == [1, 2]  # type: ignore[union-attr]


async def test_spare_is_forked_ahead(make: MakeBench) -> None:
    bench = make(spares=1)
    await asyncio.gather(bench.pool.start(), bench.worker())
    call = bench.call()
    spare = await bench.worker()
    assert len(bench.pool.stats()["workers"]) == 2
    call.cancel()
    assert spare.pid


async def test_pool_never_has_more_workers_than_its_size(make: MakeBench) -> None:
    bench = make(size=2, spares=2, per_run=9)
    for number in range(5):
        bench.call(f"run-{number}")
    await bench.worker()
    await bench.worker()
    await asyncio.sleep(0.02)
    assert len(bench.pool.stats()["workers"]) == 2
    assert bench.pool.stats()["queued"] == 3


async def test_worker_that_a_run_only_holds_is_taken_back_for_one_that_waits(
    make: MakeBench,
) -> None:
    bench = make(size=1)
    one = bench.call("one")
    worker = await bench.worker()
    await finish(worker)
    await one
    two = bench.call("two")
    other = await bench.worker()
    await finish(other)
    await two
    assert bench.nursery.killed == [worker.pid]
    assert bench.pool.stats()["reclaimed"] == 1


async def test_waiting_for_a_worker_has_a_limit(make: MakeBench) -> None:
    bench = make(size=1, queue_timeout=0.02)
    bench.call("one")
    await (await bench.worker()).expect(Kind.CALL)
    with pytest.raises(PoolBusy, match="No worker of pool 'general' was free within"):
        await bench.call("two")


async def test_waiting_for_a_worker_spends_the_deadline(make: MakeBench) -> None:
    bench = make(size=1)
    bench.call("one")
    await (await bench.worker()).expect(Kind.CALL)
    deadline = asyncio.get_running_loop().time() + 0.02
    with pytest.raises(StepTimeout, match="while waiting for pool"):
        await bench.call("two", deadline=deadline)


async def test_full_queue_refuses_at_once(make: MakeBench) -> None:
    bench = make(size=1, queue_limit=1)
    bench.call("one")
    await (await bench.worker()).expect(Kind.CALL)
    bench.call("two")
    await asyncio.sleep(0)
    with pytest.raises(PoolBusy, match="1 steps wait"):
        await bench.call("three")


async def test_cancelled_wait_leaves_the_queue(make: MakeBench) -> None:
    bench = make(size=1)
    one = bench.call("one")
    worker = await bench.worker()
    received = await worker.expect(Kind.CALL)
    two, three = bench.call("two"), bench.call("three")
    await asyncio.sleep(0)
    two.cancel()
    await asyncio.sleep(0)
    assert bench.pool.stats()["queued"] == 1
    await worker.send(Kind.RESULT, received.request, ResultMessage(value=1))
    await one
    await finish(await bench.worker(), value=3)
    assert (await three).message == ResultMessage(value=3)


async def test_lost_worker_s_step_is_done_by_another(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    first = await bench.worker()
    await first.expect(Kind.CALL)
    bench.nursery.end(first.pid, Exited(pid=first.pid, signal=9))
    await finish(await bench.worker(), value="second")
    assert (await call).message == ResultMessage(value="second")
    assert "ended with signal 9" in bench.handler.losses[0].message


async def test_step_that_loses_every_worker_fails_after_two_new_attempts(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    for _ in range(3):
        worker = await bench.worker()
        await worker.expect(Kind.CALL)
        bench.nursery.end(worker.pid, Exited(pid=worker.pid, code=1))
    with pytest.raises(WorkerLost, match="exit code 1"):
        await call
    assert bench.pool.stats()["retried"] == 2


async def test_step_with_side_effects_is_never_done_twice(make: MakeBench) -> None:
    bench = make()
    call = bench.call(repeat=False)
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    bench.nursery.end(worker.pid, Exited(pid=worker.pid, signal=11))
    with pytest.raises(WorkerLost, match="signal 11"):
        await call


async def test_loss_touches_only_the_step_of_that_worker(make: MakeBench) -> None:
    bench = make()
    one, two = bench.call("one", repeat=False), bench.call("two")
    first, second = await bench.worker(), await bench.worker()
    await first.expect(Kind.CALL)
    received = await second.expect(Kind.CALL)
    bench.nursery.end(first.pid, Exited(pid=first.pid, signal=9))
    with pytest.raises(WorkerLost):
        await one
    await second.send(Kind.RESULT, received.request, ResultMessage(value=2))
    assert (await two).message == ResultMessage(value=2)


async def test_loss_is_noticed_without_a_word_from_the_forkserver(make: MakeBench) -> None:
    bench = make()
    call = bench.call(repeat=False)
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    worker.close()
    with pytest.raises(WorkerLost, match="its connection ended"):
        await call


# What is not the protocol at all is in test_bridge_hostile.py.
BROKEN = {
    "a second ready": (pack(1, Kind.READY, 0, b'{"protocol": 1, "format": "json"}'), "twice"),
    "not a call's": (
        pack(1, Kind.ERROR, 0, b'{"failure": {"code": "x", "message": "worker broke"}}'),
        "worker broke",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_worker_that_breaks_the_protocol_is_lost_with_the_reason(
    make: MakeBench, name: str
) -> None:
    data, reason = BROKEN[name]
    bench = make()
    call = bench.call(repeat=False)
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    await worker.send_bytes(data)
    with pytest.raises(WorkerLost, match=reason):
        await call
    assert bench.pool.stats()["workers"] == []


async def test_duplicate_and_stray_messages_do_no_harm(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.worker()
    received = await worker.expect(Kind.CALL)
    stray = LMRequestMessage(call=77, request=REQUEST)
    await worker.send(Kind.RESULT, 77, ResultMessage(value="not asked"))
    await worker.send(Kind.CHUNK, 77, ChunkMessage(field="a", text="b"))
    await worker.send(Kind.LM_REQUEST, 1, stray)
    await worker.send(Kind.PONG, 4_000_000)
    for value in ("first", "second"):
        await worker.send(Kind.RESULT, received.request, ResultMessage(value=value))
    outcome = await call
    again = bench.call()
    await finish(worker, value="third")
    assert [outcome.message, (await again).message] == [
        ResultMessage(value="first"),
        ResultMessage(value="third"),
    ]
    assert outcome.worker.figures.strays == 4


async def test_what_a_worker_asks_and_tells_reaches_the_call_s_handler(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.worker()
    number = (await worker.expect(Kind.CALL)).request
    await worker.send(Kind.CHUNK, number, ChunkMessage(field="answer", text="a"))
    await worker.send(Kind.TRACE, number, TraceMessage(name="note", data={"n": 1}))
    await worker.send(Kind.LM_REQUEST, 11, LMRequestMessage(call=number, request=REQUEST))
    tool = ToolRequestMessage(call=number, tool="t", arguments={"a": 1})
    await worker.send(Kind.TOOL_REQUEST, 12, tool)
    answer = await worker.expect(Kind.LM_RESPONSE)
    assert (answer.request, answer.message.response.text) == (11, "HI")
    assert (await worker.expect(Kind.TOOL_RESPONSE)).message.value == {"a": 1}
    await worker.send(Kind.RESULT, number, ResultMessage(value=None))
    await call
    assert bench.handler.chunks == [ChunkMessage(field="answer", text="a")]
    assert bench.handler.traces == [TraceMessage(name="note", data={"n": 1})]


async def test_failure_of_a_step_is_an_outcome_not_a_loss(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.worker()
    number = (await worker.expect(Kind.CALL)).request
    error = ErrorMessage(failure=Failure(code="internal", message="x"))
    await worker.send(Kind.ERROR, number, error)
    assert (await call).message == error
    assert bench.nursery.killed == []


async def test_cancel_tells_the_worker_and_keeps_it(make: MakeBench) -> None:
    bench = make(cancel_grace=5)
    call = bench.call()
    worker = await bench.worker()
    number = (await worker.expect(Kind.CALL)).request
    call.cancel()
    assert (await worker.expect(Kind.CANCEL)).request == number
    stopped = ErrorMessage(failure=Failure(code="cancelled", message="stopped"))
    await worker.send(Kind.ERROR, number, stopped)
    with pytest.raises(asyncio.CancelledError):
        await call
    again = bench.call()
    await finish(worker)
    assert (await again).worker.pid == worker.pid


async def test_worker_that_does_not_stop_is_killed(make: MakeBench) -> None:
    bench = make(cancel_grace=0.02)
    call = bench.call()
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert bench.nursery.killed == [worker.pid]


async def test_worker_that_misses_its_heartbeats_is_killed(make: MakeBench) -> None:
    heartbeat = HeartbeatSettings(interval=0.01, timeout=0.01, missed=3)
    bench = make(heartbeat=heartbeat)
    call = bench.call(repeat=False)
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    with pytest.raises(WorkerLost, match="missed its heartbeats"):
        await call
    assert bench.nursery.killed == [worker.pid]


async def test_worker_that_is_not_ready_in_time_is_given_up(make: MakeBench) -> None:
    bench = make(ready_timeout=0.02)
    with pytest.raises(WorkerLost, match=r"not ready within 0\.02 s"):
        await bench.call()
    health = await bench.pool.health()
    assert not health["ok"] and "not ready" in health["detail"]


async def test_worker_s_own_failure_to_start_is_told(make: MakeBench) -> None:
    bench = make()
    call = bench.call()
    worker = await bench.nursery.next()
    await worker.expect(Kind.HELLO)
    failure = Failure(code="preload_failed", message="no dspy", traceback="Traceback …")
    await worker.send(Kind.ERROR, 0, ErrorMessage(failure=failure))
    with pytest.raises(RemoteError, match="no dspy") as raised:
        await call
    assert raised.value.failure.traceback == "Traceback …"


async def test_call_over_the_limit_fails_before_it_is_sent(make: MakeBench) -> None:
    bench = make(limit=1000)
    large = CallMessage(operation="echo", payload={"text": "x" * 2000})
    task = asyncio.create_task(bench.pool.run("run", large, bench.handler))
    worker = await bench.worker()
    with pytest.raises(Exception, match="exceeds the limit"):
        await task
    again = bench.call()
    await finish(worker)
    assert (await again).worker.pid == worker.pid


async def test_closing_the_pool_ends_workers_and_who_waits(make: MakeBench) -> None:
    bench = make(size=1)
    one, two = bench.call("one"), bench.call("two")
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    await bench.pool.aclose()
    with pytest.raises((WorkerLost, PoolClosed)):
        await one
    with pytest.raises(PoolClosed):
        await two
    with pytest.raises(PoolClosed):
        await bench.call("three")
    assert bench.nursery.killed == [worker.pid]


async def test_health_and_stats_show_the_workers(make: MakeBench) -> None:
    bench = make()
    health, _ = await asyncio.gather(bench.pool.health(), bench.worker())
    assert health["ok"]
    (worker,) = health["workers"]
    assert worker["state"] == "idle" and worker["ready_after"] > 0
