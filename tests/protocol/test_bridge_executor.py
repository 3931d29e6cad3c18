"""The `dspy` backend against the real worker loop in threads, with operations that need no DSPy."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.policy import StepPolicy
from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.executor import DSPyExecutor
from runner.bridge.messages import ModuleInfo
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.pool_settings import POOLS
from runner.bridge.pools import OnePool, Pools
from runner.bridge.references import RunScope
from runner.bridge.testing import ThreadNursery
from runner.bridge.worker_loop import Step, Worker
from runner.engine.errors import OutputNotProduced, RemoteError, RunnerError, WorkerLost
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.errors import AuthError, InvalidRequest
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message


def ask(step: Step, text: str) -> Any:
    return step.ask_lm(LMRequest(messages=(Message(role="user", content=text),)))[1]


def module(step: Step, payload: dict[str, Any]) -> Any:
    """Stands for DSPy's: what it does is in the input."""
    match payload["inputs"]["query"]:
        case "both":
            futures = [ask(step, text) for text in ("one", "two")]
            return {"answer": [future.result().text for future in futures]}
        case "tool":
            return {"answer": step.ask_tool("add", {"a": 1})}
        case "no tool":
            return {"answer": step.ask_tool("unheard", {})}
        case "chunk":
            step.chunk("answer", "piece", 3)
            step.trace("note", {"n": 1})
            return {"answer": ""}
        case "deaf":
            ask(step, "hi")
            time.sleep(0.25)  # computes, and does not hear of a cancel
        case "payload":
            return {"answer": payload, "extra": 1}
        case "nothing":
            return {}
        case text:
            return {"answer": ask(step, text).result().text}


WORKER = Worker(operations={"module": module}, modules=(ModuleInfo(name="Predict"),))


class Gateway:
    """Answers with the text in capitals, or with what `answer` does."""

    def __init__(self) -> None:
        self.answer: Callable[[str, Call], Any] | None = None
        self.in_flight = 0
        self.most = 0

    def profile(self, name: str | None) -> LMProfile:
        return LMProfile(name=name or "default", adapter="scripted", format="compact")

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            text = str(request.messages[0].content)
            await asyncio.sleep(0.01)
            if self.answer is not None:
                await self.answer(text, call)
            return LMResponse(text=text.upper())
        finally:
            self.in_flight -= 1


class Observer:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def chunk(self, chunk: Chunk) -> None:
        self.told.append(chunk.text)

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        self.told.append((str(type_), data))


