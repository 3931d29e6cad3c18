"""approve: a run waits for a person, and goes on with the answer."""

import asyncio
from typing import Any

import pytest

from pipelines.graph.graph import Graph
from pipelines.graph.validate import validate
from runner.engine.events import Event, EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.results import RunResult, fold
from runner.engine.resuming import earlier
from runner.engine.waits import Answer, RunControl
from tests.fast.test_engine import plus, run
from tests.graphs import edges, interface, node

YES = Answer(approved=True, comment="fine", by="ada")


def asking(**config: Any) -> Graph:
    """input → s → ask → output.yes or after, which output.no comes from; beside it a step `other`."""
    return Graph.of(
        [
            interface("input", "x"),
            node("s"),
            node("ask", "approve", **config),
            node("other"),
            node("kept", "merge", inputs=["yes", "no"]),
            interface("output", "kept", "comment", "other"),
        ],
        edges(
            """
            input.x -> s.x
            s.y -> ask.value
            ask.approved -> kept.yes
            ask.rejected -> kept.no
            kept.value -> output.kept
            ask.comment -> output.comment
            input.x -> other.x
            other.y -> output.other
            """
        ),
    )


async def test_a_run_that_only_waits_for_a_person_gives_its_place_up() -> None:
    result = await run(asking(), {"x": 1})
    assert result.status is RunStatus.WAITING
    assert result.steps["ask"].status is StepStatus.WAITING
    assert result.steps["other"].status is StepStatus.SUCCEEDED


async def test_it_goes_on_from_what_it_recorded_with_the_answer() -> None:
    first = await run(asking(), {"x": 1})
    recorded = {path: step.outputs for path, step in first.steps.items() if step.outputs}
    executor = FakeExecutor(otherwise=plus)
    control = RunControl({"ask": YES})
    result = await run(asking(), {"x": 1}, executor, recorded=recorded, control=control)
    assert result.outputs == {"kept": 2, "comment": "fine", "other": 2}
    assert executor.calls == []


async def test_the_wait_counts_from_when_the_person_was_asked_first() -> None:
    told: list[Event] = []
    for now, control in ((1_000.0, None), (1_060.0, RunControl({"ask": YES}))):
        journal = MemoryJournal()
        execution = Execution(
            plan(asking()),
            run_id="r",
            executors=[FakeExecutor(otherwise=plus)],
            journal=journal,
            on_chunk=lambda chunk: None,
            control=control,
            clock=lambda now=now: now,
            earlier=earlier((each.type, each.step, each.at, each.data) for each in told),
        )
        await execution.run({"x": 1})
        told += journal.events
    asked = [event for event in told if event.step == "ask"]
    assert [event.type.value for event in asked] == [
        "step_started", "step_waiting", "step_answered", "step_succeeded",
    ]  # fmt: skip
    assert asked[2].data["begun_at"] == 1_000
    assert asked[3].data["seconds"] == pytest.approx(60, abs=1)


async def test_a_rejected_value_takes_the_other_way() -> None:
    graph = asking()
    control = RunControl({"ask": Answer(approved=False)})
    result = await run(graph, {"x": 1}, control=control)
    assert result.steps["ask"].outputs == {"rejected": 2, "comment": ""}


async def test_other_steps_go_on_and_the_answer_may_come_meanwhile() -> None:
    control = RunControl()

    async def answers_later(call: Call) -> dict[str, Any]:
        await asyncio.sleep(0.12)  # longer than the engine takes to see that it rests
        control.answer("ask", YES)
        await asyncio.sleep(0)
        return plus(call)

    executor = FakeExecutor({"other": answers_later}, otherwise=plus)
    result = await run(asking(), {"x": 1}, executor, control=control)
    assert result.status is RunStatus.SUCCEEDED
    assert result.steps["ask"].traces[0]["by"] == "ada"


async def test_the_first_answer_counts() -> None:
    control = RunControl({"ask": YES})
    control.answer("ask", Answer(approved=False))
    assert (await run(asking(), {"x": 1}, control=control)).steps["ask"].outputs["approved"] == 2


async def test_a_person_may_change_the_value_where_that_is_allowed() -> None:
    control = RunControl({"ask": Answer(approved=True, value="mine")})
    assert (await run(asking(editable=True), {"x": 1}, control=control))["kept"] == "mine"
    control = RunControl({"ask": Answer(approved=True, value="mine")})
    failed = await run(asking(), {"x": 1}, control=control)
    assert (
        failed.failure is not None and "does not let its value be edited" in failed.failure.message
    )


async def test_steps_of_a_map_ask_one_by_one() -> None:
    graph = Graph.of(
        [
            interface("input", "items"),
            node("each", "map"),
            interface("input", "item", node_id="in", parent="each"),
            node("ask", "approve", parent="each"),
            interface("output", "approved", node_id="out", parent="each"),
            interface("output", "approved"),
        ],
        edges(
            """
            input.items -> each.items
            in.item -> ask.value
            ask.approved -> out.approved
            each.approved -> output.approved
            """
        ),
    )
    half = await run(graph, {"items": [1, 2]}, control=RunControl({"each[0]/ask": YES}))
    assert half.status is RunStatus.WAITING
    assert half.steps["each[0]/ask"].status is StepStatus.SUCCEEDED
    both = RunControl({"each[0]/ask": YES, "each[1]/ask": YES})
    assert (await run(graph, {"items": [1, 2]}, control=both))["approved"] == [1, 2]


async def test_a_waiting_run_can_be_cancelled() -> None:
    journal = MemoryJournal()

    async def forever(call: Call) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    execution = Execution(
        plan(asking()), run_id="r", executors=[FakeExecutor({"other": forever}, otherwise=plus)],
        journal=journal, on_chunk=lambda chunk: None,
    )  # fmt: skip
    task = asyncio.create_task(execution.run({"x": 1}))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    result: RunResult = fold(journal.events)
    assert result.steps["ask"].status is StepStatus.CANCELLED


async def test_the_event_has_what_a_page_shows() -> None:
    journal = MemoryJournal()
    execution = Execution(
        plan(asking(question="Send it?")), run_id="r", executors=[FakeExecutor(otherwise=plus)],
        journal=journal, on_chunk=lambda chunk: None,
    )  # fmt: skip
    await execution.run({"x": 1})
    [event] = [event for event in journal.events if event.type is EventType.STEP_WAITING]
    assert event.data == {"question": "Send it?", "editable": False}


def test_an_approve_step_takes_no_timeout() -> None:
    graph = asking()
    ask = node("ask", "approve", policy={"timeout": 5})
    assert "as long as it takes" in validate(graph.with_node(ask))[0].message
