"""What real worker processes can't do, and what they leave behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.bridge.isolation import Isolation, report
from runner.bridge.messages import CallMessage, ErrorMessage, Ready, ResultMessage
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.testing import Recorder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux has these measures")
ISOLATION = Isolation(memory=512 * 1024**2, cpu_seconds=1, file_size=1024**2, open_files=64)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def made(isolation: Isolation = ISOLATION) -> Pool:
    nursery = ForkNursery("bridge_toy", paths=(HERE,), isolation=isolation)
    return Pool(PoolSettings(size=2, spares=0), nursery)


@pytest.fixture
async def pool(temporary: Path) -> AsyncIterator[Pool]:
    pool = made()
    yield pool
    await pool.aclose()


async def run(pool: Pool, operation: str, /, **payload: Any) -> Outcome:
    return await pool.run("run", CallMessage(operation=operation, payload=payload), Recorder())


async def value(pool: Pool, operation: str, /, **payload: Any) -> Any:
    message = (await run(pool, operation, **payload)).message
    assert isinstance(message, ResultMessage), message
    return message.value


async def gone(*pids: int) -> bool:
    for _ in range(200):
        if not any(Path(f"/proc/{pid}/exe").exists() for pid in pids):  # a zombie has none
            return True
        await asyncio.sleep(0.01)
    return False


async def code(pool: Pool, operation: str, /, **payload: Any) -> str:
    message = (await run(pool, operation, **payload)).message
    assert isinstance(message, ErrorMessage), message
    return message.failure.code


def applied(ready: Ready) -> dict[str, bool]:
    return {measure.name: measure.applied for measure in ready.isolation}


@LINUX
async def test_worker_reaches_nobody_and_gains_nothing(pool: Pool) -> None:
    if not applied(await pool.start())["network"]:
        pytest.skip("this system permits no namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        said = await value(
            pool,
            "try_all",
            attempts={
                "this machine": f"socket.create_connection({address!r}, 2)",
                "the network": "socket.create_connection(('192.0.2.1', 80), 2)",
                "capabilities": "Path('/proc/self/status').read_text()",
                "of a program": "subprocess.run(['cat', '/proc/self/status'], "
                "capture_output=True).stdout.decode()",
                "a file of 2 MB": "Path('big').write_bytes(bytes(2 * 1024**2))",
                "open files": "[os.open('/dev/null', os.O_RDONLY) for _ in range(100)]",
                "core dumps": "resource.getrlimit(resource.RLIMIT_CORE)",
            },
        )
    assert "unreachable" in said["this machine"] and "unreachable" in said["the network"]
    for status in (said["capabilities"], said["of a program"]):
        assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
    assert said["a file of 2 MB"].startswith("OSError: [Errno 27]")
    assert said["open files"].startswith("OSError: [Errno 24]")
    assert said["core dumps"] == "(0, 0)"


async def test_memory_and_computing_end_the_step_and_not_the_worker(pool: Pool) -> None:
    pid = (await value(pool, "who"))["pid"]
    assert await code(pool, "take", bytes=1024**3) == "out_of_memory"
    assert await code(pool, "burn") == "cpu_time_exceeded"
    assert await value(pool, "take", bytes=1024) == 1024
    assert (await value(pool, "who"))["pid"] == pid


async def test_scratch_directory_is_a_worker_s_own_and_goes_with_it(
    pool: Pool, temporary: Path
) -> None:
    file, directory = (Path(path) for path in await value(pool, "litter"))
    assert file.parent == directory and directory.is_relative_to(temporary)
    await pool.release_run("run")
    for _ in range(200):
        if not directory.exists():
            break
        await asyncio.sleep(0.01)
    assert not directory.exists() and directory.parent.exists()
    await pool.aclose()
    assert not directory.parent.exists()


async def test_what_a_killed_forkserver_left_is_removed_and_a_living_one_s_is_not(
    pool: Pool, temporary: Path
) -> None:
    left = Path((await value(pool, "litter"))[1])
    living = made()
    try:
        kept = Path((await value(living, "litter"))[1])
        killed = await value(pool, "who")
        os.kill(killed["parent"], signal.SIGKILL)
        assert await gone(killed["parent"], killed["pid"])
        again = Path((await value(pool, "litter"))[1])
        assert not left.parent.exists() and kept.exists() and again.exists()
    finally:
        await living.aclose()


async def test_worker_without_a_scratch_directory_says_why_and_works(
    pool: Pool, temporary: Path
) -> None:
    (temporary / f"dspex-{os.getuid()}").write_text("in the way")
    measures = {measure.name: measure for measure in (await pool.start()).isolation}
    assert not measures["scratch"].applied and "exists" in measures["scratch"].detail
    assert await value(pool, "take", bytes=1) == 1
    await pool.release_run("run")


async def test_measure_that_is_off_is_not_taken(temporary: Path) -> None:
    pool = made(Isolation(network=False, privileges=False, memory=0, cpu_seconds=0))
    try:
        ready = await pool.start()
        assert not {"network", "privileges", "memory", "cpu_seconds"} & applied(ready).keys()
        shown = pool.stats()["workers"][0]["isolation"]
        assert {each["name"] for each in shown} == applied(ready).keys()
    finally:
        await pool.aclose()


def test_report_tells_each_measure_with_its_reason() -> None:
    found = {measure.name: measure for measure in report()}
    assert {"scratch", "network", "memory", "privileges", "core_dumps"} <= found.keys()
    assert all(measure.detail for measure in found.values())


AS_NOBODY = """
import ctypes, encodings.idna, json, os, socket, sys
from pathlib import Path
from runner.bridge.isolation import Isolation, isolate
os.chown(sys.argv[1], 65534, 65534)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # as a process that was never root
measures = isolate(Isolation(processes=40), lambda: Path(sys.argv[1]) / "own")
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    tried = str(error)
forked = 0
try:
    while True:
        if os.fork() == 0:
            sys.stdin.read(); os._exit(0)
        forked += 1
except BlockingIOError:
    pass
Path("mine").write_text("x")
print(json.dumps([{m.name: m.applied for m in measures}, tried, forked, os.getuid()]))
"""


@LINUX
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_user_without_rights_is_shut_in_by_a_user_namespace() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are root's alone
        done = subprocess.run(
            [sys.executable, "-P", "-c", AS_NOBODY, directory],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 0, done.stderr
    measures, tried, forked, user = json.loads(done.stdout)
    if not measures["network"]:
        pytest.skip("this system permits no user namespaces")
    assert all(measures.values())
    assert "unreachable" in tried
    assert 0 < forked < 40
    assert user == 65534
