"""reduce, loop and pinned pipelines: containers beside map."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph.graph import Graph, GraphError, Node
from pipelines.graph.kinds.sub_pipeline import pinned
from pipelines.graph.validate import validate
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from tests.fast.test_engine import fails, run
from tests.graphs import chain, edges, fields, interface, node


def around(container: Node, takes: str, gives: str, body: str, *joins: str) -> Graph:
    """A container with a body of one step, which takes and gives what `body` says; what it makes is
    called `new_…`, since no signature has a name on both sides."""
    made = ", ".join(f"new_{name}" for name in _given(body))
    return Graph.of(
        [
            Node(id="input", kind="input", config=fields(*takes.split())),
            container,
            Node(id="in", kind="input", parent="each", config=fields(*_taken(body))),
            node("work", parent="each", signature=f"{', '.join(_taken(body))} -> {made}"),
            Node(id="out", kind="output", parent="each", config=fields(*_given(body))),
            Node(id="output", kind="output", config=fields(*gives.split())),
        ],
        edges(
            "\n".join(
                [
                    *joins,
                    *(f"in.{name} -> work.{name}" for name in _taken(body)),
                    *(f"work.new_{name} -> out.{name}" for name in _given(body)),
                ]
            )
        ),
    )


def _taken(body: str) -> list[str]:
    return [name.strip() for name in body.partition("->")[0].split(",")]


def _given(body: str) -> list[str]:
    return [name.strip() for name in body.partition("->")[2].split(",")]


def reducing(**config: Any) -> Graph:
    return around(
        node("each", "reduce", **config),
        "items total",
        "total",
        "total, item -> total",
        "input.items -> each.items",
        "input.total -> each.total",
        "each.total -> output.total",
    )


def looping(until: str = "n >= 3", **config: Any) -> Graph:
    return around(
        node("each", "loop", until=until, **config),
        "n",
        "n rounds",
        "n -> n",
        "input.n -> each.n",
        "each.n -> output.n",
        "each.rounds -> output.rounds",
    )


def joins(call: Call) -> dict[str, Any]:
    return {"new_total": f"({call.inputs['total']}{call.inputs['item']})"}


def counts(call: Call) -> dict[str, Any]:
    return {"new_n": call.inputs["n"] + 1}


async def test_reduce_goes_through_the_list_in_order() -> None:
    result = await run(
        reducing(), {"items": list("abc"), "total": "-"}, FakeExecutor(otherwise=joins)
    )
    assert result["total"] == "(((-a)b)c)"
    assert [path for path in result.steps if "/" in path] == [f"each[{n}]/work" for n in range(3)]


async def test_reduce_of_nothing_gives_what_it_began_with() -> None:
    result = await run(reducing(), {"items": [], "total": "-"}, FakeExecutor(otherwise=joins))
    assert result["total"] == "-"


async def test_pairs_keep_the_order_however_late_a_pair_ends() -> None:
    async def joins_late(call: Call) -> dict[str, Any]:
        await asyncio.sleep(0.002 if call.path == "each[0]/work" else 0)
        return joins(call)

    given = {"items": list("bcde"), "total": "a"}
    result = await run(reducing(order="pairs"), given, FakeExecutor(otherwise=joins_late))
    assert result["total"] == "(((ab)(cd))e)"


async def test_pairs_are_joined_several_at_once_up_to_the_limit() -> None:
    working, most = 0, 0

    async def watched(call: Call) -> dict[str, Any]:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0.001)
        working -= 1
        return joins(call)

    given = {"items": list("abcdefghi"), "total": ""}
    await run(reducing(order="pairs", concurrency=2), given, FakeExecutor(otherwise=watched))
    assert most == 2


async def test_pairs_of_an_empty_list_say_what_to_join() -> None:
    graph = reducing(order="pairs")
    joined = tuple(edge for edge in graph.edges if str(edge) != "input.total → each.total")
    result = await run(replace(graph, edges=joined), {"items": [], "total": ""})
    assert result.failure is not None and "Join a value to that port" in result.failure.message


async def test_reduce_asks_for_a_list() -> None:
    result = await run(reducing(), {"items": "abc", "total": ""})
    assert result.failure is not None and result.failure.code == "invalid_input"
    assert "it got str" in result.failure.message


async def test_a_loop_ends_when_its_expression_is_true() -> None:
    result = await run(looping(), {"n": 0}, FakeExecutor(otherwise=counts))
    assert result.outputs == {"n": 3, "rounds": 3}
    assert [path for path in result.steps if "/" in path] == [f"each[{n}]/work" for n in range(3)]


async def test_a_loop_takes_the_last_round_when_it_has_no_more() -> None:
    graph = looping("n > 99", max_rounds=2)
    result = await run(graph, {"n": 0}, FakeExecutor(otherwise=counts))
    assert result.outputs == {"n": 2, "rounds": 2}
    assert result.steps["each"].traces == [{"name": "loop_limit", "rounds": 2}]


async def test_a_loop_may_fail_at_its_limit() -> None:
    graph = looping("n > 99", max_rounds=2, on_limit="stop")
    result = await run(graph, {"n": 0}, FakeExecutor(otherwise=counts))
    assert result.failure is not None and result.failure.code == "loop_limit"


async def test_a_loop_reads_the_number_of_its_round() -> None:
    result = await run(looping("round == 2"), {"n": 0}, FakeExecutor(otherwise=counts))
    assert result["rounds"] == 2


async def test_an_end_that_can_not_be_told_fails_the_loop() -> None:
    result = await run(looping("n.a.b > 1"), {"n": 0}, FakeExecutor(otherwise=counts))
    assert result.failure is not None and result.failure.code == "invalid_config"
    assert "'n.a.b > 1' failed" in result.failure.message


async def test_a_failure_in_a_round_names_its_step() -> None:
    result = await run(looping(), {"n": 0}, FakeExecutor(otherwise=fails))
    assert (result.failed_step, result.status) == ("each[0]/work", RunStatus.FAILED)
    assert result.steps["each"].status is StepStatus.FAILED


async def test_what_an_earlier_runner_finished_in_a_loop_is_not_run_again() -> None:
    executor = FakeExecutor(otherwise=counts)
    recorded = {"each[0]/work": {"new_n": 1}, "each[1]/work": {"new_n": 2}}
    result = await run(looping(), {"n": 0}, executor, recorded=recorded)
    assert result.outputs == {"n": 3, "rounds": 3}
    assert [call.path for call in executor.calls] == ["each[2]/work"]


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (reducing(item="nothing"), "its body takes no 'nothing'"),
        (looping("m > 1"), "its end is told by 'm'"),
        (
            around(
                node("each", "reduce"), "items", "sum", "item -> sum", "input.items -> each.items",
                "each.sum -> output.sum",
            ),
            "gives 'sum' but does not take it",
        ),
        (
            around(
                node("each", "loop", until="round > 1"), "round", "rounds", "round -> round",
                "input.round -> each.round", "each.rounds -> output.rounds",
            ),
            "Give that field of its body another name",
        ),
        (
            around(
                node("each", "reduce", order="pairs"), "items", "a b", "a, b, item -> a, b",
                "input.items -> each.items", "each.a -> output.a", "each.b -> output.b",
            ),
            "pairs are joined to one value",
        ),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_a_problem(graph: Graph, words: str) -> None:
    [problem] = [problem for problem in validate(graph) if problem.code == "bad_body"]
    assert words in problem.message


# Pinned pipelines


def pinning(inner: Graph, **more: Graph) -> Graph:
    graph = Graph.of(
        [
            interface("input", "x"),
            Node(id="sub", kind="pipeline", config=pinned("v1", inner)),
            interface("output", "y"),
        ],
        edges("input.x -> sub.x\nsub.y -> output.y"),
    )
    return replace(graph, pipelines={"v1": inner, **more})


async def test_a_pinned_pipeline_runs_as_one_step() -> None:
    result = await run(pinning(chain(2)), {"x": 1})
    assert result["y"] == 3
    assert list(result.steps) == ["sub", "sub/s0", "sub/s1"]


async def test_pinned_pipelines_lie_in_each_other() -> None:
    inner = replace(pinning(chain(1)), pipelines={})
    graph = pinning(inner)
    outer = Graph.of(
        [
            interface("input", "x"),
            Node(id="sub", kind="pipeline", config=pinned("v2", graph)),
            interface("output", "y"),
        ],
        graph.edges,
    )
    result = await run(replace(outer, pipelines={"v2": inner, "v1": chain(1)}), {"x": 1})
    assert list(result.steps) == ["sub", "sub/sub", "sub/sub/s0"]


def test_a_pipeline_that_leads_to_itself_is_refused() -> None:
    graph = pinning(chain(1))
    with pytest.raises(GraphError, match="leads to itself"):
        plan(replace(graph, pipelines={"v1": replace(graph, pipelines={})}))


def test_a_version_that_is_not_at_hand_is_named() -> None:
    with pytest.raises(GraphError, match="'v1', which is not at hand"):
        plan(replace(pinning(chain(1)), pipelines={}))


def test_problems_of_a_pinned_pipeline_are_told_at_its_node() -> None:
    broken = replace(chain(1), edges=chain(1).edges[:1])
    problems = validate(pinning(broken))
    assert [(problem.code, problem.node) for problem in problems] == [("bad_pipeline", "sub")]
    assert "'output.y' is not connected" in problems[0].message


def test_another_interface_than_the_pinned_one_is_a_problem() -> None:
    other = Graph.of(
        [interface("input", "x"), node("s"), interface("output", "y", "z")],
        edges("input.x -> s.x\ns.y -> output.y\ns.y -> output.z"),
    )
    problems = validate(replace(pinning(chain(1)), pipelines={"v1": other}))
    assert [(problem.code, problem.field) for problem in problems] == [
        ("other_interface", "outputs")
    ]


async def test_a_failure_within_a_pinned_pipeline_obeys_the_policy_of_its_node() -> None:
    graph = pinning(chain(1))
    sub = replace(graph.node("sub"), policy={"on_error": "fallback_value", "fallback": {"y": 7}})
    result = await run(graph.with_node(sub), {"x": 1}, FakeExecutor(otherwise=fails))
    assert (result["y"], result.status) == (7, RunStatus.SUCCEEDED)
    assert result.errors[0]["step"] == "sub"


@pytest.mark.parametrize(
    ("graph", "inputs", "times"),
    [
        (reducing(), {"items": list("abc"), "total": "-"}, 3),
        (reducing(order="pairs"), {"items": list("abc"), "total": "-"}, 3),
        (reducing(order="pairs"), {"items": [], "total": "-"}, 0),
        (looping("n >= 7", max_rounds=7), {"n": 0}, 7),
    ],
)
async def test_a_container_tells_beforehand_how_often_its_body_runs(
    graph: Graph, inputs: dict[str, Any], times: int
) -> None:
    journal = MemoryJournal()
    execution = Execution(
        plan(graph),
        run_id="r",
        executors=[FakeExecutor(otherwise=counts if "n" in inputs else joins)],
        journal=journal,
        on_chunk=lambda chunk: None,
    )
    await execution.run(inputs)
    began = [e for e in journal.events if e.type is EventType.STEP_STARTED]
    assert began[0].data | {"times": times, "steps": 1} == began[0].data
    assert len(began) == 1 + times
    assert all("times" not in each.data for each in began[1:])


async def test_cancelling_ends_what_runs_inside() -> None:
    from runner.engine.execute import Execution

    journal = MemoryJournal()
    forever = FakeExecutor(otherwise=lambda call: asyncio.sleep(60))
    execution = Execution(
        plan(pinning(chain(1))), run_id="r", executors=[forever], journal=journal,
        on_chunk=lambda chunk: None,
    )  # fmt: skip
    task = asyncio.create_task(execution.run({"x": 1}))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled = [event.step for event in journal.events if event.type is EventType.STEP_CANCELLED]
    assert cancelled == ["sub/s0", "sub"]
