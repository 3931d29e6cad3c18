"""Tables and large values between a host and real workers, and what is left of them when one dies."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nanoarrow
import pytest

from runner.bridge import formats, shared
from runner.bridge.frames import Kind
from runner.bridge.messages import CallMessage, ErrorMessage, ResultMessage
from runner.bridge.nursery import ForkNursery
from runner.bridge.pool import Outcome, Pool, PoolSettings
from runner.bridge.serving import plain
from runner.bridge.tables import Table
from runner.bridge.testing import Recorder, ScriptedNursery
from runner.engine.errors import WorkerLost
from tests.protocol.bridge_shouting import SHOUTING

HERE = Path(__file__).parent
LIMIT = 200_000
ROWS = [
    {"customer": f"wörd {n}", "orders": n, "total": n / 7, "active": n % 2 == 0}
    for n in range(5000)
]
NEEDS_MEMORY = pytest.mark.skipif(not shared.AVAILABLE, reason="no shared memory here")


def made(module: str = "bridge_toy", **settings: Any) -> Pool:
    settings = {"size": 1, "spares": 0, **settings}
    limit = settings.get("limit", LIMIT)
    return Pool(PoolSettings(**settings), ForkNursery(module, paths=(HERE,), limit=limit))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = made(limit=LIMIT)
    yield pool
    await pool.aclose()


async def run(pool: Pool, operation: str, /, **payload: Any) -> Outcome:
    return await pool.run("run", CallMessage(operation=operation, payload=payload), Recorder())


async def value(outcome: Outcome) -> Any:
    assert isinstance(outcome.message, ResultMessage), outcome.message
    return await plain(outcome.message)


def numbers(rows: int) -> Any:
    """A table of a column of numbers, eight bytes a row."""
    column = nanoarrow.c_array_from_buffers(
        nanoarrow.int64(), rows, [None, array("q", range(rows))]
    )
    schema = nanoarrow.struct({"n": nanoarrow.int64()})
    return nanoarrow.Array(
        nanoarrow.c_array_from_buffers(
            schema, rows, [None], children=[column], validation_level="none"
        )
    )


def memory_of(pid: int | str) -> list[str]:
    """The shared memory that a process has open or mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return [each for each in (*maps, *links) if "memfd:dspex" in each]


async def own_mappings(expected: int = 1) -> int:
    """Pieces of shared memory that this process has mapped, once the event loop has let go of the last
    answer."""
    mapped = -1
    for _ in range(100):
        await asyncio.sleep(0.01)
        gc.collect()
        mapped = sum(" /memfd:dspex" in each for each in memory_of("self"))
        if mapped == expected:
            break
    return mapped


# Records


async def test_records_that_a_frame_can_not_hold_cross_as_tables_and_come_back_equal(
    pool: Pool,
) -> None:
    payload = {"inputs": {"rows": ROWS, "few": ROWS[:3], "also": [ROWS[:200], "x"]}, "table": None}
    outcome = await run(pool, "echo", **payload)
    assert outcome.traffic.tables_out == outcome.traffic.tables_in == 2
    back = await value(outcome)
    assert back == payload and repr(back) == repr(payload)


async def test_records_that_a_frame_holds_stay_in_it(pool: Pool) -> None:
    outcome = await run(pool, "echo", rows=ROWS[:1000])
    assert outcome.traffic.tables_out == 0
    assert (await value(outcome))["rows"] == ROWS[:1000]


async def test_records_that_are_no_table_are_refused_with_the_reason(pool: Pool) -> None:
    rows = [*ROWS, {**ROWS[0], "orders": "many"}]
    with pytest.raises(
        Exception, match=r"'inputs.rows' can't travel as a table: 'orders' has values"
    ):
        await run(pool, "echo", inputs={"rows": rows})
    assert (await value(await run(pool, "echo", a=1))) == {"a": 1}


async def test_result_that_is_no_table_fails_the_step_only(pool: Pool) -> None:
    outcome = await run(pool, "many", rows=100_000)
    assert isinstance(outcome.message, ErrorMessage)
    assert outcome.message.failure.code == "frame_too_large"
    assert "'rows' can't travel as a table" in outcome.message.failure.message


# Shared memory


@NEEDS_MEMORY
async def test_large_value_goes_through_shared_memory_in_any_format() -> None:
    text = "ü" * 1_000_000
    for format_ in ("messagepack", "json"):
        pool = made(formats=(format_,), limit=4 * 1024**2)
        try:
            outcome = await run(pool, "echo", text=text)
            assert (await value(outcome)) == {"text": text}
            assert outcome.traffic.shared_out > 2_000_000 < outcome.traffic.shared_in
            assert outcome.traffic.bytes_out < 100 > outcome.traffic.bytes_in
        finally:
            await pool.aclose()


