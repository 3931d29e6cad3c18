"""A run's lanes and its small graph: what stands where."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pipelines.graph.graph import Edge, Graph, Node
from runner.engine.events import EventType, StepStatus
from runner.models import Attempt, Event, Run, Step
from runner.views.outline import outline
from runner.views.strip import strip_of
from runner.views.timeline import USED, Lane, critical_path, timeline_of
from tests.run_rows import a_step, an_event, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def lanes_of(run: Run) -> dict[str, Lane]:
    """The lanes of the top level, by path."""
    return {lane.path: lane for lane in timeline_of(run).lanes}


def test_bars_stand_where_steps_stood(world: World) -> None:
    run = ended(world)
    assert run.started_at
    a_step(run, started_at=run.started_at + timedelta(seconds=1), finished_at=run.finished_at)
    bar = lanes_of(run)["s0"].bar
    assert bar
    assert (bar.x, bar.width) == (USED / 2, USED / 2)


def test_lanes_are_in_the_order_of_the_graph_with_input_and_output(world: World) -> None:
    run = ended(world, outputs={"y": "The answer"})
    assert run.started_at
    for path, after in (("s2", 0), ("s0", 1), ("s1", 2)):
        a_step(run, path, started_at=run.started_at + timedelta(seconds=after))
    assert list(lanes_of(run)) == ["input", "s0", "s1", "s2", "output"]
    assert lanes_of(run)["output"].figures == "10 characters"


def test_a_retried_step_shows_its_attempts_and_waits(world: World) -> None:
    run = ended(world)
    begin = run.started_at
    assert begin
    a_step(run, attempt_count=2)
    tries = [("failed", 0.25, "No fields"), ("succeeded", None, "")]
    for number, (status, wait, message) in enumerate(tries, start=1):
        Attempt.objects.create(
            **{"run": run, "step": "s0", "epoch": 1, "number": number, "status": status},
            **{"started_at": begin, "finished_at": begin, "wait": wait},
            failure_message=message,
        )
    subs = lanes_of(run)["s0"].subs
    assert [(sub.name, sub.bar.label) for sub in subs] == [
        ("Attempt 1", "No fields"),
        ("Wait", "0.25 s"),
        ("Attempt 2", ""),
    ]


def a_call(run: Run, seq: int, source: str = "provider", step: str = "s0") -> Event:
    usage = {"input_tokens": 7, "output_tokens": 2, "cost": 0.001}
    data = {"call": seq, "model": "small", "source": source, "usage": usage, "seconds": 0.5}
    return an_event(run, seq, EventType.LM_CALL, step, first_token_s=0.1, **data)


def test_lm_calls_have_lanes_of_their_own(world: World) -> None:
    run = ended(world)
    a_step(run, lm_calls=1)
    a_call(run, 1)
    (call,) = lanes_of(run)["s0"].subs
    assert (call.name, call.bar.label) == ("LM call · small", "9 tok, first at 0.10 s")


@pytest.mark.parametrize(
    ("sources", "glyph"),
    [(["response_cache"] * 2, "cached"), (["response_cache", "provider"], "ok")],
)
def test_a_step_of_stored_answers_alone_is_from_the_cache(
    world: World, sources: list[str], glyph: str
) -> None:
    run = ended(world)
    a_step(run, lm_calls=2)
    for seq, source in enumerate(sources, start=1):
        a_call(run, seq, source)
    assert lanes_of(run)["s0"].glyph == glyph


def test_items_of_a_map_are_held_by_its_lane(world: World) -> None:
    run = ended(world)
    a_step(run, "s0")
    for item in (10, 2):
        a_step(run, f"s0[{item}]/s1", attempt_count=1)
        a_step(run, f"s0[{item}]/s2", attempt_count=1, status=StepStatus.FAILED)
    lane = lanes_of(run)["s0"]
    assert (lane.group, lane.holds) == ("s0", "2 items")
    assert [(item.title, item.glyph) for item in lane.lanes] == [
        ("Item 3", "failed"),
        ("Item 11", "failed"),
    ]
    assert [inner.title for inner in lane.lanes[0].lanes] == ["Predict 3", "Predict 3"]


def test_the_critical_path_leads_back_over_what_was_waited_for_longest() -> None:
    graph = Graph.of(
        [Node(id=name, kind="template") for name in ("slow", "quick", "join")],
        [
            Edge(source=name, source_port="text", target="join", target_port=name)
            for name in ("slow", "quick")
        ],
    )
    begin = timezone.now()

    def step(path: str, end: int) -> Step:
        return Step(path=path, started_at=begin, finished_at=begin + timedelta(seconds=end))

    steps = [step("slow", 5), step("quick", 1), step("join", 6)]
    assert critical_path(outline(graph), steps) == {"slow", "join"}


def test_the_strip_has_the_nodes_from_left_to_right(world: World) -> None:
    run = ended(world)
    a_step(run, attempt_count=3)
    strip = strip_of(run, timeline_of(run))
    assert [node.path for node in strip.nodes] == ["input", "s0", "s1", "s2", "output"]
    assert [node.x for node in strip.nodes] == sorted({node.x for node in strip.nodes})
    assert strip.nodes[1].second == "1.0 s · 3 attempts"
    assert strip.nodes[2].second == "Not reached"
    assert sorted(edge.state for edge in strip.edges) == ["", "", "", "done"]


def test_a_maps_lane_tells_how_far_it_is(world: World) -> None:
    run = ended(world, status="running", finished_at=None)
    Step.objects.create(run=run, path="s0", kind="map", status="running", first_seq=1, last_seq=9)
    for index, status in enumerate(("succeeded", "failed", "running")):
        a_step(run, f"s0[{index}]/ask", status=status)
    an_event(run, 1, EventType.STEP_STARTED, "s0", kind="map", inputs={}, times=4, steps=1)
    an_event(run, 9, EventType.TRACE, "s0", name="item_failed", index=1)
    progress = lanes_of(run)["s0"].progress
    assert progress
    assert progress.text == "2 of 4, 1 failed"
