"""What is not the protocol, in one table for both directions: said to the host by a worker, and to a worker
by the host. Nothing hangs, nothing is left open, and who is told says what it was."""

import asyncio
import gc
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from runner.bridge import shared
from runner.bridge.arrow import stream_of_records
from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.frames import MAX_FRAME, MAX_TABLE, SHARED, Descriptor, Kind, pack, pack_shared
from runner.bridge.messages import CallMessage, ResultMessage
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.shared import Memory
from runner.bridge.testing import PATIENCE, FakeHost, Recorder, ScriptedNursery
from runner.bridge.worker_loop import Step, Worker
from runner.engine.errors import WorkerLost

JSON, MESSAGEPACK, ARROW = 1, 2, 3
TABLE = stream_of_records([{"a": 1}])
CALL = CallMessage(operation="echo", payload={"text": "hi"})


class Side(NamedTuple):
    """A message that this side may send, with the field of its values."""

    kind: Kind
    field: str
    rest: dict[str, Any]

    def body(self, value: Any = None, **more: Any) -> bytes:
        return msgspec.json.encode({**self.rest, self.field: value, **more})


FROM_WORKER = Side(Kind.RESULT, "value", {})
FROM_HOST = Side(Kind.CALL, "payload", {"operation": "echo"})

type Sent = tuple[bytes, list[Memory]]


def plain(*frames: bytes) -> Sent:
    return b"".join(frames), []


def sealed(data: bytes) -> Memory:
    return Memory.of((data,))


def unsealed(data: bytes) -> Memory:
    memory = Memory.draft()
    os.write(memory.descriptor, data)
    return memory


def no_memory(data: bytes) -> Memory:
    read, write = os.pipe()
    os.close(write)
    return Memory(Descriptor(read), len(data))


def in_memory(side: Side, memory: Callable[[bytes], Memory], more: int = 0) -> Sent:
    body = side.body({"text": "x" * 100})
    return pack_shared(JSON, side.kind, 1, len(body) + more), [memory(body)]


def with_tables(side: Side, value: Any, *references: dict[str, Any]) -> bytes:
    return pack(JSON, side.kind, 1, side.body(value, tables=references))


def table(number: int = 1) -> bytes:
    return pack(ARROW, Kind.TABLE, number, TABLE)


AT_ROWS = {"table": 1, "path": ["rows"]}

