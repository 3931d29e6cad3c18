"""Containers and pinned pipelines in the list form."""

from typing import Any

import pytest

import dspex
from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.sequence import Step
from pipelines.graph.validate import validate
from runner.engine.events import RunStatus
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from tests.fast.test_engine import run
from tests.graphs import chain


def ask(signature: str, **options: Any) -> Step:
    return dspex.step("predict", signature=signature, **options)


def writes(call: Call) -> dict[str, Any]:
    """Every output says which inputs it was made from."""
    return {
        name: "+".join(str(value) for value in call.inputs.values())
        for name in call.config.parsed().outputs
    }


async def outputs(graph: Graph, inputs: dict[str, Any], work: Any = writes) -> dict[str, Any]:
    result = await run(graph, inputs, FakeExecutor(otherwise=work))
    assert result.status is RunStatus.SUCCEEDED, result.failure
    return result.outputs


async def test_a_map_gives_the_last_steps_fields_as_lists() -> None:
    graph = dspex.pipeline(
        [
            ask("topic -> pages: list[str]"),
            dspex.map([ask("page, topic -> gist"), ask("gist -> note")], over="pages", item="page"),
            ask("note: list[str] -> report"),
        ]
    )

    def work(call: Call) -> dict[str, Any]:
        return {"pages": ["p", "q"]} if call.node.id == "predict" else writes(call)

    assert await outputs(graph, {"topic": "t"}, work) == {"report": "['p+t', 'q+t']"}


async def test_a_reduce_carries_on_what_it_makes_anew() -> None:
    graph = dspex.pipeline(
        [dspex.reduce([ask("total, item -> more", gives={"more": "total"})], over="rows")]
    )
    assert await outputs(graph, {"rows": ["a", "b"], "total": "-"}) == {"total": "-+a+b"}


async def test_a_loop_goes_round_until_its_end_is_told() -> None:
    graph = dspex.pipeline(
        [
            dspex.loop(
                [ask("draft -> score: float"), ask("draft -> better", gives={"better": "draft"})],
                until="score > 1",
                max_rounds=9,
            )
        ]
    )

    def work(call: Call) -> dict[str, Any]:
        given = call.inputs["draft"]
        return (
            {"score": len(given)} if "score" in call.config.signature else {"better": given + "!"}
        )

    assert await outputs(graph, {"draft": "a"}, work) == {"draft": "a!!", "score": 2, "rounds": 2}


async def test_containers_lie_in_each_other() -> None:
    inner = dspex.map([ask("word -> loud")], over="words", item="word", name="inner")
    graph = dspex.pipeline([dspex.map([inner], over="lines", item="words", name="outer")])
    assert await outputs(graph, {"lines": [["a"], ["b", "c"]]}) == {"loud": [["a"], ["b", "c"]]}


async def test_a_container_stands_in_a_parallel_branch() -> None:
    graph = dspex.pipeline(
        [dspex.parallel(each=dspex.map([ask("item -> y")], over="xs"), one=ask("xs: list -> z"))]
    )
    assert (await outputs(graph, {"xs": ["a"]}))["results"]["each"] == {"y": ["a"]}


async def test_a_pipeline_is_a_step_of_another() -> None:
    graph = dspex.pipeline([dspex.sub_pipeline(chain(2), name="sub"), ask("y -> z")])
    result = await run(graph, {"x": "a"}, FakeExecutor(otherwise=writes))
    assert result.outputs == {"z": "a"}
    assert list(result.steps) == ["sub", "sub/s0", "sub/s1", "predict"]


async def test_pinned_pipelines_go_along_at_every_depth() -> None:
    middle = dspex.pipeline([dspex.map([dspex.sub_pipeline(chain(1))], over="xs", item="x")])
    graph = dspex.pipeline([dspex.sub_pipeline(middle)])
    assert len(graph.pipelines) == 2
    assert await outputs(graph, {"xs": ["a", "b"]}) == {"y": ["a", "b"]}


def test_a_body_that_carries_nothing_on_is_a_problem() -> None:
    graph = dspex.pipeline([dspex.reduce([ask("item -> sum")])])
    assert [problem.code for problem in validate(graph)] == ["bad_body"]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: dspex.map([]), "at least one step in its body"),
        (lambda: dspex.step("map"), r"dspex\.map\(\[…\]\)"),
        (lambda: dspex.map([ask("item -> y")], concurency=2), "no option 'concurency'"),
        (lambda: dspex.loop([ask("x -> y")], until="{{ y }}"), "without braces"),
        (lambda: dspex.map([1]), "1 is none"),
        (lambda: dspex.map([ask("item -> y")], name="A b"), "can't be a step's name"),
    ],
)
def test_mistakes_are_named(build: Any, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        dspex.pipeline([build()])
