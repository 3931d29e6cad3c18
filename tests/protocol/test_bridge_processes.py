"""Real worker processes from the real forkserver, with a worker that needs no DSPy."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.bridge.messages import CallMessage, ErrorMessage, ResultMessage
from runner.bridge.nursery import ForkNursery, WorkersUnavailable, environment
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.testing import Recorder
from runner.engine.errors import RemoteError, WorkerLost
from tests.processes import alive, gone

HERE = Path(__file__).parent
CANARY = "canary-4711"


def nursery(module: str = "bridge_toy") -> ForkNursery:
    return ForkNursery(module, paths=(HERE,))


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    pool = Pool(PoolSettings(size=3, spares=1), nursery())
    yield pool
    await pool.aclose()


async def run(pool: Pool, operation: str, /, run_id: str = "run", **payload: Any) -> Outcome:
    call = CallMessage(operation=operation, payload=payload)
    return await pool.run(run_id, call, Recorder())


async def value(pool: Pool, operation: str, /, **payload: Any) -> Any:
    message = (await run(pool, operation, **payload)).message
    assert isinstance(message, ResultMessage), message
    return message.value


async def test_worker_knows_nothing_of_the_host(pool: Pool) -> None:
    found = await value(pool, "who")
    assert CANARY not in found["environ_file"]
    assert CANARY not in str(found["environment"])
    assert "HOME" not in found["environment"]
    assert found["main"] == "runner.bridge.forkserver"
    assert not found["django"]
    assert found["pid"] != os.getpid() != found["parent"]
    assert CANARY not in Path(f"/proc/{found['parent']}/environ").read_text()


async def test_worker_holds_its_socket_and_little_else(pool: Pool) -> None:
    await value(pool, "who")
    first = (await value(pool, "who"))["descriptors"]
    more = [await run(pool, "who", run_id=f"run-{number}") for number in range(2)]
    assert [outcome.message.value["descriptors"] for outcome in more] == [first, first]  # type: ignore[union-attr]


async def test_killed_worker_s_step_is_done_by_another(pool: Pool, tmp_path: Path) -> None:
    assert await value(pool, "die", file=str(tmp_path / "died"), times=2) == 2
    assert pool.stats()["lost"] == 2


async def test_step_that_kills_every_worker_fails_and_the_pool_goes_on(
    pool: Pool, tmp_path: Path
) -> None:
    with pytest.raises(WorkerLost, match="signal 9"):
        await value(pool, "die", file=str(tmp_path / "died"), times=3)
    assert await value(pool, "echo", text="still here") == {"text": "still here"}


async def test_worker_killed_from_outside_is_replaced_for_its_step(pool: Pool) -> None:
    pid = (await value(pool, "who"))["pid"]
    waiting = asyncio.create_task(value(pool, "wait", seconds=0.3))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    assert await waiting is None
    assert (await value(pool, "who"))["pid"] != pid


async def test_how_a_worker_ended_is_told(pool: Pool) -> None:
    call = CallMessage(operation="leave", payload={"code": 7})
    with pytest.raises(WorkerLost, match="ended with exit code 7"):
        await pool.run("run", call, Recorder(), repeat=False)


async def test_cancel_ends_a_worker_that_does_not_listen(pool: Pool) -> None:
    pid = (await value(pool, "who"))["pid"]
    task = asyncio.create_task(run(pool, "wait", seconds=60))
    await asyncio.sleep(0.05)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < 1
    assert await gone(pid)


async def test_released_run_s_workers_are_gone(pool: Pool) -> None:
    pid = (await value(pool, "who"))["pid"]
    await pool.release_run("run")
    assert await gone(pid)


async def test_forkserver_that_was_killed_is_started_again(pool: Pool) -> None:
    found = await value(pool, "who")
    os.kill(found["parent"], signal.SIGKILL)
    assert await gone(found["pid"], found["parent"])
    again = await value(pool, "who")
    assert again["parent"] != found["parent"]


@pytest.mark.parametrize("who", ["forkserver", "worker"])
async def test_who_is_killed_as_it_loads_is_started_again(who: str) -> None:
    forks = nursery()
    pool = Pool(PoolSettings(size=1, spares=0), forks)
    starting = asyncio.create_task(pool.start())
    try:
        while forks._process is None or (who == "worker" and not forks._workers):
            await asyncio.sleep(0)
        os.kill(forks._process.pid if who == "forkserver" else next(iter(forks._workers)), 9)
        await asyncio.wait_for(starting, 20)
        assert await value(pool, "who")
    finally:
        await pool.aclose()


async def test_closing_the_pool_leaves_no_process() -> None:
    pool = Pool(PoolSettings(size=3, spares=2), nursery())
    found = await value(pool, "who")
    pids = [worker["pid"] for worker in pool.stats()["workers"]]
    await pool.aclose()
    assert await gone(found["parent"], *pids)


async def test_module_that_does_not_load_is_told_with_its_traceback() -> None:
    pool = Pool(PoolSettings(), nursery("bridge_broken"))
    with pytest.raises(RemoteError, match="broken on purpose") as raised:
        await pool.start()
    assert raised.value.failure.code == "preload_failed"
    assert "bridge_broken.py" in raised.value.failure.traceback
    assert not (await pool.health())["ok"]
    await pool.aclose()


async def test_system_without_fork_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(WorkersUnavailable, match="can fork"):
        await nursery().start()


HOST = """
import asyncio, sys
from pathlib import Path
from runner.bridge.messages import CallMessage
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.testing import Recorder

async def main():
    pool = Pool(PoolSettings(spares=1), ForkNursery("bridge_toy", paths=(Path(sys.argv[1]),)))
    outcome = await pool.run("run", CallMessage(operation="who"), Recorder())
    print(outcome.message.value["parent"], outcome.message.value["pid"], flush=True)
    wait = CallMessage(operation="wait", payload={"seconds": 60})
    await pool.run("run", wait, Recorder())

asyncio.run(main())
"""


async def test_workers_end_with_a_host_that_was_killed() -> None:
    root = str(HERE.parents[1])
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(HERE)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
        text=True,
    )
    with host:
        assert host.stdout is not None
        pids = [int(pid) for pid in host.stdout.readline().split()]
        assert len(pids) == 2 and all(alive(pid) for pid in pids)
        host.kill()
    assert await gone(*pids)


def test_environment_is_an_allow_list() -> None:
    host = {"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": CANARY, "LANG": "C.UTF-8"}
    found = environment(host)
    assert found["PATH"].split(os.pathsep)[-1] == "/bin"  # after the sandbox's own programs
    assert found["LANG"] == "C.UTF-8"
    assert "HOME" not in found and CANARY not in found.values()
    assert found["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert found["OMP_NUM_THREADS"] == "1"  # its cores are shared with other workers


async def test_start_is_shared_by_who_asks_at_once(pool: Pool) -> None:
    ready = await asyncio.gather(*(pool.start() for _ in range(3)))
    assert all(found is ready[0] for found in ready)
    assert ready[0].versions == {"toy": "1"}


async def test_error_of_an_operation_is_an_outcome(pool: Pool) -> None:
    message = (await run(pool, "unheard_of")).message
    assert isinstance(message, ErrorMessage)
    assert message.failure.code == "operation_not_found"
