"""A person stops one step, or one item of a map, while the rest goes on."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipelines.graph.graph import Graph
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.results import RunResult, fold
from runner.engine.waits import RunControl
from tests.graphs import chain, edges, interface, node


class Held:
    """Steps that wait for ever; `begun` says which ones do, `ended` which were told to stop."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def __call__(self, call: Call) -> dict[str, Any]:
        self.begun.append(call.path)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(call.path)
        raise AssertionError


async def stopped(
    graph: Graph,
    inputs: Mapping[str, Any],
    held: Held,
    names: str,
    act: Callable[[RunControl, asyncio.Task[Any]], None],
    waits_for: int = 1,
) -> RunResult:
    """A run in which the steps of these names wait, until `act` has done something to it."""
    journal, control = MemoryJournal(), RunControl()
    execution = Execution(
        plan(graph),
        run_id="r",
        executors=[
            FakeExecutor(dict.fromkeys(names.split(), held), otherwise=lambda call: {"y": "ok"})
        ],
        journal=journal,
        on_chunk=lambda chunk: None,
        control=control,
    )
    task = asyncio.get_running_loop().create_task(execution.run(inputs))
    async with asyncio.timeout(2):
        while len(held.begun) < waits_for:
            await asyncio.sleep(0)
        act(control, task)
        await asyncio.gather(task, return_exceptions=True)
    return fold(journal.events)


def stop(*paths: str) -> Callable[[RunControl, asyncio.Task[Any]], None]:
    return lambda control, _: [control.stops.stop(path, "ada") for path in paths] and None


async def test_a_stopped_step_ends_the_run_as_stopped_with_its_reason() -> None:
    held = Held()
    result = await stopped(chain(3), {"x": "a"}, held, "s1", stop("s1"))
    assert held.ended == ["s1"]
    assert (result.status, result.failed_step) == (RunStatus.CANCELLED, "s1")
    assert result.failure is not None and result.failure.code == "cancelled_by_user"
    assert "Stopped by ada" in result.failure.message
    assert result.steps["s1"].status is StepStatus.CANCELLED
    assert result.steps["s1"].failure is not None
    assert "s2" not in result.steps


@pytest.mark.parametrize(
    ("policy", "gives"),
    [
        ({"on_error": "fallback_value", "fallback": {"y": "instead"}}, {"y": "ok"}),
        ({"on_error": "continue"}, {}),
    ],
)
async def test_the_policy_says_what_follows(policy: dict[str, Any], gives: dict[str, Any]) -> None:
    held = Held()
    graph = chain(2).with_node(node("s0", policy=policy))
    result = await stopped(graph, {"x": "a"}, held, "s0", stop("s0"))
    assert result.outputs == gives
    assert [error["code"] for error in result.errors] == ["cancelled_by_user"]
    assert result.steps["s0"].status is StepStatus.CANCELLED


async def test_it_is_neither_tried_again_nor_handed_to_the_other_backend() -> None:
    held = Held()
    graph = chain(1, policy={"retries": 3, "backoff": 0.0, "on_error": "fallback_backend"})
    result = await stopped(graph, {"x": "a"}, held, "s0", stop("s0"))
    assert held.begun == ["s0"]
    assert result.status is RunStatus.CANCELLED


def mapped(**config: Any) -> Graph:
    return Graph.of(
        [
            interface("input", "items"),
            node("each", "map", item="x", concurrency=3, **config),
            interface("input", "x", node_id="in", parent="each"),
            node("work", parent="each"),
            interface("output", "y", node_id="out", parent="each"),
            interface("output", "y"),
        ],
        edges("input.items -> each.items\nin.x -> work.x\nwork.y -> out.y\neach.y -> output.y"),
    )


