import pytest

from pipelines.graph.graph import Graph
from runner.engine.events import Event, EventType, RunStatus
from runner.engine.journal import MemoryJournal
from runner.engine.results import RunResult, fold
from runner.host import Host
from tests.graphs import edges, interface, node


def test_a_run_without_events_is_none() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        fold([])


def test_outputs_read_like_a_mapping_and_a_missing_one_names_those_there_are() -> None:
    result = RunResult(run_id="r", outputs={"text": "hi"})
    assert (result["text"], list(result), "text" in result) == ("hi", ["text"], True)
    with pytest.raises(KeyError, match="Outputs: text"):
        result["txt"]


def test_a_run_that_has_only_begun_is_running() -> None:
    event = Event(run_id="r", seq=1, type=EventType.RUN_STARTED, at=0, data={"inputs": {"x": 1}})
    result = fold([event])
    assert (result.status, result.inputs) == (RunStatus.RUNNING, {"x": 1})


def test_failed_attempts_are_counted() -> None:
    def event(type_: EventType, **data: object) -> Event:
        return Event(run_id="r", seq=1, type=type_, at=0, step="s", data=data)

    result = fold(
        [
            event(EventType.STEP_STARTED, kind="predict", inputs={}),
            event(EventType.ATTEMPT_FAILED, failure=None, wait=0),
            event(EventType.STEP_SUCCEEDED, outputs={"y": 1}, seconds=1.0, usage=None),
        ]
    )
    assert (result.steps["s"].attempts, result.steps["s"].outputs) == (2, {"y": 1})


async def test_a_run_with_a_journal_of_its_own_keeps_no_steps_beside_it() -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("say", "template", template="Hello {{ x }}"),
            interface("output", "y"),
        ],
        edges("input.x -> say.x\nsay.text -> output.y"),
    )
    journal = MemoryJournal()
    async with Host() as host:
        whole = await host.run(graph, {"x": "you"})
        ended = await host.run(graph, {"x": "you"}, journal=journal)
    assert (whole.outputs, list(whole.steps)) == ({"y": "Hello you"}, ["say"])
    assert (ended.outputs, ended.status, ended.steps) == (whole.outputs, whole.status, {})
    assert fold(journal.events).steps["say"].outputs == {"text": "Hello you"}
