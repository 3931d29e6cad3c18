import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.graph.graph import Graph, Node
from pipelines.graph.validate import validate
from runner.engine.errors import InvalidInput, RunnerError
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.inputs import check_inputs
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.results import RunResult, fold
from tests.graphs import chain, edges, fields, interface, node


class Flaky(RunnerError):
    """It failed."""

    code = "flaky"
    retryable = True


class NoMoney(RunnerError):
    """The account is empty."""

    code = "billing"
    suspends = True


def plus(call: Call) -> dict[str, Any]:
    return {"y": call.inputs["x"] + 1}


def fails(call: Call) -> dict[str, Any]:
    raise Flaky


async def run(
    graph: Graph, inputs: Mapping[str, Any], *backends: FakeExecutor, **options: Any
) -> RunResult:
    assert not validate(graph), [str(problem) for problem in validate(graph)]
    journal = MemoryJournal()
    execution = Execution(
        plan(graph),
        run_id="r",
        executors=backends or [FakeExecutor(otherwise=plus)],
        journal=journal,
        on_chunk=lambda chunk: None,
        **options,
    )
    await execution.run(inputs)
    return fold(journal.events)


def diamond(policy: dict[str, Any] | None = None) -> Graph:
    """input → a, b → joined (a merge of both as dict) → output."""
    return Graph.of(
        [
            interface("input", "x"),
            node("a", policy=policy or {}),
            node("b"),
            node("joined", "merge", inputs=["a", "b"], strategy="dict"),
            interface("output", "y"),
        ],
        edges(
            """
            input.x -> a.x
            input.x -> b.x
            a.y -> joined.a
            b.y -> joined.b
            joined.value -> output.y
            """
        ),
    )


async def test_steps_run_in_order_and_hand_values_on() -> None:
    result = await run(chain(3), {"x": 1})
    assert result["y"] == 4
    assert [step.status for step in result.steps.values()] == [StepStatus.SUCCEEDED] * 3


async def test_independent_steps_overlap() -> None:
    meeting = asyncio.Barrier(2)

    async def meet(call: Call) -> dict[str, Any]:
        async with asyncio.timeout(1):
            await meeting.wait()
        return {"y": call.node.id}

    result = await run(diamond(), {"x": 1}, FakeExecutor(otherwise=meet))
    assert result["y"] == {"a": "a", "b": "b"}


async def test_events_are_numbered_without_gaps() -> None:
    journal = MemoryJournal()
    execution = Execution(
        plan(diamond()),
        run_id="r",
        executors=[FakeExecutor(otherwise=plus)],
        journal=journal,
        on_chunk=lambda chunk: None,
    )
    await execution.run({"x": 1})
    assert [event.seq for event in journal.events] == list(range(1, len(journal.events) + 1))
    assert journal.events[-1].type is EventType.RUN_FINISHED


async def test_a_result_is_durable_before_what_depends_on_it_starts() -> None:
    seen: list[str] = []

    class Recording(MemoryJournal):
        def append(self, event: Any) -> None:
            seen.append(f"{event.type} {event.step}")

        async def commit(self) -> None:
            seen.append("commit")

    execution = Execution(
        plan(chain(2)),
        run_id="r",
        executors=[FakeExecutor(otherwise=plus)],
        journal=Recording(),
        on_chunk=lambda chunk: None,
    )
    await execution.run({"x": 1})
    finished = seen.index("step_succeeded s0")
    assert "commit" in seen[finished : seen.index("step_started s1")]


async def test_a_failed_step_stops_the_run_and_cancels_the_others() -> None:
    async def forever(call: Call) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def fails_later(call: Call) -> dict[str, Any]:
        await asyncio.sleep(0)
        raise Flaky

    result = await run(diamond(), {"x": 1}, FakeExecutor({"a": fails_later, "b": forever}))
    assert result.status is RunStatus.FAILED
    assert result.failed_step == "a"
    assert result.failure is not None and result.failure.code == "flaky"
    assert result.steps["b"].status is StepStatus.CANCELLED


async def test_continue_leaves_the_outputs_dead_and_lists_the_error() -> None:
    result = await run(
        diamond({"on_error": "continue"}), {"x": 1}, FakeExecutor({"a": fails, "b": plus})
    )
    assert result.status is RunStatus.SUCCEEDED
    assert result["y"] == {"b": 2}
    assert result.errors == [{"step": "a", "code": "flaky", "message": "It failed."}]