class House:
    """An executor with everything around it."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.observer = Observer()
        self.nursery = ThreadNursery(WORKER)
        self.pool = Pool(PoolSettings(size=2, barrier=BarrierSettings(backoff=())), self.nursery)
        self.executor = DSPyExecutor(OnePool(self.pool), self.gateway, {"add": self.add})

    async def add(self, call: Call, arguments: dict[str, Any]) -> Any:
        if self.gateway.answer is not None:
            await self.gateway.answer("tool", call)
        return {"call": call.path, **arguments}

    def call(self, query: str, **policy: Any) -> Call:
        config = {"signature": "query -> answer: Any", "lm": "fast", "temperature": 0.1}
        return Call(
            run_id="run",
            path="n1",
            attempt=1,
            node=Node(id="n1", kind="predict", config=config),
            config=kind_named("predict").config(**config),
            policy=StepPolicy(**policy),
            inputs={"query": query},
            observer=self.observer,
        )

    async def run(self, query: str, **policy: Any) -> Any:
        return await self.executor.execute(self.call(query, **policy))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.pool.aclose()


def failing(error: Exception) -> Callable[[str, Call], Any]:
    async def fail(text: str, call: Call) -> None:
        raise error

    return fail


async def test_lm_requests_go_to_the_gateway_and_back(house: House) -> None:
    assert await house.run("hi") == {"answer": "HI"}


async def test_two_lm_requests_are_in_flight_at_once(house: House) -> None:
    assert await house.run("both") == {"answer": ["ONE", "TWO"]}
    assert house.gateway.most == 2


async def test_tool_is_given_the_call_and_its_arguments(house: House) -> None:
    assert await house.run("tool") == {"answer": {"call": "n1", "a": 1}}


async def test_unknown_tool_is_named(house: House) -> None:
    with pytest.raises(RunnerError, match=r"no tool 'unheard' here\. Tools: add"):
        await house.run("no tool")


@pytest.mark.parametrize("query", ["hi", "tool"])
@pytest.mark.parametrize("error", [AuthError("bad key"), InvalidRequest("bad request")])
async def test_error_raised_in_the_host_is_the_one_that_is_raised(
    house: House, query: str, error: RunnerError
) -> None:
    house.gateway.answer = failing(error)
    with pytest.raises(type(error)) as raised:
        await house.run(query)
    assert raised.value is error


async def test_error_without_a_code_stays_internal(house: House) -> None:
    house.gateway.answer = failing(KeyError("x"))
    with pytest.raises(RemoteError, match="KeyError") as raised:
        await house.run("hi")
    assert raised.value.failure.code == "internal"


async def test_payload_says_how_to_ask_and_what(house: House) -> None:
    payload = (await house.run("payload"))["answer"]
    assert payload["lm"] == {"adapter": "compact", "structured": True, "temperature": 0.1}
    assert payload["signature"]["outputs"][0]["name"] == "answer"
    assert (payload["node"], payload["module"]) == ("n1", "Predict")


async def test_outputs_are_those_of_the_node_s_ports(house: House) -> None:
    assert set(await house.run("payload")) == {"answer"}
    with pytest.raises(OutputNotProduced, match="'answer'"):
        await house.run("nothing")


async def test_chunks_and_traces_of_the_worker_are_told(house: House) -> None:
    await house.run("chunk")
    assert house.observer.told[:2] == ["piece", ("trace", {"name": "note", "n": 1})]
    kind, crossing = house.observer.told[2]
    assert (kind, crossing["name"], crossing["format"]) == ("trace", "bridge", "messagepack")


async def test_cancelling_a_step_ends_its_lm_calls(house: House) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait(text: str, call: Call) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    house.gateway.answer = wait
    task = asyncio.create_task(house.run("hi"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_lm_calls_end_before_a_worker_that_computes_hears_of_it(house: House) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait(text: str, call: Call) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    house.gateway.answer = wait
    task = asyncio.create_task(house.run("deaf"))
    await started.wait()
    task.cancel()
    await asyncio.wait_for(ended.wait(), 0.1)
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_lm_call_of_a_lost_worker_goes_on_silently(house: House) -> None:
    """So that the next worker's equal request joins it and nothing is paid twice."""
    calls: list[str] = []

    async def lose_the_first(text: str, call: Call) -> None:
        calls.append("asked")
        first = len(calls) == 1
        number = call.next_lm_call()
        said = Chunk(
            run_id="run",
            step="n1",
            attempt=1,
            call=number,
            field="",
            offset=0,
            text=f"call {number}",
        )
        call.observer.chunk(said)
        if first:
            house.nursery.kill(house.pool.stats()["workers"][0]["pid"])
            await asyncio.sleep(0.05)
            call.observer.chunk(said)
            calls.append("answered all the same")
        else:
            await asyncio.sleep(0.1)

    house.gateway.answer = lose_the_first
    assert await house.run("hi") == {"answer": "HI"}
    assert calls == ["asked", "asked", "answered all the same"]
    told = house.observer.told
    assert told[0] == "call 1"
    assert told[1] == ("retract", {"call": 1, "reason": "worker_lost", "predictor": ""})
    assert [item for item in told if isinstance(item, str)] == ["call 1", "call 2"]


async def test_step_that_must_not_be_repeated_is_not(house: House) -> None:
    async def lose(text: str, call: Call) -> None:
        house.nursery.kill(house.pool.stats()["workers"][0]["pid"])

    house.gateway.answer = lose
    with pytest.raises(WorkerLost):
        await house.run("hi", retry="never")


async def test_can_is_what_the_workers_announced(house: House) -> None:
    async def can(kind: str, **config: Any) -> bool:
        node = Node(id="n1", kind=kind)
        return house.executor.can(node, kind_named(kind).config(**config))

    assert await can(
        "chain_of_thought", signature="a -> b"
    )  # taken for granted until a worker is there
    await house.pool.start()
    assert await can("predict", signature="a -> b")
    assert not await can("chain_of_thought", signature="a -> b")
    assert not await can("template", template="x")


def retrieve(step: Step, payload: dict[str, Any]) -> Any:
    """Stands for DSPy's ColBERTv2."""
    return {"passages": [{"text": payload["query"]}]}


async def test_retrieval_runs_in_the_pool_that_keeps_workers_and_knows_its_session() -> None:
    worker = Worker(operations={"module": module, "retrieve": retrieve})
    pools, observer = Pools(POOLS, ThreadNursery(worker)), Observer()
    executor = DSPyExecutor(pools, Gateway())
    config = {"collection": "docs"}
    try:
        for run in ("one", "two"):
            executor.scopes[run] = RunScope(session="pipeline")
            call = Call(
                run_id=run,
                path="find",
                attempt=1,
                node=Node(id="find", kind="colbert", config=config),
                config=kind_named("colbert").config(**config),
                policy=StepPolicy(),
                inputs={"query": "hi"},
                observer=observer,
            )
            assert await executor.execute(call) == {"passages": [{"text": "hi"}]}
            await pools.release_run(run)
        told = [data for _, data in observer.told]
        assert [each["pool"] for each in told] == ["neural", "neural"]
        assert told[0]["worker"] == told[1]["worker"]
        assert len(pools["neural"].leasing.sessions) == 1
        assert not len(pools.general.workforce)
    finally:
        await pools.aclose()