@NEEDS_MEMORY
async def test_table_of_the_host_crosses_in_place_and_comes_back_from_the_worker(
    pool: Pool,
) -> None:
    table = Table.of(numbers(500_000))
    for _ in range(2):
        outcome = await run(pool, "again", table=table)
        assert outcome.traffic.shared_out == len(table.data)
        back = outcome.message.value["table"]  # type: ignore[union-attr]
        assert isinstance(back, Table)
        assert bytes(back.data) == bytes(table.data)
    assert outcome.message.value["rows"] == 500_000  # type: ignore[union-attr]
    del outcome, back
    assert await own_mappings() == 1  # the host's table; the worker's are gone with who had them


async def test_table_through_the_socket_where_there_is_no_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "AVAILABLE", False)
    pool = made(limit=8 * 1024**2)
    try:
        table = Table.of(numbers(200_000))
        outcome = await run(pool, "again", table=table)
        assert outcome.traffic.shared_out == outcome.traffic.shared_in == 0
        assert bytes(outcome.message.value["table"].data) == bytes(table.data)  # type: ignore[union-attr]
    finally:
        await pool.aclose()


async def test_worker_without_arrow_gets_records() -> None:
    nursery = ScriptedNursery()
    pool = Pool(PoolSettings(size=1, spares=0), nursery)
    try:
        call = asyncio.create_task(run(pool, "echo", table=Table.of(numbers(3))))
        worker = await nursery.next()
        await worker.shake_hands(formats=("json",))
        received = await worker.expect(Kind.CALL)
        assert received.message.payload == {"table": [{"n": 0}, {"n": 1}, {"n": 2}]}
        await worker.send(Kind.RESULT, received.request, ResultMessage(value=None))
        await call
    finally:
        await pool.aclose()


# Death


@NEEDS_MEMORY
async def test_nothing_is_left_of_a_table_whose_worker_is_killed(pool: Pool) -> None:
    table = Table.of(numbers(2_000_000))
    call = asyncio.create_task(run(pool, "hold", table=table))
    pid = await _pid_that_holds(pool)
    assert memory_of(pid)
    os.kill(pid, signal.SIGKILL)
    other = await _pid_that_holds(
        pool, than=pid
    )  # its step is done by another, with the same table
    assert memory_of(other)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await pool.aclose()
    del table, call
    assert await own_mappings(0) == 0


@NEEDS_MEMORY
async def test_worker_killed_while_it_sends_a_table_leaves_nothing(pool: Pool) -> None:
    for _ in range(5):
        call = CallMessage(operation="die_sending", payload={"rows": 1_000_000})
        with pytest.raises(WorkerLost):
            await pool.run("run", call, Recorder(), repeat=False)
    assert await own_mappings(0) == 0


HOST = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runner.bridge.messages import CallMessage
from runner.bridge.testing import Recorder
from tests.protocol.test_bridge_tables import Table, made, numbers, _pid_that_holds

async def main():
    pool = made()
    call = CallMessage(operation="hold", payload={"table": Table.of(numbers(2_000_000))})
    task = asyncio.create_task(pool.run("run", call, Recorder()))
    print(await _pid_that_holds(pool), flush=True)
    await task

asyncio.run(main())
"""


@NEEDS_MEMORY
async def test_nothing_is_left_of_a_table_whose_host_is_killed() -> None:
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(HERE)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        text=True,
    )
    with host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        assert memory_of(pid) and memory_of(host.pid)
        host.kill()
    for _ in range(300):
        if not Path(f"/proc/{pid}/exe").exists():
            break
        await asyncio.sleep(0.01)
    # Without a name, it lives as long as a process has it, and none of these lives.
    assert not Path(f"/proc/{pid}/exe").exists()
    assert not [name for name in os.listdir("/dev/shm") if "dspex" in name]


async def _pid_that_holds(pool: Pool, than: int = 0) -> int:
    """The worker that has told that it has its table, other than that one."""
    for _ in range(500):
        await asyncio.sleep(0.01)
        for worker in pool.stats()["workers"]:
            pid = worker["pid"]
            if worker["state"] == "busy" and pid != than and memory_of(pid):
                return int(pid)
    raise AssertionError("no worker holds a table")


# Formats


async def test_fourth_format_is_spoken_by_host_and_worker() -> None:
    formats.register(SHOUTING)
    pool = made("bridge_shouting", formats=("shouting", "json", "arrow"), limit=LIMIT)
    try:
        assert (await pool.start()).formats == ("json", "messagepack", "arrow", "shouting")
        outcome = await run(pool, "echo", text="Hello", rows=ROWS)
        assert (outcome.format, outcome.traffic.tables_out) == ("shouting", 1)
        assert (await value(outcome)) == {"text": "Hello", "rows": ROWS}
    finally:
        await pool.aclose()
        formats.unregister("shouting")