async def test_a_step_after_a_dead_edge_is_skipped_and_the_cause_is_named() -> None:
    graph = chain(3, policy={"on_error": "continue"})
    result = await run(graph, {"x": 1}, FakeExecutor({"s0": fails}, otherwise=plus))
    assert result.steps["s1"].status is StepStatus.SKIPPED
    assert "s0.y" in result.steps["s1"].cause


async def test_a_required_output_that_is_dead_fails_the_run() -> None:
    graph = chain(1, policy={"on_error": "continue"})
    result = await run(graph, {"x": 1}, FakeExecutor({"s0": fails}))
    assert result.failure is not None and result.failure.code == "output_not_produced"


async def test_a_fallback_value_takes_the_place_of_a_failed_step() -> None:
    graph = chain(1, policy={"on_error": "fallback_value", "fallback": {"y": "none"}})
    result = await run(graph, {"x": 1}, FakeExecutor({"s0": fails}))
    assert result["y"] == "none"
    assert result.errors[0]["step"] == "s0"


async def test_the_other_backend_takes_over_when_the_policy_says_so() -> None:
    graph = chain(1, policy={"on_error": "fallback_backend"})
    dspy = FakeExecutor(otherwise=plus, backend="dspy")
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=fails), dspy)
    assert result["y"] == 2
    assert result.steps["s0"].reason == "dspy: fallback after native failed"


async def test_retryable_failures_are_tried_again_as_often_as_the_policy_says() -> None:
    tries = 0

    def third_time_lucky(call: Call) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if call.attempt < 3:
            raise Flaky
        return {"y": call.attempt}

    graph = chain(1, policy={"retries": 2, "backoff": 0})
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=third_time_lucky))
    assert (result["y"], tries, result.steps["s0"].attempts) == (3, 3, 3)


async def test_a_side_effect_is_never_repeated() -> None:
    backend = FakeExecutor(otherwise=fails)
    graph = chain(1, policy={"retries": 5, "backoff": 0, "retry": "never"})
    await run(graph, {"x": 1}, backend)
    assert len(backend.calls) == 1


async def test_a_step_that_takes_too_long_times_out() -> None:
    async def slow(call: Call) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    graph = chain(1, policy={"timeout": 0.01})
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=slow))
    assert result.failure is not None and result.failure.code == "timeout"
    assert "s0" in result.failure.message


async def test_a_timeout_error_of_the_work_is_not_taken_for_the_steps_own() -> None:
    def times_out(call: Call) -> dict[str, Any]:
        raise TimeoutError("the database")

    graph = chain(1, policy={"timeout": 5})
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=times_out))
    assert result.failure is not None and result.failure.code == "internal"


async def test_the_deadline_ends_the_run() -> None:
    async def slow(call: Call) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    deadline = asyncio.get_running_loop().time() + 0.01
    result = await run(chain(1), {"x": 1}, FakeExecutor(otherwise=slow), deadline=deadline)
    assert result.failure is not None and "deadline" in result.failure.message


async def test_cancelling_the_run_ends_its_steps_and_is_recorded() -> None:
    journal = MemoryJournal()

    async def forever(call: Call) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    execution = Execution(
        plan(diamond()),
        run_id="r",
        executors=[FakeExecutor(otherwise=forever)],
        journal=journal,
        on_chunk=lambda chunk: None,
    )
    task = asyncio.create_task(execution.run({"x": 1}))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    result = fold(journal.events)
    assert result.status is RunStatus.CANCELLED
    assert {step.status for step in result.steps.values()} == {StepStatus.CANCELLED}


async def test_an_empty_account_suspends_the_run_even_where_errors_are_passed_over() -> None:
    def broke(call: Call) -> dict[str, Any]:
        raise NoMoney

    graph = chain(1, policy={"on_error": "continue"})
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=broke))
    assert result.status is RunStatus.SUSPENDED


async def test_recorded_steps_are_taken_and_not_run() -> None:
    backend = FakeExecutor(otherwise=plus)
    result = await run(chain(3), {"x": 1}, backend, recorded={"s0": {"y": 10}, "s1": {"y": 20}})
    assert result["y"] == 21
    assert [call.path for call in backend.calls] == ["s2"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "'x' (Any) is missing"),
        ({"x": 1, "z": 2}, "'z' is not an input"),
        ({"x": 1, "xx": 2}, "did you mean 'x'?"),
    ],
)
async def test_missing_and_unknown_inputs_are_refused(inputs: dict[str, int], words: str) -> None:
    backend = FakeExecutor(otherwise=plus)
    result = await run(chain(1), inputs, backend)
    assert result.failure is not None and words in result.failure.message
    assert not backend.calls