CASES: dict[str, tuple[Callable[[Side], Sent], str]] = {
    # Frames
    "cut in its length": (lambda side: plain(b"\x00\x00\x00"), "into a frame"),
    "cut in its header": (lambda side: plain(pack(JSON, side.kind, 1, b"{}")[:7]), "into a frame"),
    "cut in its body": (lambda side: plain(pack(JSON, side.kind, 1, b"{}")[:-1]), "into a frame"),
    "oversized": (
        lambda side: plain(struct.pack(">IBBI", MAX_FRAME + 1, JSON, side.kind, 1)),
        "at most",
    ),
    "too short": (lambda side: plain(struct.pack(">IBBI", 5, JSON, side.kind, 1)), "header alone"),
    "of no length": (lambda side: plain(bytes(10)), "header alone"),
    "unknown kind": (lambda side: plain(struct.pack(">IBBI", 6, JSON, 250, 1)), "kind 250"),
    "unknown format": (lambda side: plain(pack(50, side.kind, 1, b"{}")), "format 50"),
    "HTTP": (lambda side: plain(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"), "at most"),
    # Bodies
    "no body": (lambda side: plain(pack(JSON, side.kind, 1, b"")), "not valid"),
    "no JSON": (lambda side: plain(pack(JSON, side.kind, 1, b"{]")), "not valid"),
    "another format's body": (lambda side: plain(pack(MESSAGEPACK, side.kind, 1, b"{}")), "not valid"),
    "a list for a map": (lambda side: plain(pack(JSON, side.kind, 1, b"[]")), "not valid"),
    "wrong types": (
        lambda side: plain(pack(JSON, side.kind, 1, b'{"operation": 1, "seconds": "x"}')),
        "not valid",
    ),
    "nested without end": (lambda side: plain(pack(JSON, side.kind, 1, b"[" * 9000)), "not valid"),
    "text that is no UTF-8": (
        lambda side: plain(pack(JSON, side.kind, 1, side.body().replace(b"null", b'"\xff"'))),
        "not valid",
    ),
    "pickle": (lambda side: plain(pack(JSON, side.kind, 1, b"\x80\x04cos\nsystem\n.")), "not valid"),
    # Order
    "a forkserver's message": (
        lambda side: plain(pack(JSON, Kind.FORKED, 1, b'{"pid": 1}')),
        "does not take forked",
    ),
    "its own side's message": (
        lambda side: plain(
            pack(JSON, Kind.PING if side is FROM_WORKER else Kind.PONG, 1, b"{}"),
        ),
        "does not take",
    ),
    # Shared memory
    "memory that does not come": (
        lambda side: plain(pack_shared(JSON, side.kind, 1, 2_000_000)),
        "without its descriptor",
    ),
    "memory without a size": (
        lambda side: plain(pack(JSON | SHARED, side.kind, 1, b"{}")),
        "does not say how large",
    ),
    "memory that can be changed": (lambda side: in_memory(side, unsealed), "not sealed"),
    "memory that is none": (lambda side: in_memory(side, no_memory), "no shared memory"),
    "memory that is shorter": (lambda side: in_memory(side, sealed, more=1), "bytes announced"),
    "memory over the limit": (
        lambda side: (
            pack_shared(JSON, side.kind, 1, MAX_FRAME + 1, MAX_TABLE),
            [sealed(b"{}")],
        ),
        "at most",
    ),
    "descriptors that nobody claims": (
        lambda side: (pack(JSON, Kind.PONG, 1, b"{}")[:5], [sealed(b"x") for _ in range(9)]),
        "descriptors",
    ),
    # Tables
    "a table that did not come": (
        lambda side: plain(with_tables(side, {"rows": None}, AT_ROWS)),
        "did not come",
    ),
    "a table after its message": (
        lambda side: plain(with_tables(side, {"rows": None}, AT_ROWS), table()),
        "did not come",
    ),
    "a table twice": (lambda side: plain(table(), table()), "came twice"),
    "a table for two places": (
        lambda side: plain(table(), with_tables(side, {"rows": None}, AT_ROWS, AT_ROWS)),
        "did not come",
    ),
    "a table without a place": (
        lambda side: plain(table(), with_tables(side, {"others": None}, AT_ROWS)),
        "no place at rows",
    ),
    "a table in the place of a value": (
        lambda side: plain(table(), with_tables(side, {"rows": [1]}, AT_ROWS)),
        "no place at rows",
    ),
    "a table in JSON": (lambda side: plain(pack(JSON, Kind.TABLE, 1, b"{}")), "not in Arrow"),
    "a message in Arrow": (lambda side: plain(pack(ARROW, side.kind, 1, TABLE)), "can't be in arrow"),
    "tables without end": (lambda side: plain(*map(table, range(70))), "tables wait"),
}  # fmt: skip
NEEDS_MEMORY = pytest.mark.skipif(not shared.AVAILABLE, reason="no shared memory here")


def send(connection: socket.socket, sent: Sent) -> None:
    data, memories = sent
    if memories:
        socket.send_fds(connection, [data], [memory.descriptor for memory in memories])
    else:
        connection.sendall(data)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    if len(os.listdir("/proc/self/fd")) > before:
        gc.collect()  # takes a tenth of a second: not after every case
    assert len(os.listdir("/proc/self/fd")) <= before, "descriptors were left open"


@NEEDS_MEMORY
@pytest.mark.parametrize("name", CASES)
async def test_worker_that_breaks_the_protocol_is_lost_with_the_reason(name: str) -> None:
    made, reason = CASES[name]
    nursery, handler = ScriptedNursery(), Recorder()
    at_once = BarrierSettings(backoff=())
    pool = Pool(PoolSettings(size=1, spares=0, barrier=at_once), nursery)
    try:
        call = asyncio.create_task(pool.run("run", CALL, handler))
        worker = await nursery.next()
        await worker.shake_hands(formats=("json", "arrow"), shared=True)
        await worker.expect(Kind.CALL)
        send(worker.connection, made(FROM_WORKER))
        if name.startswith("cut"):
            worker.close()
        # Another worker does it, and the host is as good as before.
        other = await nursery.next()
        await other.shake_hands()
        number = (await other.expect(Kind.CALL)).request
        await other.send(Kind.RESULT, number, ResultMessage(value="done"))
        assert (await call).message == ResultMessage(value="done")
    finally:
        await pool.aclose()
    (loss,) = handler.losses
    assert reason in loss.message


@pytest.mark.parametrize("kind", [Kind.RESULT, Kind.CHUNK, Kind.PONG])
async def test_worker_that_speaks_before_it_is_ready_is_refused(kind: Kind) -> None:
    nursery = ScriptedNursery()
    pool = Pool(PoolSettings(size=1, spares=0), nursery)
    try:
        call = asyncio.create_task(pool.run("run", CALL, Recorder()))
        worker = await nursery.next()
        body = b'{"value": 1, "field": "a", "text": "b"}'
        await worker.send_bytes(pack(JSON, kind, 1, body))
        with pytest.raises(WorkerLost, match=f"a {kind.name.lower()} before it was ready"):
            await call
    finally:
        await pool.aclose()


@NEEDS_MEMORY
@pytest.mark.parametrize("name", CASES)
def test_worker_tells_why_and_leaves_when_the_host_breaks_the_protocol(name: str) -> None:
    made, reason = CASES[name]
    with FakeHost(Worker(), limit=MAX_FRAME) as host:
        host.shake_hands("json", "arrow")
        send(host.connection, made(FROM_HOST))
        if name.startswith("cut"):  # it ends without a word: nobody is there to hear it
            host.connection.shutdown(socket.SHUT_WR)
        else:
            told = host.expect(Kind.ERROR)
            assert told.request == 0
            assert reason in told.message.failure.message
        assert host.left.wait(PATIENCE)
        host.thread.join(PATIENCE)


HELLO = pack(JSON, Kind.HELLO, 0, b'{"protocol": 1, "formats": ["json"]}')
OUT_OF_ORDER = {
    "a call before hello": (
        pack(JSON, Kind.CALL, 1, FROM_HOST.body({})),
        "a call before its hello",
    ),
    "two hellos": (HELLO * 2, "greets twice"),
    "a number twice": (
        HELLO
        + pack(JSON, Kind.CALL, 1, b'{"operation": "wait"}')
        + pack(JSON, Kind.CALL, 1, FROM_HOST.body({})),
        "Call 1 is under way already",
    ),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_host_that_speaks_out_of_order_is_told(name: str) -> None:
    data, reason = OUT_OF_ORDER[name]

    def wait(step: Step, payload: dict[str, Any]) -> None:
        step.ask_tool("never answered", {})

    with FakeHost(Worker(operations={"wait": wait})) as host:
        host.send_bytes(data)
        told = next(told for told in iter(host.receive, None) if told.kind is Kind.ERROR)
        assert reason in told.message.failure.message
        assert host.left.wait(PATIENCE)
