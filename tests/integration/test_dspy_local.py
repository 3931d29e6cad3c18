"""DSPy's modules on the real local model: it answers as it likes, so only the shape is looked at."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from pipelines.graph.graph import Graph
from runner.bridge.pool import PoolSettings
from runner.engine.events import Chunk, RunStatus
from runner.host import Host, HostSettings
from tests.graphs import edges, interface, node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with Host(HostSettings(pools=(PoolSettings(size=1, spares=0),))) as host:
        yield host


def asking(module: str, **config: Any) -> Graph:
    config = {"signature": "question -> answer", "max_tokens": 120, "module": module, **config}
    return Graph.of(
        [
            interface("input", "question"),
            node("n", "dspy_module", **config),
            interface("output", "a"),
        ],
        edges("input.question -> n.question\nn.answer -> output.a"),
    )


@pytest.mark.parametrize(
    ("module", "config", "predictors"),
    [
        ("Predict", {}, {"self"}),
        ("ChainOfThought", {}, {"predict"}),
        (
            "BestOfN",
            {
                "inner": "Predict",
                "options": {"N": 2, "threshold": 2.0},
                "reward": "answer|length > 0",
            },
            {"module"},
        ),
        ("ReAct", {"tools": ["search"], "options": {"max_iters": 1}}, {"react", "extract.predict"}),
    ],
)
async def test_a_module_answers_streams_and_names_its_predictors(
    host: Host, module: str, config: dict[str, Any], predictors: set[str]
) -> None:
    chunks: list[Chunk] = []
    graph = asking(module, **config)
    result = await host.run(graph, {"question": "What is DSPy?"}, on_chunk=chunks.append)
    assert result.status is RunStatus.SUCCEEDED, result.failure
    assert isinstance(result["a"], str)
    asked = {call["predictor"] for call in result.steps["n"].lm_calls}
    assert asked and asked <= predictors
    assert "answer" in {chunk.field for chunk in chunks}
    assert {chunk.predictor for chunk in chunks} <= predictors
