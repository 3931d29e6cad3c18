"""A worker in JavaScript behind the real pool: what the reference says is enough to write one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from runner.bridge.messages import (
    TOOL_WINDOW,
    CallMessage,
    Exited,
    ResultMessage,
    ToolChunkMessage,
    ToolRequestMessage,
    ToolResponseMessage,
)
from runner.bridge.nursery import Newborn, OnExit, Vitals
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.tables import Table
from runner.bridge.testing import Recorder

WORKER = Path(__file__).parent / "worker.mjs"
pytestmark = pytest.mark.needs("node")


class NodeNursery:
    """Starts the worker with one end of a socketpair."""

    def __init__(self) -> None:
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Nothing to start."""

    async def fork(self, on_exit: OnExit) -> Newborn:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                "node", str(WORKER), str(theirs.fileno()), pass_fds=(theirs.fileno(),)
            )
        self._processes[process.pid] = process
        self._tasks.append(asyncio.create_task(self._watch(process, on_exit)))
        return Newborn(process.pid, ours)

    def kill(self, pid: int) -> None:
        if (process := self._processes.get(pid)) is not None and process.returncode is None:
            process.kill()

    def vitals(self, pid: int) -> Vitals:
        return Vitals(self._processes[pid].returncode is not None, None)

    def heal(self) -> None:
        """Nothing to look after."""

    async def aclose(self) -> None:
        for pid in self._processes:
            self.kill(pid)
        await asyncio.gather(*self._tasks)

    async def _watch(self, process: asyncio.subprocess.Process, on_exit: OnExit) -> None:
        code = await process.wait()
        on_exit(
            Exited(pid=process.pid, code=code)
            if code >= 0
            else Exited(pid=process.pid, signal=-code)
        )


class Streaming(Recorder):
    """Its tool answers in as many parts as may be on their way, and the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def tool_request(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
    ) -> None:
        for part in range(TOOL_WINDOW):
            answer(ToolChunkMessage(value=part))
        answer(ToolResponseMessage(value="all"))

    def tool_flow(self, number: int, message: Any) -> None:
        self.taken += message.taken


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(PoolSettings(size=1, spares=0), NodeNursery())
    yield pool
    await pool.aclose()


async def value(pool: Pool, handler: Recorder, operation: str, /, **payload: Any) -> Any:
    call = CallMessage(operation=operation, payload=payload)
    message = (await pool.run("run", call, handler)).message
    assert isinstance(message, ResultMessage), message
    return message.value


async def test_worker_made_from_the_reference_serves_calls(pool: Pool) -> None:
    ready = await pool.start()
    assert (ready.format, [each.detail for each in ready.isolation]) == ("json", ["not tried"])
    handler = Streaming()
    text = "ü" * 100_000
    assert await value(pool, handler, "echo", text=text) == {"text": text}
    assert await value(pool, handler, "shout", text="loud") == "LOUD"
    assert [(chunk.field, chunk.text) for chunk in handler.chunks] == [("answer", "loud")]
    parts = await value(pool, handler, "parts", tool="counts")
    assert parts == {"parts": list(range(TOOL_WINDOW)), "whole": "all"}
    assert handler.taken == TOOL_WINDOW
    table = Table.of_records([{"n": 1}, {"n": 2}])
    assert await value(pool, handler, "echo", table=table) == {"table": [{"n": 1}, {"n": 2}]}
