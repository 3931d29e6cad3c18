"""Workers that do several steps at once, on threads: real processes, and scripted ones for what they tell."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.frames import Kind
from runner.bridge.heartbeat import HeartbeatSettings
from runner.bridge.isolation import Isolation
from runner.bridge.messages import (
    CallMessage,
    ErrorMessage,
    LMRequestMessage,
    LMResponseMessage,
    ResultMessage,
)
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.testing import Recorder
from runner.engine.errors import WorkerLost
from runner.lm.types import LMResponse
from tests.pool_bench import MakeBench, finish, until
from tests.processes import gone

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc")

THREADS = {
    "size": 2, "spares": 0, "reuse": True, "threads": 4, "cancel_grace": 0.05, "reconcile": 0.02,
    "barrier": BarrierSettings(backoff=()),
}  # fmt: skip


class Steps(Recorder):
    """Asks of language models wait until the test answers them."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.asked: dict[str, Callable[[LMResponseMessage], None]] = {}

    def lm_request(
        self, number: int, message: LMRequestMessage, answer: Callable[[LMResponseMessage], None]
    ) -> None:
        self.asked[str(message.request.messages[0].content)] = answer

    def answer(self, text: str) -> None:
        self.asked.pop(text)(LMResponseMessage(response=LMResponse(text=text.upper())))

    def begin(
        self, operation: str, /, *, repeat: bool = True, **payload: Any
    ) -> asyncio.Task[Outcome]:
        call = CallMessage(operation=operation, payload=payload)
        step = str(payload.get("text", operation))
        return asyncio.create_task(self.pool.run("run", call, self, repeat=repeat, step=step))

    async def asking(self, *texts: str, repeat: bool = True) -> list[asyncio.Task[Outcome]]:
        """Steps that wait for the host's answer by now."""
        tasks = [self.begin("ask", text=text, repeat=repeat) for text in texts]
        await until(lambda: self.asked.keys() >= set(texts))
        return tasks


def value(outcome: Outcome) -> Any:
    assert isinstance(outcome.message, ResultMessage), outcome.message
    return outcome.message.value


@pytest.fixture
async def steps() -> AsyncIterator[Steps]:
    pool = Pool(PoolSettings(**THREADS), ForkNursery("bridge_toy", paths=(HERE,)))
    yield Steps(pool)
    await pool.aclose()


async def test_a_worker_does_as_many_steps_at_once_as_it_has_threads(steps: Steps) -> None:
    tasks = await steps.asking("a", "b", "c", "d")
    (worker,) = steps.pool.stats()["workers"]
    assert [each["step"] for each in worker["steps"]] == ["a", "b", "c", "d"]
    (fifth,) = await steps.asking("e")
    for text in "bdaec":  # none waits for another
        steps.answer(text)
    found = [value(await task) for task in (*tasks, fifth)]
    assert [text for text, _ in found] == ["A", "B", "C", "D", "E"]
    pids = [pid for _, pid in found]
    assert pids == [worker["pid"]] * 4 + [pids[4]] and pids[4] != worker["pid"]


async def test_a_step_that_is_cancelled_leaves_its_neighbours_alone(steps: Steps) -> None:
    first, second = await steps.asking("a", "b")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    steps.answer("b")
    _, pid = value(await second)
    (third,) = await steps.asking("c")
    steps.answer("c")
    assert value(await third) == ["C", pid]


async def test_a_step_that_does_not_stop_ends_the_worker_when_its_neighbours_are_done(
    steps: Steps,
) -> None:
    (neighbour,) = await steps.asking("a")
    stuck = steps.begin("wait", seconds=60)
    await until(lambda: len(steps.pool.stats()["workers"][0]["steps"]) == 2)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    (later,) = await steps.asking("b")
    steps.answer("a"), steps.answer("b")
    pids = [value(await task)[1] for task in (neighbour, later)]
    assert pids[0] != pids[1]
    assert await gone(pids[0])
    await until(lambda: steps.pool.stats()["ends"])
    (end,) = steps.pool.stats()["ends"]
    assert (end["pid"], end["reason"], end["lost"]) == (pids[0], "stopped", False)


async def test_neighbours_of_a_stuck_step_have_a_time_and_are_then_done_elsewhere() -> None:
    pool = Pool(PoolSettings(**THREADS, stuck_grace=0.05), ForkNursery("bridge_toy", paths=(HERE,)))
    steps = Steps(pool)
    (neighbour,) = await steps.asking("a")
    (worker,) = pool.stats()["workers"]
    stuck = steps.begin("wait", seconds=60)
    await until(lambda: len(pool.stats()["workers"][0]["steps"]) == 2)
    steps.asked.clear()
    stuck.cancel()
    await until(lambda: "a" in steps.asked)  # by another worker
    steps.answer("a")
    assert value(await neighbour)[1] != worker["pid"]
    assert steps.losses[0].details["reason"] == "stopped"
    await pool.aclose()


