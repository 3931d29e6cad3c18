"""The bridge: what a call to a worker costs, against pebble's process pool and gRPC over a Unix socket.

All workers have DSPy loaded. The three are measured in turn, round after round, so that whatever else
this machine does hits them alike. Without pebble or grpcio installed, that peer is left out.
"""

import asyncio
import importlib.util
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import nanoarrow

from benchmarks.report import Report
from runner.bridge import shared
from runner.bridge.messages import CallMessage, ResultMessage
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.proxy import WorkerProxy
from runner.bridge.tables import Table
from runner.bridge.testing import Recorder

TEXT = "x" * 1024
ROUNDS = 5
ECHOES = 400
TASKS = 2_000
IN_FLIGHT = 64
CHUNKS = 20_000
READY = 12
TABLE_ROWS = 2_800_000


class Peer(Protocol):
    """Something that runs tasks in two processes."""

    async def echo(self) -> None:
        """One task of 1 KB, there and back."""
        ...

    async def tasks(self, number: int) -> None:
        """As many tasks, as fast as it goes."""
        ...

    async def chunks(self, number: int) -> None:
        """A stream of as many pieces from one process."""
        ...


def run(report: Report) -> None:
    asyncio.run(_compare(report))


async def _compare(report: Report) -> None:
    async with AsyncExitStack() as stack:
        peers: dict[str, Peer] = {"dspex": await stack.enter_async_context(Bridge())}
        if importlib.util.find_spec("pebble"):
            peers["pebble"] = stack.enter_context(Pebble())
        if importlib.util.find_spec("grpc"):
            peers["grpc"] = await stack.enter_async_context(Grpc())
        figures = {
            "bridge_echo_p50_us": await _medians(peers, _echo_us),
            "bridge_tasks_per_s": await _medians(peers, _tasks_per_s),
            "bridge_chunks_per_s": await _medians(peers, _chunks_per_s),
        }
    for name, found in figures.items():
        _report(report, name, found)
    await _workers(report)
    in_memory = await _table_ms()
    with _no_shared_memory():
        through_socket = await _table_ms()
    report("table_100mb_ms", in_memory, "ms", "socket", through_socket)


def _report(report: Report, name: str, found: dict[str, float]) -> None:
    unit = "us" if name.endswith("_us") else "/s"
    ours = found.pop("dspex")
    first, *others = found.items() if found else [(None, None)]
    report(name, ours, unit, *first)
    for peer, value in others:
        suffix = "_us" if unit == "us" else "_per_s"
        stem = name.removesuffix("_p50_us").removesuffix("_per_s")
        report(f"{stem}_vs_{peer}{suffix}", ours, unit, peer, value)


async def _medians(
    peers: dict[str, Peer], measure: Callable[[Peer], Awaitable[float]]
) -> dict[str, float]:
    for peer in peers.values():
        await measure(peer)  # warms up
    seen: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            seen[name].append(await measure(peer))
    return {name: statistics.median(values) for name, values in seen.items()}


async def _echo_us(peer: Peer) -> float:
    seen = []
    for _ in range(ECHOES):
        started = time.perf_counter()
        await peer.echo()
        seen.append(time.perf_counter() - started)
    return statistics.median(seen) * 1e6


async def _tasks_per_s(peer: Peer) -> float:
    started = time.perf_counter()
    await peer.tasks(TASKS)
    return TASKS / (time.perf_counter() - started)


async def _chunks_per_s(peer: Peer) -> float:
    started = time.perf_counter()
    await peer.chunks(CHUNKS)
    return CHUNKS / (time.perf_counter() - started)


async def _workers(report: Report) -> None:
    """How long a further worker takes from the request to fork until it is ready, and what it weighs."""
    pool = Pool(PoolSettings(size=READY + 1, spares=READY + 1))
    try:
        await pool.start()
        while len(idle := [w for w in pool.stats()["workers"] if w["state"] == "idle"]) < READY:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        report("worker_private_mb", statistics.median(_private_mb(w["pid"]) for w in idle), "mb")
        for number in range(READY):  # one at a time: a pool that is filled forks many at once
            await pool.release_run(f"run-{number - 1}")
            async with pool.leased(f"run-{number}"):
                await asyncio.sleep(0.1)
        later = [w for w in pool.stats()["workers"] if w["number"] > READY + 1]
        ready = statistics.median(worker["ready_after"] for worker in later)
        report("worker_ready_ms", ready * 1e3, "ms")
    finally:
        await pool.aclose()
    report("worker_replace_ms", await _replace_ms(), "ms")


