"""What the engine adds to a step: ten steps in a row that do nothing, without a durable journal.

The peers run the same chain: haystack's pipeline by `run_async`, langgraph without a checkpointer. All
three are built once and then run in turn, so that whatever else this machine does hits them alike.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

from benchmarks.report import Report
from pipelines.graph.graph import Backend, Edge, Graph, Node
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan

STEPS = 10
RUNS = 50
ROUNDS = 9

type RunOnce = Callable[[], Awaitable[object]]


def run(report: Report) -> None:
    asyncio.run(_compare(report))


async def _compare(report: Report) -> None:
    chains = {"dspex": _dspex(), "haystack": _haystack(), "langgraph": _langgraph()}
    for run_once in chains.values():
        await _step_us(run_once)  # warms caches up
    seen: dict[str, list[float]] = {name: [] for name in chains}
    for _ in range(ROUNDS):
        for name, run_once in chains.items():
            seen[name].append(await _step_us(run_once))
    median = {name: statistics.median(values) for name, values in seen.items()}
    report("engine_step_us", median["dspex"], "us", "langgraph", median["langgraph"])
    report("engine_step_vs_haystack_us", median["dspex"], "us", "haystack", median["haystack"])


async def _step_us(run_once: RunOnce) -> float:
    started = time.perf_counter()
    for _ in range(RUNS):
        await run_once()
    return (time.perf_counter() - started) * 1e6 / (RUNS * STEPS)


class NoOp:
    """An executor that gives back its input."""

    backend: Backend = "native"
    warm = True

    def can(self, node: Node, config: Any) -> bool:
        return True

    async def execute(self, call: Call) -> Mapping[str, Any]:
        return {"y": call.inputs["x"]}


def _dspex() -> RunOnce:
    steps = [Node(id=f"s{n}", kind="predict", config={"signature": "x -> y"}) for n in range(STEPS)]
    ends = [("input", "x"), *((step.id, "y") for step in steps)]
    starts = [*((step.id, "x") for step in steps), ("output", "y")]
    graph = Graph.of(
        [
            Node(id="input", kind="input", config={"fields": [{"name": "x"}]}),
            *steps,
            Node(id="output", kind="output", config={"fields": [{"name": "y"}]}),
        ],
        [
            Edge(source=end[0], source_port=end[1], target=start[0], target_port=start[1])
            for end, start in zip(ends, starts, strict=True)
        ],
    )
    planned = plan(graph)
    executor = NoOp()

    async def run_once() -> None:
        execution = Execution(
            planned,
            run_id="bench",
            executors=[executor],
            journal=MemoryJournal(),
            on_chunk=lambda chunk: None,
        )
        outcome = await execution.run({"x": "1"})
        assert outcome.outputs == {"y": "1"}

    return run_once


def _haystack() -> RunOnce:
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
    from haystack import Pipeline, component

    @component
    class Step:
        @component.output_types(y=str)
        def run(self, x: str) -> dict[str, str]:
            return {"y": x}

        @component.output_types(y=str)
        async def run_async(self, x: str) -> dict[str, str]:
            return {"y": x}

    pipeline = Pipeline()
    for number in range(STEPS):
        pipeline.add_component(f"s{number}", Step())
        if number:
            pipeline.connect(f"s{number - 1}.y", f"s{number}.x")

    async def run_once() -> None:
        outputs = await pipeline.run_async({"s0": {"x": "1"}})
        assert outputs == {f"s{STEPS - 1}": {"y": "1"}}

    return run_once


def _langgraph() -> RunOnce:
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        x: str

    async def step(state: State) -> State:
        return state

    builder = StateGraph(State)
    names = [f"s{number}" for number in range(STEPS)]
    for name in names:
        builder.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    compiled = builder.compile()

    async def run_once() -> None:
        assert await compiled.ainvoke({"x": "1"}) == {"x": "1"}

    return run_once
