"""Running a part of a pipeline: what runs, and what takes recorded outputs."""

from typing import Any

import pytest

from pipelines.graph.graph import Graph
from runner.engine.errors import InvalidInput
from runner.engine.events import RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.identity import Identities
from runner.engine.journal import MemoryJournal
from runner.engine.partial import PartialRun, check_partial, concerned, partial_plan, taking
from runner.engine.plan import plan
from runner.engine.results import RunResult, fold
from runner.engine.step_store import MemoryStepStore
from tests.graphs import chain, edges, interface, node
from tests.runner_world import facts


class Bench:
    """Runs graphs one after the other, and keeps what they recorded."""

    def __init__(self) -> None:
        self.store = MemoryStepStore()
        self.count = 0
        self.ran: list[str] = []
        self.work: dict[str, Any] = {}

    def _do(self, call: Call) -> dict[str, Any]:
        self.ran.append(call.path)
        if call.node.id in self.work:
            answer: dict[str, Any] = self.work[call.node.id](call)
            return answer
        return {"y": f"{call.inputs['x']}+"}

    async def run(self, graph: Graph, inputs: Any = None, **wish: Any) -> RunResult:
        self.count += 1
        self.ran = []
        inputs = {"x": "a"} if inputs is None else inputs
        part = PartialRun(**wish) if wish else None
        journal = MemoryJournal()
        execution = Execution(
            partial_plan(graph, part, inputs) if part else plan(graph),
            run_id=f"r{self.count}",
            executors=[FakeExecutor(otherwise=self._do)],
            journal=journal,
            on_chunk=lambda chunk: None,
            taking=taking(graph, part, self.store) if part else None,
            identities=Identities(facts()),
        )
        await execution.run(inputs)
        for event in journal.events:
            self.store.take(event)
        return fold(journal.events)


def origins(result: RunResult) -> dict[str, str]:
    return {path: step.taken_from for path, step in result.steps.items() if step.taken_from}


async def test_from_here_takes_what_lies_before_and_runs_the_rest() -> None:
    bench = Bench()
    await bench.run(chain(4))
    result = await bench.run(chain(4), mode="from", node="s2")
    assert bench.ran == ["s2", "s3"]
    assert origins(result) == {"s0": "r1", "s1": "r1"}
    assert (result.status, result["y"]) == (RunStatus.SUCCEEDED, "a++++")
    assert result.steps["s0"].outputs == {"y": "a+"}


async def test_a_plain_run_takes_nothing() -> None:
    bench = Bench()
    await bench.run(chain(2))
    await bench.run(chain(2))
    assert bench.ran == ["s0", "s1"]


async def test_what_was_taken_may_be_taken_again_and_names_where_it_ran() -> None:
    bench = Bench()
    await bench.run(chain(3))
    await bench.run(chain(3), mode="from", node="s2")
    assert origins(await bench.run(chain(3), mode="from", node="s2")) == {"s0": "r1", "s1": "r1"}


async def test_an_edited_step_runs_with_all_that_follows_from_it() -> None:
    bench = Bench()
    await bench.run(chain(4))
    edited = chain(4).with_node(node("s1", temperature=0.1))
    bench.work["s1"] = lambda call: {"y": "edited"}
    result = await bench.run(edited, mode="from", node="s3")
    assert bench.ran == ["s1", "s2", "s3"]
    assert origins(result) == {"s0": "r1"}
    assert result["y"] == "edited++"


async def test_an_edited_step_that_gives_the_same_costs_no_more_than_itself() -> None:
    bench = Bench()
    await bench.run(chain(4))
    edited = chain(4).with_node(node("s1", temperature=0.1))
    await bench.run(edited, mode="from", node="s3")
    assert bench.ran == ["s1", "s3"]  # the inputs of s2 are what they were


async def test_other_inputs_run_everything_anew() -> None:
    bench = Bench()
    await bench.run(chain(3))
    await bench.run(chain(3), {"x": "b"}, mode="from", node="s2")
    assert bench.ran == ["s0", "s1", "s2"]