async def _replace_ms() -> float:
    """From the kill of a worker in the middle of a call until the one that takes its place is ready, with
    no spare at hand."""
    pool, seen = Pool(PoolSettings(size=2, spares=0)), []
    endless = CallMessage(operation="chunks", payload={"text": "x", "count": 1_000_000_000})
    try:
        await pool.start()
        for number in range(READY):
            call = asyncio.create_task(pool.run(f"run-{number}", endless, Recorder()))
            while not (busy := [w for w in pool.stats()["workers"] if w["state"] == "busy"]):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            killed = time.perf_counter()
            os.kill(busy[0]["pid"], signal.SIGKILL)
            while not any(_replaces(worker, busy[0]) for worker in pool.stats()["workers"]):
                await asyncio.sleep(0.0005)
            seen.append(time.perf_counter() - killed)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await pool.release_run(f"run-{number}")
    finally:
        await pool.aclose()
    return statistics.median(seen) * 1e3


def _replaces(worker: dict[str, Any], killed: dict[str, Any]) -> bool:
    return worker["number"] > killed["number"] and worker["state"] in ("idle", "busy")


async def _table_ms() -> float:
    """An Arrow table of 100 MB from the host to a worker, read there column by column, and a new one of
    the same size back, read again."""
    limit = 2 * TABLE_ROWS * 36
    settings = PoolSettings(worker="benchmarks.table_worker", size=1, spares=0, limit=limit)
    pool, source, seen = Pool(settings), _columns(TABLE_ROWS), []
    try:
        for _ in range(ROUNDS + 1):
            started = time.perf_counter()
            call = CallMessage(operation="again", payload={"table": Table.of(source)})
            outcome = await pool.run("run", call, Recorder())
            assert isinstance(outcome.message, ResultMessage)
            assert len(outcome.message.value.arrow()) == TABLE_ROWS
            seen.append(time.perf_counter() - started)
    finally:
        await pool.aclose()
    return statistics.median(seen[1:]) * 1e3


def _columns(rows: int) -> Any:
    """Whole numbers, fractions and texts of 16 letters: 36 bytes a row."""
    columns: dict[str, tuple[Any, list[Any]]] = {
        "number": (nanoarrow.int64(), [array("q", range(rows))]),
        "share": (nanoarrow.float64(), [array("d", [0.5]) * rows]),
        "text": (nanoarrow.string(), [array("i", range(0, 16 * rows + 1, 16)), b"x" * 16 * rows]),
    }
    children = [
        nanoarrow.c_array_from_buffers(type_, rows, [None, *buffers])
        for type_, buffers in columns.values()
    ]
    schema = nanoarrow.struct({name: type_ for name, (type_, _) in columns.items()})
    return nanoarrow.Array(
        nanoarrow.c_array_from_buffers(
            schema, rows, [None], children=children, validation_level="none"
        )
    )


@contextmanager
def _no_shared_memory() -> Iterator[None]:
    shared.AVAILABLE, before = False, shared.AVAILABLE
    try:
        yield
    finally:
        shared.AVAILABLE = before