# Control


def fork(kind: str, **config: Any) -> Graph:
    """A control node that sends `x` to `then` or `otherwise`; both meet in a merge."""
    return Graph.of(
        [
            interface("input", "x"),
            node("which", kind, **config),
            node("yes"),
            node("no"),
            node("either", "merge", inputs=["yes", "no"]),
            interface("output", "y"),
        ],
        edges(
            f"""
            input.x -> which.x
            input.x -> which.value
            which.{"then" if kind == "condition" else "big"} -> yes.x
            which.otherwise -> no.x
            yes.y -> either.yes
            no.y -> either.no
            either.value -> output.y
            """
        ),
    )


@pytest.mark.parametrize(("x", "ran", "skipped"), [(5, "yes", "no"), (1, "no", "yes")])
async def test_condition_makes_one_way_live_and_the_other_dead(
    x: int, ran: str, skipped: str
) -> None:
    result = await run(fork("condition", expression="x > 3"), {"x": x})
    assert result.steps[ran].status is StepStatus.SUCCEEDED
    assert result.steps[skipped].status is StepStatus.SKIPPED
    assert result["y"] == x + 1


@pytest.mark.parametrize(("x", "ran"), [(5, "yes"), (1, "no")])
async def test_switch_picks_the_case_of_that_name(x: int, ran: str) -> None:
    expression = "'big' if x > 3 else 'unheard of'"
    result = await run(fork("switch", expression=expression, cases=["big"]), {"x": x})
    assert result.steps[ran].status is StepStatus.SUCCEEDED


def voting(strategy: str) -> Graph:
    names = ["first", "second", "third"]
    lines = [f"input.x -> {name}.x\n{name}.y -> joined.{name}" for name in names]
    return Graph.of(
        [
            interface("input", "x"),
            *(node(name, policy={"on_error": "continue"}) for name in names),
            node("joined", "merge", inputs=names, strategy=strategy),
            interface("output", "y"),
        ],
        edges("\n".join([*lines, "joined.value -> output.y"])),
    )


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("first", {"b": 1, "a": 2}),
        ("list", [{"b": 1, "a": 2}, {"a": 2, "b": 1}]),
        ("dict", {"second": {"b": 1, "a": 2}, "third": {"a": 2, "b": 1}}),
        ("vote", {"a": 2, "b": 1}),
    ],
)
async def test_merge_drops_the_dead_and_keeps_the_order_of_its_ports(
    strategy: str, expected: Any
) -> None:
    backend = FakeExecutor(
        {
            "first": fails,
            "second": lambda call: {"y": {"b": 1, "a": 2}},
            "third": lambda call: {"y": {"a": 2, "b": 1}},
        }
    )
    result = await run(voting(strategy), {"x": 1}, backend)
    assert result["y"] == expected


async def test_a_tie_goes_to_the_earlier_port() -> None:
    backend = FakeExecutor(
        {name: lambda call: {"y": call.node.id} for name in ("first", "second", "third")}
    )
    assert (await run(voting("vote"), {"x": 1}, backend))["y"] == "first"


async def test_merge_with_nothing_left_is_skipped() -> None:
    result = await run(voting("first"), {"x": 1}, FakeExecutor(otherwise=fails))
    assert result.steps["joined"].status is StepStatus.SKIPPED


# Map


def mapping(**config: Any) -> Graph:
    """Runs `add` over a list; every item gets `by` too."""
    inside = [
        Node(id="each-in", kind="input", parent="each", config=fields("item", "by")),
        node("add", parent="each", signature="x, by -> y"),
        Node(id="each-out", kind="output", parent="each", config=fields("sum")),
    ]
    return Graph.of(
        [
            interface("input", "numbers", "by"),
            node("each", "map", **config),
            *inside,
            interface("output", "sums"),
        ],
        edges(
            """
            input.numbers -> each.items
            input.by -> each.by
            each-in.item -> add.x
            each-in.by -> add.by
            add.y -> each-out.sum
            each.sum -> output.sums
            """
        ),
    )


async def add_slowly(call: Call) -> dict[str, Any]:
    await asyncio.sleep(0.001 * (5 - call.inputs["x"]))
    return {"y": call.inputs["x"] + call.inputs["by"]}


async def test_map_keeps_the_order_of_the_items() -> None:
    result = await run(
        mapping(), {"numbers": [1, 2, 3], "by": 10}, FakeExecutor(otherwise=add_slowly)
    )
    assert result["sums"] == [11, 12, 13]
    assert "each[2]/add" in result.steps