async def test_one_item_of_a_map_is_stopped_and_the_others_go_on() -> None:
    held, go = Held(), asyncio.Event()

    async def work(call: Call) -> dict[str, Any]:
        if call.inputs["x"] == "b":
            return await held(call)
        await go.wait()
        return {"y": call.inputs["x"] + "+"}

    journal, control = MemoryJournal(), RunControl()
    execution = Execution(
        plan(mapped(on_item_error="continue")),
        run_id="r",
        executors=[FakeExecutor({"work": work})],
        journal=journal,
        on_chunk=lambda chunk: None,
        control=control,
    )
    task = asyncio.get_running_loop().create_task(execution.run({"items": ["a", "b", "c"]}))
    async with asyncio.timeout(2):
        while not held.begun:
            await asyncio.sleep(0)
        control.stops.stop("each[1]", "ada")
        go.set()
        await task
    result = fold(journal.events)
    assert result.outputs == {"y": ["a+", None, "c+"]}
    assert [(e["step"], e["code"]) for e in result.errors] == [("each[1]", "cancelled_by_user")]
    assert result.steps["each[1]/work"].status is StepStatus.CANCELLED
    assert result.steps["each"].status is StepStatus.SUCCEEDED


async def test_a_stopped_item_stops_a_map_that_lets_none_fail() -> None:
    held = Held()
    result = await stopped(
        mapped(), {"items": ["a", "b"]}, held, "work", stop("each[1]"), waits_for=2
    )
    assert sorted(held.ended) == ["each[0]/work", "each[1]/work"]
    assert (result.status, result.failed_step) == (RunStatus.CANCELLED, "each[1]")


async def test_a_container_is_stopped_with_all_that_it_holds() -> None:
    held = Held()
    result = await stopped(mapped(), {"items": ["a", "b"]}, held, "work", stop("each"), waits_for=2)
    assert sorted(held.ended) == ["each[0]/work", "each[1]/work"]
    assert {step.status for step in result.steps.values()} == {StepStatus.CANCELLED}
    assert result.failed_step == "each"


async def test_a_step_in_a_container_is_stopped_alone() -> None:
    held = Held()
    graph = mapped(on_item_error="continue").with_node(
        node("work", parent="each", policy={"on_error": "fallback_value", "fallback": {"y": "-"}})
    )
    result = await stopped(graph, {"items": ["a"]}, held, "work", stop("each[0]/work"))
    assert result.outputs == {"y": ["-"]}


async def test_stopping_both_a_container_and_its_step_ends_both() -> None:
    held = Held()
    both = stop("each[0]/work", "each")
    result = await stopped(mapped(), {"items": ["a"]}, held, "work", both)
    assert result.status is RunStatus.CANCELLED
    assert result.steps["each"].status is StepStatus.CANCELLED


async def test_a_run_that_is_cancelled_with_a_step_is_cancelled() -> None:
    held = Held()

    def both(control: RunControl, task: asyncio.Task[Any]) -> None:
        control.stops.stop("s0", "ada")
        task.cancel()

    graph = chain(2).with_node(node("s0", policy={"on_error": "continue"}))
    result = await stopped(graph, {"x": "a"}, held, "s0", both)
    assert (result.status, list(result.steps)) == (RunStatus.CANCELLED, ["s0"])


async def test_a_step_that_was_stopped_before_it_begins_does_not_run() -> None:
    held = Held()
    result = await stopped(chain(3), {"x": "a"}, held, "s0", stop("s0", "s1"))
    assert held.begun == ["s0"]
    assert result.status is RunStatus.CANCELLED
    journal, control = MemoryJournal(), RunControl()
    control.stops.stop("s0", "ada")
    executor = FakeExecutor(otherwise=lambda call: {"y": "ok"})
    execution = Execution(
        plan(chain(1)),
        run_id="r",
        executors=[executor],
        journal=journal,
        on_chunk=lambda chunk: None,
        control=control,
    )
    await execution.run({"x": "a"})
    assert executor.calls == []
    assert EventType.STEP_CANCELLED in [event.type for event in journal.events]


async def test_a_step_that_waits_for_a_person_can_be_stopped() -> None:
    graph = Graph.of(
        [interface("input", "x"), node("ask", "approve"), interface("output", "y")],
        edges("input.x -> ask.value\nask.approved -> output.y"),
    )
    journal, control = MemoryJournal(), RunControl()
    execution = Execution(
        plan(graph),
        run_id="r",
        executors=[FakeExecutor()],
        journal=journal,
        on_chunk=lambda chunk: None,
        control=control,
    )
    task = asyncio.get_running_loop().create_task(execution.run({"x": "a"}))
    async with asyncio.timeout(2):
        while not control.asks:
            await asyncio.sleep(0)
        control.stops.stop("ask", "ada")
        await task
    assert fold(journal.events).status is RunStatus.CANCELLED