async def test_to_here_runs_what_is_needed_and_gives_its_outputs() -> None:
    bench = Bench()
    result = await bench.run(chain(4), mode="to", node="s1")
    assert bench.ran == ["s0", "s1"]
    assert (result.status, result.outputs) == (RunStatus.SUCCEEDED, {"y": "a++"})
    again = await bench.run(chain(4), mode="to", node="s2")
    assert (bench.ran, again.outputs) == (["s2"], {"y": "a+++"})


async def test_only_one_step_runs_with_what_it_is_given() -> None:
    bench = Bench()
    await bench.run(chain(3))
    result = await bench.run(chain(3), {"x": "typed"}, mode="only", node="s1")
    assert bench.ran == ["s1"]
    assert result.outputs == {"y": "typed+"}
    assert list(result.steps) == ["s1"]


async def test_a_base_run_is_all_that_is_looked_at() -> None:
    bench = Bench()
    await bench.run(chain(2))
    await bench.run(chain(2))
    result = await bench.run(chain(2), mode="from", node="s1", base="r1")
    assert origins(result) == {"s0": "r1"}
    result = await bench.run(chain(2), mode="from", node="s1", base="r9")
    assert bench.ran == ["s0", "s1"]


async def test_a_pinned_output_stands_for_the_nodes_own() -> None:
    bench = Bench()
    pins = {"s1": {"y": "pinned"}}
    result = await bench.run(chain(4), mode="from", node="s3", pins=pins)
    assert bench.ran == ["s2", "s3"]  # what feeds a pinned node alone is not run
    assert origins(result) == {"s1": "pinned"}
    assert result["y"] == "pinned++"
    await bench.run(chain(4), mode="from", node="s1", pins=pins)
    assert bench.ran[0] == "s0" and "s1" in bench.ran  # who asks for it wants it to run


async def test_all_runs_every_step_but_the_pinned_and_what_only_feeds_them() -> None:
    bench = Bench()
    aside = [node("aside")]
    graph = Graph.of(
        [*chain(3).nodes.values(), *aside], [*chain(3).edges, *edges("s0.y -> aside.x")]
    )
    await bench.run(graph)
    result = await bench.run(graph, {}, mode="all", pins={"s0": {"y": "p"}, "s1": {"y": "pinned"}})
    assert bench.ran == ["aside", "s2"]  # nothing that was recorded is taken, no input is asked for
    assert origins(result) == {"s0": "pinned", "s1": "pinned"}
    assert result["y"] == "pinned+"
    alone = await bench.run(chain(3), {}, mode="all", pins={"s1": {"y": "pinned"}})
    assert (bench.ran, set(alone.steps)) == (["s2"], {"s1", "s2"})
    with pytest.raises(InvalidInput, match="no node to name"):
        check_partial(graph, PartialRun(mode="all", node="s1"))


async def test_a_failed_step_is_never_taken() -> None:
    def fails(call: Call) -> dict[str, Any]:
        raise RuntimeError("broken")

    bench = Bench()
    bench.work["s0"] = fails
    await bench.run(chain(2, policy={"on_error": "fallback_value", "fallback": {"y": "instead"}}))
    del bench.work["s0"]
    graph = chain(2, policy={"on_error": "fallback_value", "fallback": {"y": "instead"}})
    await bench.run(graph, mode="from", node="s1")
    assert bench.ran == ["s0", "s1"]


def mapped(**parts: Any) -> Graph:
    return Graph.of(
        [
            interface("input", "items"),
            node("each", "map"),
            interface("input", "x", node_id="in", parent="each"),
            node("work", parent="each", **parts),
            interface("output", "y", node_id="out", parent="each"),
            node("after", signature="x -> y"),
            interface("output", "y"),
        ],
        edges(
            "input.items -> each.items\nin.x -> work.x\nwork.y -> out.y\n"
            "each.y -> after.x\nafter.y -> output.y"
        ),
    ).with_node(node("each", "map", item="x"))