def _private_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = ("Private_Clean:", "Private_Dirty:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(private)) / 1024


class Bridge:
    """Our pool with two workers."""

    async def __aenter__(self) -> "Bridge":
        self._pool = Pool(PoolSettings(size=2, spares=0))
        self._stack = AsyncExitStack()
        self._echo = CallMessage(operation="echo", payload={"text": TEXT})
        self._handler = Recorder()
        await self._pool.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.aclose()

    async def echo(self) -> None:
        await self._pool.run("run", self._echo, self._handler)

    async def tasks(self, number: int) -> None:
        async with self._pool.leased("run") as first, self._pool.leased("run") as second:
            each = number // 2
            await asyncio.gather(self._pipeline(first, each), self._pipeline(second, each))

    async def _pipeline(self, worker: WorkerProxy, number: int) -> None:
        for _ in range(number // IN_FLIGHT):
            tickets = [worker.call(self._echo, self._handler) for _ in range(IN_FLIGHT)]
            for ticket in tickets:
                await ticket.outcome

    async def chunks(self, number: int) -> None:
        self._handler.chunks.clear()
        call = CallMessage(operation="chunks", payload={"text": "word", "count": number})
        await self._pool.run("run", call, self._handler)
        assert len(self._handler.chunks) == number


def _pebble_start(queue: Any) -> None:
    global _chunk_queue
    _chunk_queue = queue


def _pebble_echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def _pebble_chunks(number: int) -> int:
    for index in range(number):
        _chunk_queue.put(("text", "word", index))
    return number


_chunk_queue: Any = None


class Pebble(ExitStack):
    """pebble's process pool, from a forkserver that has DSPy preloaded. It can't stream: chunks go
    through a multiprocessing queue, as its users do it."""

    def __enter__(self) -> "Pebble":
        from pebble import ProcessPool

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["dspy"])
        self._queue = context.Queue()
        self._pool = ProcessPool(
            max_workers=2, context=context, initializer=_pebble_start, initargs=(self._queue,)
        )
        self.callback(self._pool.join)
        self.callback(self._pool.stop)
        return self

    async def echo(self) -> None:
        self._pool.schedule(_pebble_echo, args=[{"text": TEXT}]).result()

    async def tasks(self, number: int) -> None:
        futures = [self._pool.schedule(_pebble_echo, args=[{"text": TEXT}]) for _ in range(number)]
        for future in futures:
            future.result()

    async def chunks(self, number: int) -> None:
        done = self._pool.schedule(_pebble_chunks, args=[number])
        for _ in range(number):
            self._queue.get()
        done.result()


class Grpc:
    """grpc.aio servers in two processes, over Unix sockets. Plain bytes: no protobuf is charged."""

    async def __aenter__(self) -> "Grpc":
        import grpc

        spawn = multiprocessing.get_context("spawn")
        self._directory = tempfile.TemporaryDirectory()
        paths = [f"unix:{self._directory.name}/{number}" for number in (1, 2)]
        self._servers = [
            spawn.Process(target=_serve_grpc, args=(path,), daemon=True) for path in paths
        ]
        for server in self._servers:
            server.start()
        self._channels = [grpc.aio.insecure_channel(path) for path in paths]
        for channel in self._channels:
            await asyncio.wait_for(channel.channel_ready(), 30)
        self._calls = [channel.unary_unary("/bridge/echo") for channel in self._channels]
        self._stream = self._channels[0].unary_stream("/bridge/chunks")
        return self

    async def __aexit__(self, *error: object) -> None:
        for channel in self._channels:
            await channel.close()
        for server in self._servers:
            server.kill()
            server.join()
        self._directory.cleanup()

    async def echo(self) -> None:
        await self._calls[0](TEXT.encode())

    async def tasks(self, number: int) -> None:
        for _ in range(number // (2 * IN_FLIGHT)):
            calls = [call(TEXT.encode()) for call in self._calls for _ in range(IN_FLIGHT)]
            await asyncio.gather(*calls)

    async def chunks(self, number: int) -> None:
        async for _ in self._stream(str(number).encode()):
            pass


def _serve_grpc(path: str) -> None:
    asyncio.run(_serve_grpc_forever(path))


async def _serve_grpc_forever(path: str) -> None:
    import dspy  # noqa: F401 (a worker of ours has it loaded, too)
    import grpc

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def chunks(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"word"

    server = grpc.aio.server()
    handlers = {
        "echo": grpc.unary_unary_rpc_method_handler(echo),
        "chunks": grpc.unary_stream_rpc_method_handler(chunks),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bridge", handlers)])
    server.add_insecure_port(path)
    await server.start()
    await server.wait_for_termination()