async def test_a_step_that_may_not_be_done_anew_has_all_its_time_beside_a_stuck_one() -> None:
    pool = Pool(PoolSettings(**THREADS, stuck_grace=0.02), ForkNursery("bridge_toy", paths=(HERE,)))
    steps = Steps(pool)
    (once,) = await steps.asking("a", repeat=False)
    stuck = steps.begin("wait", seconds=60)
    await until(lambda: len(pool.stats()["workers"][0]["steps"]) == 2)
    stuck.cancel()
    await until(lambda: pool.stats()["workers"][0]["retiring"])
    await asyncio.sleep(0.2)  # ten times what its neighbours have
    steps.answer("a")
    assert value(await once)[0] == "A"
    await pool.aclose()


async def test_a_crash_takes_all_its_steps_and_each_is_done_anew_by_itself(steps: Steps) -> None:
    once, *others = [
        *await steps.asking("once", repeat=False),
        *await steps.asking("a", "b"),
    ]
    (worker,) = steps.pool.stats()["workers"]
    steps.asked.clear()
    os.kill(worker["pid"], signal.SIGSEGV)
    with pytest.raises(WorkerLost) as raised:
        await once
    assert raised.value.details["reason"] == "segfault"
    await until(lambda: steps.asked.keys() == {"a", "b"})
    # Either may have been the bad one: they share no worker until that is known.
    assert [len(each["steps"]) for each in steps.pool.stats()["workers"]] == [1, 1]
    steps.answer("a"), steps.answer("b")
    assert len({value(await task)[1] for task in others} - {worker["pid"]}) == 2
    assert steps.pool.stats()["retried"] == 2


async def test_a_step_that_computes_too_long_is_told_so_and_its_neighbour_finishes() -> None:
    settings = PoolSettings(**THREADS, heartbeat=HeartbeatSettings(interval=0.05))
    shut_in = Isolation(cpu_seconds=1)
    pool = Pool(settings, ForkNursery("bridge_toy", paths=(HERE,), isolation=shut_in))
    steps = Steps(pool)
    (neighbour,) = await steps.asking("a")
    outcome = await steps.begin("burn")
    assert isinstance(outcome.message, ErrorMessage)
    assert outcome.message.failure.code == "cpu_time_exceeded" and outcome.message.seconds > 1
    steps.answer("a")
    _, pid = value(await neighbour)
    assert pid == outcome.worker.pid and await gone(pid)
    await pool.aclose()


async def test_what_a_step_took_to_cross_is_not_its_neighbours(steps: Steps) -> None:
    (small,) = await steps.asking("a")
    large = await steps.begin("echo", text="x" * 100_000)
    steps.answer("a")
    assert min(large.traffic.bytes_out, large.traffic.bytes_in) > 100_000
    traffic = (await small).traffic
    assert 50 < traffic.bytes_out < 1_000 and 50 < traffic.bytes_in < 1_000
    whole = large.worker.wire.traffic
    assert traffic.bytes_in + large.traffic.bytes_in <= whole.bytes_in


async def test_a_worker_that_has_fewer_threads_than_were_asked_for_says_so(
    make: MakeBench,
) -> None:
    bench = make(reuse=True, threads=3, size=2)
    calls = [bench.call("r1"), bench.call("r2"), bench.call("r3")]
    worker = await bench.nursery.next()
    hello = await worker.shake_hands()  # as a worker that knows nothing of threads
    assert hello.threads == 3
    number = (await worker.expect(Kind.CALL)).request
    other = await bench.nursery.next()
    await other.shake_hands(threads=2)
    for _ in range(2):
        await finish(other)
    await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    await asyncio.gather(*calls)
    assert [each["threads"] for each in bench.pool.stats()["workers"]] == [1, 2]


async def test_worker_with_threads_is_recycled_when_its_last_step_is_over(
    make: MakeBench,
) -> None:
    bench = make(reuse=True, threads=2, size=1)
    bench.call("r1")
    last = bench.call("r2")
    worker = await bench.nursery.next()
    await worker.shake_hands(threads=2)
    numbers = [(await worker.expect(Kind.CALL)).request for _ in range(2)]
    bench.pool.retire(1)
    for number in numbers:
        assert bench.nursery.killed == []
        await worker.send(Kind.RESULT, number, ResultMessage(value=1))
    await last
    assert bench.nursery.killed == [worker.pid]