async def test_a_container_is_taken_as_a_whole() -> None:
    bench = Bench()
    items = {"items": ["a", "b"]}
    await bench.run(mapped(), items)
    result = await bench.run(mapped(), items, mode="from", node="after")
    assert bench.ran == ["after"]
    assert origins(result) == {"each": "r1"}


async def test_of_a_container_that_has_changed_its_unchanged_steps_are_taken() -> None:
    bench = Bench()
    await bench.run(mapped(), {"items": ["a", "b"]})
    result = await bench.run(mapped(), {"items": ["a", "c"]}, mode="from", node="after")
    assert bench.ran == ["each[1]/work", "after"]
    assert origins(result) == {"each[0]/work": "r1"}
    await bench.run(mapped(), {"items": ["a", "c"]}, mode="from", node="each")
    assert bench.ran == ["each[0]/work", "each[1]/work", "after"]


async def test_a_container_runs_alone() -> None:
    bench = Bench()
    result = await bench.run(mapped(), {"items": ["a", "b"]}, mode="only", node="each")
    assert result.outputs == {"y": ["a+", "b+"]}
    assert set(result.steps) == {"each", "each[0]/work", "each[1]/work"}


async def test_a_merge_runs_alone_with_what_it_is_given() -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("a"),
            node("b"),
            node("joined", "merge", inputs=["a.y", "b.y"], strategy="dict"),
            interface("output", "y"),
        ],
        edges(
            "input.x -> a.x\ninput.x -> b.x\na.y -> joined.a.y\nb.y -> joined.b.y\n"
            "joined.value -> output.y"
        ),
    )
    bench = Bench()
    result = await bench.run(graph, {"b.y": 2}, mode="only", node="joined")
    assert result.outputs == {"value": {"b": {"y": 2}}}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "no node 'nothing'"),
        ("work", "Run from, to or only 'each'"),
        ("input", "is the pipeline's input"),
        ("output", "is the pipeline's output"),
    ],
)
def test_what_can_not_be_run_by_itself_is_said(name: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        check_partial(mapped(), PartialRun(mode="only", node=name))


def test_only_what_takes_part_is_concerned() -> None:
    def of(mode: Any, **more: Any) -> set[str]:
        return set(concerned(mapped(), PartialRun(mode=mode, node="each", **more)))

    body = {"each", "in", "work", "out"}
    assert of("only") == body
    assert of("to") == {*body, "input"}
    assert of("from") == {*body, "input", "after", "output"}


async def test_inputs_that_nobody_reads_need_not_be_given() -> None:
    graph = Graph.of(
        [
            interface("input", "x", "z"),
            node("s0"),
            node("s1", signature="y, z -> w"),
            interface("output", "w"),
        ],
        edges("input.x -> s0.x\ns0.y -> s1.y\ninput.z -> s1.z\ns1.w -> output.w"),
    )
    bench = Bench()
    assert (await bench.run(graph, {"x": "a"}, mode="to", node="s0")).outputs == {"y": "a+"}


async def test_the_steps_taken_are_steps_that_succeeded_at_no_cost() -> None:
    bench = Bench()
    await bench.run(chain(2))
    result = await bench.run(chain(2), mode="from", node="s1")
    step = result.steps["s0"]
    assert (step.status, step.seconds, step.usage) == (StepStatus.SUCCEEDED, 0.0, None)
    assert step.inputs == {"x": "a"}


async def test_a_container_that_lacks_what_failed_in_it_is_never_taken() -> None:
    def fails(call: Call) -> dict[str, Any]:
        if call.inputs["x"] == "b" and broken:
            raise RuntimeError("broken")
        return {"y": "ok"}

    broken, bench, items = [True], Bench(), {"items": ["a", "b"]}
    graph = mapped().with_node(node("each", "map", item="x", on_item_error="continue"))
    bench.work["work"] = fails
    assert (await bench.run(graph, items)).steps["each"].outputs == {"y": ["ok", None]}
    broken.clear()
    result = await bench.run(graph, items, mode="from", node="after")
    assert bench.ran == ["each[1]/work", "after"]
    assert result.steps["each"].outputs == {"y": ["ok", "ok"]}
