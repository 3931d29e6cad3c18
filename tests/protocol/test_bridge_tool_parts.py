"""Host tools that answer in parts, over the real executor and the real worker loop in threads."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.policy import StepPolicy
from runner.bridge.executor import DSPyExecutor
from runner.bridge.frames import Kind
from runner.bridge.messages import TOOL_WINDOW, CallMessage, ModuleInfo, ToolChunkMessage
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.pools import OnePool
from runner.bridge.references import RunScope
from runner.bridge.testing import PATIENCE, FakeHost, ThreadNursery
from runner.bridge.tools import HostTool
from runner.bridge.worker_loop import Step, Worker
from runner.engine.errors import RemoteError
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.types import LMProfile, LMRequest, LMResponse

LET_ON = threading.Event()


def module(step: Step, payload: dict[str, Any]) -> Any:
    """Stands for ReAct: uses the tool of its input's name, in the way that the rest of it says."""
    return {"answer": used(step, payload), "reasoning": "", "trajectory": {}}


def used(step: Step, payload: dict[str, Any]) -> Any:
    name, _, how = payload["inputs"]["query"].partition(" ")
    if not how:
        return step.ask_tool(f"tool:{name}", {})
    stream = step.stream_tool(f"tool:{name}", {})
    if how == "slowly":
        LET_ON.wait(PATIENCE)
    if how == "first":
        first = next(stream)
        stream.close()
        return [first, list(stream)]
    return {"parts": list(stream), "whole": stream.value}


WORKER = Worker(
    operations={"module": module}, modules=(ModuleInfo(name="ReAct", takes=("tools", "signature")),)
)


class Tools:
    """The tools, and how far they got."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = asyncio.Event()

    async def words(self) -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word

    def rows(self) -> Iterator[dict[str, int]]:
        for number in range(3):
            yield {"n": number}

    async def endless(self) -> AsyncIterator[str]:
        try:
            while True:
                self.made += 1
                yield "x"
                await asyncio.sleep(0)
        finally:
            self.closed.set()

    async def counted(self) -> AsyncIterator[int]:
        try:
            for number in range(100):
                self.made += 1
                yield number
        finally:
            self.closed.set()

    async def breaks(self) -> AsyncIterator[str]:
        yield "some"
        raise ValueError("it broke")

    async def huge(self) -> str:
        return "x" * 100_000

    async def strange(self) -> AsyncIterator[Any]:
        yield object()


class Gateway:
    def profile(self, name: str | None) -> LMProfile:
        return LMProfile(name=name or "default", adapter="scripted", format="compact")

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse:
        raise NotImplementedError


class Observer:
    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.tools: list[dict[str, Any]] = []

    def chunk(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        if data.get("name") == "tool":
            self.tools.append(data)


class House:
    def __init__(self) -> None:
        self.tools = Tools()
        self.observer = Observer()
        self.pool = Pool(PoolSettings(size=1, spares=0, limit=50_000), ThreadNursery(WORKER))
        self.executor = DSPyExecutor(OnePool(self.pool), Gateway())
        names = ("words", "rows", "endless", "counted", "breaks", "huge", "strange")
        tools = {name: HostTool.of(getattr(self.tools, name)) for name in names}
        self.executor.scopes["run"] = RunScope(tools=tools)

    async def run(self, query: str) -> Any:
        config = {
            "module": "ReAct",
            "signature": "query -> answer: Any",
            "tools": [query.partition(" ")[0]],
        }
        call = Call(
            run_id="run",
            path="n1",
            attempt=1,
            node=Node(id="n1", kind="dspy_module", config=config),
            config=kind_named("dspy_module").config(**config),
            policy=StepPolicy(),
            inputs={"query": query},
            observer=self.observer,
        )
        return (await self.executor.execute(call))["answer"]

    def shown(self) -> str:
        return "".join(chunk.text for chunk in self.observer.chunks)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    LET_ON.clear()
    house = House()
    yield house
    LET_ON.set()
    await house.pool.aclose()


async def test_parts_are_shown_as_they_come_and_the_answer_is_the_whole(house: House) -> None:
    assert await house.run("words") == "one two three"
    told = [(chunk.field, chunk.offset, chunk.text) for chunk in house.observer.chunks]
    assert told == [("words", 0, "one "), ("words", 4, "two "), ("words", 8, "three")]
    assert [each["result"] for each in house.observer.tools] == ["one two three"]


async def test_module_takes_the_parts_as_they_come(house: House) -> None:
    parts = await house.run("words streamed")
    assert parts == {"parts": ["one ", "two ", "three"], "whole": "one two three"}
    rows = [{"n": 0}, {"n": 1}, {"n": 2}]
    assert await house.run("rows streamed") == {"parts": rows, "whole": rows}


async def test_tool_does_not_run_ahead_of_a_slow_module(house: House) -> None:
    run = asyncio.create_task(house.run("counted slowly"))
    async with asyncio.timeout(PATIENCE):
        while house.tools.made < TOOL_WINDOW + 1:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert house.tools.made == TOOL_WINDOW + 1  # the last one is made and waits
    LET_ON.set()
    assert (await run)["parts"] == list(range(100))


async def test_module_that_has_enough_ends_the_tool(house: House) -> None:
    assert await house.run("endless first") == ["x", []]
    async with asyncio.timeout(PATIENCE):
        await house.tools.closed.wait()


async def test_cancelling_the_step_ends_the_tool(house: House) -> None:
    run = asyncio.create_task(house.run("endless"))
    async with asyncio.timeout(PATIENCE):
        while not house.tools.made:
            await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert house.tools.closed.is_set()


@pytest.mark.parametrize("how", ["", " streamed"])
async def test_tool_that_fails_in_the_middle_is_told_and_traced(house: House, how: str) -> None:
    with pytest.raises(RemoteError, match="it broke"):
        await house.run(f"breaks{how}")
    assert house.shown() == "some"
    assert [each["error"] for each in house.observer.tools] == ["ValueError: it broke"]


@pytest.mark.parametrize(("tool", "why"), [("huge", "exceeds the limit"), ("strange", "object")])
async def test_answer_that_can_not_cross_is_told(house: House, tool: str, why: str) -> None:
    with pytest.raises(Exception, match=why):
        await house.run(tool)
    assert await house.run("words") == "one two three"


def test_host_that_sends_more_than_was_asked_for_breaks_the_protocol() -> None:
    def wait(step: Step, payload: dict[str, Any]) -> None:
        step.stream_tool("tool", {})
        time.sleep(payload["seconds"])

    with FakeHost(Worker(operations={"wait": wait})) as host:
        host.shake_hands()
        host.send(Kind.CALL, 1, CallMessage(operation="wait", payload={"seconds": 0.2}))
        asked = host.expect(Kind.TOOL_REQUEST)
        assert asked.message.stream
        for number in range(TOOL_WINDOW + 1):
            host.send(Kind.TOOL_CHUNK, asked.request, ToolChunkMessage(value=number))
        told = host.expect(Kind.ERROR)
        assert told.request == 0
        assert "not asked for yet" in told.message.failure.message
        assert host.left.wait(PATIENCE)
