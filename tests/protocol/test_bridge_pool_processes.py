"""Pools of real processes that die, stop and get stuck, and of which nothing may stay."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.messages import CallMessage, ResultMessage
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.pools import Pools
from runner.bridge.recycling import Recycling
from runner.bridge.testing import Recorder
from runner.engine.errors import WorkerLost
from tests.processes import alive, gone

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Looks into /proc")


def nursery(**options: Any) -> ForkNursery:
    return ForkNursery("bridge_toy", paths=(HERE,), **options)


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    general = PoolSettings(size=2, spares=1, reconcile=0.05, barrier=BarrierSettings(backoff=()))
    kept = PoolSettings(name="neural", size=2, spares=0, reuse=True, reconcile=0.05)
    pools = Pools((general, kept), nursery())
    yield pools
    await pools.aclose()


async def run(pool: Pool, operation: str, /, *, repeat: bool = True, **payload: Any) -> Outcome:
    call = CallMessage(operation=operation, payload=payload)
    return await pool.run("run", call, Recorder(), repeat=repeat)


async def value(pool: Pool, operation: str, /, **payload: Any) -> Any:
    message = (await run(pool, operation, **payload)).message
    assert isinstance(message, ResultMessage), message
    return message.value


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGSEGV, "segfault"), (signal.SIGABRT, "abort"), (signal.SIGKILL, "killed")],
)
async def test_real_deaths_are_told_apart(
    pools: Pools, number: signal.Signals, reason: str
) -> None:
    with pytest.raises(WorkerLost) as raised:
        await run(pools.general, "crash", repeat=False, signal=int(number))
    assert raised.value.details["reason"] == reason
    assert pools.general.stats()["ends"][0]["reason"] == reason


async def test_pools_share_a_forkserver_and_one_that_nobody_used_has_no_worker(
    pools: Pools,
) -> None:
    first = await value(pools.general, "who")
    assert pools["neural"].stats()["workers"] == []
    second = await value(pools["neural"], "who")
    assert first["parent"] == second["parent"] and first["pid"] != second["pid"]


async def test_memory_that_a_kept_worker_takes_is_measured_and_ends_it() -> None:
    settings = PoolSettings(
        size=1, spares=0, reuse=True, reconcile=0.02, recycling=Recycling(memory=1)
    )
    pool = Pool(settings, nursery())
    pid = (await value(pool, "who"))["pid"]
    assert await gone(pid)
    assert "it took" in pool.stats()["ends"][0]["why"]
    await pool.aclose()


async def test_worker_whose_child_holds_its_socket_is_found_dead(pools: Pools) -> None:
    child = await value(pools.general, "leave_a_child", seconds=30)
    (worker,) = (each for each in pools.general.stats()["workers"] if each["run_id"])
    os.kill(worker["pid"], signal.SIGKILL)
    try:
        async with asyncio.timeout(3):
            while worker["number"] in {w["number"] for w in pools.general.stats()["workers"]}:
                await asyncio.sleep(0.01)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


async def test_forkserver_that_is_stopped_is_replaced() -> None:
    pool = Pool(PoolSettings(size=2, spares=0, reconcile=0.05), nursery(patience=0.3))
    found = await value(pool, "who")
    os.kill(found["parent"], signal.SIGSTOP)
    await pool.release_run("run")  # its worker is to be killed, and the forkserver does not
    assert await gone(found["parent"], found["pid"])
    again = await value(pool, "who")
    assert again["parent"] != found["parent"]
    await pool.aclose()


HOST = """
import asyncio, sys
from pathlib import Path
from runner.bridge.messages import CallMessage
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.testing import Recorder

async def main():
    pool = Pool(PoolSettings(spares=0), ForkNursery("bridge_toy", paths=(Path(sys.argv[1]),)))
    outcome = await pool.run("run", CallMessage(operation="who"), Recorder())
    print(outcome.message.value["parent"], outcome.message.value["pid"], flush=True)
    busy = CallMessage(operation="burn")
    await pool.run("run", busy, Recorder())

asyncio.run(main())
"""


@contextmanager
def host() -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Another DSPex with a forkserver and a worker that computes."""
    command = [sys.executable, "-c", HOST, str(HERE)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    with process:
        assert process.stdout is not None
        forkserver, worker = (int(pid) for pid in process.stdout.readline().split())
        try:
            yield process, forkserver, worker
        finally:
            process.kill()


async def test_workers_end_with_a_killed_host_also_when_their_forkserver_is_stopped() -> None:
    with host() as (process, forkserver, worker):
        os.kill(forkserver, signal.SIGSTOP)
        process.kill()
        assert await gone(forkserver, worker)


async def test_another_instance_s_workers_are_never_touched(pools: Pools) -> None:
    with host() as (_, forkserver, worker):
        await value(pools.general, "who")
        with pytest.raises(WorkerLost):
            await run(pools.general, "crash", repeat=False, signal=9)
        await pools.aclose()
        assert alive(forkserver) and alive(worker)