async def test_map_of_nothing_is_nothing() -> None:
    assert (await run(mapping(), {"numbers": [], "by": 1}))["sums"] == []


async def test_map_works_at_no_more_items_at_once_than_allowed() -> None:
    busy = peak = 0

    async def count(call: Call) -> dict[str, Any]:
        nonlocal busy, peak
        busy += 1
        peak = max(peak, busy)
        await asyncio.sleep(0)
        busy -= 1
        return {"y": 0}

    await run(
        mapping(concurrency=3), {"numbers": list(range(20)), "by": 0}, FakeExecutor(otherwise=count)
    )
    assert peak == 3


def fails_on_two(call: Call) -> dict[str, Any]:
    if call.inputs["x"] == 2:
        raise Flaky
    return {"y": call.inputs["x"]}


async def test_map_leaves_null_for_a_failed_item_and_lists_its_index() -> None:
    result = await run(
        mapping(on_item_error="continue"),
        {"numbers": [1, 2, 3], "by": 0},
        FakeExecutor(otherwise=fails_on_two),
    )
    assert result["sums"] == [1, None, 3]
    assert result.errors[0]["item"] == 1
    assert result.steps["each"].traces == [{"name": "item_failed", "index": 1}]


async def test_map_stops_at_a_failed_item_and_names_the_step_inside() -> None:
    result = await run(
        mapping(), {"numbers": [1, 2, 3], "by": 0}, FakeExecutor(otherwise=fails_on_two)
    )
    assert result.status is RunStatus.FAILED
    assert result.failed_step == "each[1]/add"
    assert result.steps["each"].status is StepStatus.FAILED


async def test_map_refuses_what_is_not_a_list() -> None:
    result = await run(mapping(), {"numbers": 5, "by": 0})
    assert result.failure is not None and "it got int" in result.failure.message


async def test_maps_nest() -> None:
    inside = [
        Node(id="row-in", kind="input", parent="rows", config=fields("item")),
        node("cells", "map", parent="rows"),
        Node(id="row-out", kind="output", parent="rows", config=fields("row")),
        Node(id="cell-in", kind="input", parent="cells", config=fields("item")),
        node("add", parent="cells"),
        Node(id="cell-out", kind="output", parent="cells", config=fields("cell")),
    ]
    graph = Graph.of(
        [interface("input", "table"), node("rows", "map"), *inside, interface("output", "table")],
        edges(
            """
            input.table -> rows.items
            row-in.item -> cells.items
            cell-in.item -> add.x
            add.y -> cell-out.cell
            cells.cell -> row-out.row
            rows.row -> output.table
            """
        ),
    )
    result = await run(graph, {"table": [[1, 2], [3]]})
    assert result["table"] == [[2, 3], [4]]
    assert "rows[1]/cells[0]/add" in result.steps


async def test_merge_with_nothing_connected_is_skipped() -> None:
    for strategy in ("first", "list", "dict", "vote"):
        merge = node("m", "merge", inputs=["a"], strategy=strategy)
        graph = Graph.of([merge, interface("output", "z")], edges("m.value -> output.z"))
        result = await run(graph, {})
        assert result.steps["m"].status is StepStatus.SKIPPED


async def test_a_map_tells_which_items_it_was_given() -> None:
    result = await run(mapping(), {"numbers": [1], "by": 2}, FakeExecutor(otherwise=add_slowly))
    assert result.steps["each"].inputs == {"items": [1], "by": 2}


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object(), b"\xff"])
async def test_an_input_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="can't be written as JSON"):
        check_inputs(plan(chain()), {"x": value})


@pytest.mark.parametrize("inputs", [None, ["x"], "x", {1: 2}])
async def test_inputs_are_a_mapping_of_names(inputs: Any) -> None:
    with pytest.raises(InvalidInput, match="a mapping of names to values"):
        check_inputs(plan(chain()), inputs)


async def test_a_condition_does_not_carry_its_verdict_for_a_dead_value() -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("made", policy={"on_error": "continue"}),
            node("choose", "condition", expression="x > 0"),
            Node(id="output", kind="output", config={"fields": [{"name": "z", "required": False}]}),
        ],
        edges(
            """
            input.x -> made.x
            input.x -> choose.x
            made.y -> choose.value
            choose.then -> output.z
            """
        ),
    )
    result = await run(graph, {"x": 1}, FakeExecutor(otherwise=fails))
    assert result.steps["choose"].status is StepStatus.SKIPPED
    assert result["z"] is None
