"""The flagship pipeline on the real local model and real DSPy workers, from Python."""

import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from pipelines.examples import example
from pipelines.graph import codec
from pipelines.graph.graph import Graph
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.engine.results import RunResult
from runner.host import Host
from tests.conftest import LeftTheMachine
from tests.fast.test_sequence import flagship

QUESTION = {"query": "explain DSPy"}
CANARY = "sk-canary-a-worker-must-never-see"


class Watch:
    """Hears a run in order, and reads each worker's environment while it lives."""

    def __init__(self) -> None:
        self.heard: list[Event | Chunk] = []
        self.environments: dict[int, str] = {}

    def event(self, event: Event) -> None:
        self.heard.append(event)
        if pid := event.data.get("worker"):
            self.environments[pid] = Path(f"/proc/{pid}/environ").read_text()

    def place(self, type_: EventType, step: str) -> int:
        return next(
            index
            for index, item in enumerate(self.heard)
            if isinstance(item, Event) and item.type is type_ and item.step == step
        )

    def chunks(self, step: str) -> list[int]:
        return [
            index
            for index, item in enumerate(self.heard)
            if isinstance(item, Chunk) and item.step == step
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    os.environ["OPENAI_API_KEY"] = CANARY
    async with Host() as host:
        yield host
    del os.environ["OPENAI_API_KEY"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(host: Host) -> tuple[RunResult, Watch]:
    watch = Watch()
    result = await host.run(flagship(), QUESTION, on_event=watch.event, on_chunk=watch.heard.append)
    return result, watch


def test_outbound_sockets_are_refused_here() -> None:
    with pytest.raises(LeftTheMachine), socket.socket() as outward:
        outward.connect(("192.0.2.1", 80))


@pytest.mark.asyncio(loop_scope="module")
async def test_it_succeeds_and_results_hold_both_branches(run: tuple[RunResult, Watch]) -> None:
    result, _ = run
    assert result.status is RunStatus.SUCCEEDED
    results = result.steps["results"].outputs["value"]
    assert set(results) == {"search", "colbert"}
    assert results["search"]["passages"]
    assert result["text"].startswith("Results: ")


@pytest.mark.asyncio(loop_scope="module")
async def test_late_interaction_orders_the_passages_differently(
    run: tuple[RunResult, Watch],
) -> None:
    results = run[0].steps["results"].outputs["value"]
    words, late = ([row["pid"] for row in results[name]["passages"]] for name in results)
    assert late[: len(words)] != words


@pytest.mark.asyncio(loop_scope="module")
async def test_tokens_arrive_before_their_step_ends(run: tuple[RunResult, Watch]) -> None:
    for step in ("predict", "chain_of_thought"):
        watch = run[1]
        arrived = watch.chunks(step)
        assert len(arrived) > 3
        assert arrived[-1] < watch.place(EventType.STEP_SUCCEEDED, step)


@pytest.mark.asyncio(loop_scope="module")
async def test_dspy_steps_run_in_other_processes_without_keys(run: tuple[RunResult, Watch]) -> None:
    result, watch = run
    assert result.steps["chain_of_thought"].backend == "dspy"
    assert result.steps["colbert"].backend == "dspy"
    assert watch.environments
    assert os.getpid() not in watch.environments
    assert CANARY not in json.dumps(watch.environments)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_routed_step_says_why(run: tuple[RunResult, Watch]) -> None:
    steps = run[0].steps
    assert {step.path for step in steps.values() if step.reason} == set(steps) - {"results"}


@pytest.mark.asyncio(loop_scope="module")
async def test_branches_overlap(run: tuple[RunResult, Watch]) -> None:
    watch = run[1]
    started = [watch.place(EventType.STEP_STARTED, step) for step in ("search", "colbert")]
    ended = [watch.place(EventType.STEP_SUCCEEDED, step) for step in ("search", "colbert")]
    assert max(started) < min(ended)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_killed_in_a_step_does_not_stop_the_run(host: Host) -> None:
    killed: list[int] = []

    def kill_once(chunk: Chunk) -> None:
        if chunk.step == "chain_of_thought" and not killed:
            busy = [
                worker["pid"]
                for worker in host.pools.general.stats()["workers"]
                if worker["state"] == "busy"
            ]
            killed.extend(busy)
            for pid in busy:
                os.kill(pid, signal.SIGKILL)

    result = await host.run(flagship(), {"query": "what is a worker?"}, on_chunk=kill_once)
    assert killed
    assert result.status is RunStatus.SUCCEEDED
    assert result.steps["chain_of_thought"].attempts == 2


def test_the_example_file_is_the_same_pipeline_with_a_template_for_reading() -> None:
    def unworded(graph: Graph) -> str:
        plain = replace(graph.node("template"), config={})
        return codec.content_hash(replace(graph, nodes={**graph.nodes, "template": plain}))

    assert unworded(example("flagship")) == unworded(flagship())


@pytest.mark.asyncio(loop_scope="module")
async def test_the_example_writes_down_what_both_branches_found(host: Host) -> None:
    result = await host.run(example("flagship"), QUESTION)
    results = result.steps["results"].outputs["value"]
    assert set(results) == {"search", "colbert"}
    for branch in results.values():
        assert f"1. {branch['passages'][0]['title']}" in result["text"]
    assert "{" not in result["text"]
    assert len(result["text"]) < 3_000
