"""A program that DSPy saved: laid onto a graph, its predictors ask the same on both backends as in DSPy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.dummies import DummyLM

from pipelines.graph.graph import Graph
from pipelines.graph.ops import apply
from pipelines.graph.program import ProgramError, fit, read_program
from runner.host import Host, HostSettings
from runner.lm.types import LMProfile
from tests.graphs import edges, interface, node


class Answering(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gen = dspy.ChainOfThought("question, context: list[str] -> answer")
        self.kw = dspy.Predict("answer -> keywords: list[str], score: float")

    def forward(self, question: str, context: list[str]) -> Any:
        return self.kw(answer=self.gen(question=question, context=context).answer)


def compiled() -> Answering:
    """As an optimizer leaves a program: other instructions and descriptions, demos of both sorts."""
    program = Answering()
    gen, kw = program.gen.predict, program.kw
    kw.signature = kw.signature.with_instructions("Tag it.\n    Be brief.").with_updated_fields(
        "score", desc="How sure, 0 to 1"
    )
    gen.demos = [
        dspy.Example(augmented=True, question="q", context=["c"], reasoning="r", answer="a"),
        dspy.Example(question="only", context=[], answer="this"),
    ]
    kw.demos = [dspy.Example(answer="x", keywords=["a", "b"], score=0.5)]
    return program


def a_graph() -> Graph:
    return Graph.of(
        [
            interface("input", "question", "context"),
            node("gen", "chain_of_thought", signature="question, context: list[str] -> answer"),
            node("kw", signature="answer -> keywords: list[str], score: float"),
            interface("output", "keywords"),
        ],
        edges(
            """
            input.question -> gen.question
            input.context -> gen.context
            gen.answer -> kw.answer
            kw.keywords -> output.keywords
            """
        ),
    )


INPUTS = {"question": "What is « it »?", "context": ["one", "two\nlines"]}
ANSWERS = [
    "[[ ## reasoning ## ]]\nSo.\n\n[[ ## answer ## ]]\nThat.\n\n[[ ## completed ## ]]",
    '[[ ## keywords ## ]]\n["k"]\n\n[[ ## score ## ]]\n0.5\n\n[[ ## completed ## ]]',
]


def asked_by_dspy(path: Path) -> list[Any]:
    """The messages of the loaded program, with DSPy's own mock."""
    program = Answering()
    program.load(str(path))
    lm = DummyLM([{"reasoning": "So.", "answer": "That."}, {"keywords": '["k"]', "score": "0.5"}])
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(), disable_history=False):
        program(**INPUTS)
    return [call["messages"] for call in lm.history]


@pytest.mark.parametrize("backend", ["native", "dspy"])
async def test_it_asks_what_it_asks_in_dspy(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "program.json"
    compiled().save(str(path))
    graph = apply(a_graph(), fit(read_program(path.read_bytes()), a_graph()).operation)
    for name in ("gen", "kw"):
        graph = graph.with_node(replace(graph.node(name), policy={"backend": backend}))
    mock = LMProfile(name="mock", adapter="scripted", settings={"answers": ANSWERS})
    async with Host(HostSettings(profiles={"mock": mock}, default_profile="mock")) as host:
        result = await host.run(graph, INPUTS)
    assert result["keywords"] == ["k"]
    assert {result.steps[name].backend for name in ("gen", "kw")} == {backend}
    asked = [result.steps[name].lm_calls[0]["messages"] for name in ("gen", "kw")]
    assert asked == asked_by_dspy(path)


def test_what_dspy_saves_as_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pkl"
    compiled().save(str(path), save_program=False)
    with pytest.raises(ProgramError, match="a pickle"):
        read_program(path.read_bytes())
