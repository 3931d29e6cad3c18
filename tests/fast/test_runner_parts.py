"""Runs of a part, steps that are stopped, and deadlines: from the service to the database and back."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from pipelines.graph import codec
from pipelines.graph.graph import Graph
from pipelines.models import Draft, Pipeline, PipelineVersion
from pipelines.models.errors import InvalidInput as Refused
from pipelines.models.errors import TooLarge
from pipelines.permissions import NotAllowed
from runner.dispatcher import claims
from runner.engine.errors import InvalidInput
from runner.engine.events import RunStatus
from runner.engine.executor import Call
from runner.engine.partial import PartialRun
from runner.models import Event, PinnedOutput, Run, Step
from runner.services import (
    parts,
    pin_output,
    pins_of,
    read_partial,
    start_run,
    step_stopped,
    stop_step,
    unpin_output,
)
from runner.views.repeating import start_again
from tests.graphs import chain, edges, interface, node
from tests.runner_world import FakeHosts, World, db, dispatching, ended

pytest_plugins = ["tests.runner_fixtures"]


def part(mode: Any, node_id: str, **more: Any) -> PartialRun:
    return PartialRun(mode=mode, node=node_id, **more)


def start(world: World, wish: PartialRun | None = None, **options: Any) -> Run:
    options = {"version": world.version(), "inputs": {"x": "a"}, **options}
    return start_run(user=world.person("editor"), part=wish, **options)


async def ran(
    world: World, wish: PartialRun | None = None, **options: Any
) -> tuple[Run, list[str]]:
    """A run that has ended, and the steps that ran in it."""
    hosts = FakeHosts()
    async with dispatching(hosts):
        run = await ended(await db(start, world, wish, **options))
    return run, hosts.steps


def origins(run: Run) -> dict[str, str]:
    rows = Step.objects.filter(run=run).exclude(taken_from="")
    return dict(rows.values_list("path", "taken_from"))


async def test_from_here_takes_what_the_database_has(world: World) -> None:
    first, steps = await ran(world)
    assert steps == ["s0", "s1", "s2"]
    run, steps = await ran(world, part("from", "s2"))
    assert steps == ["s2"]
    assert await db(origins, run) == {"s0": str(first.pk), "s1": str(first.pk)}
    assert (run.status, run.outputs, run.cost, run.lm_calls) == ("succeeded", {"y": "a+++"}, 0.0, 0)
    taken = await db(Step.objects.get, run=run, path="s1")
    assert (taken.status, taken.attempt_count, taken.cost) == ("succeeded", 0, 0.0)


async def test_a_base_run_lends_what_it_took_itself(world: World) -> None:
    first, _ = await ran(world)
    second, _ = await ran(world, part("from", "s2"))
    run, steps = await ran(world, part("from", "s2", base=str(second.pk)))
    assert (steps, await db(origins, run)) == (["s2"], dict.fromkeys(["s0", "s1"], str(first.pk)))


async def test_large_outputs_are_taken_whole(world: World) -> None:
    large = {"x": "a" * 70_000}
    await ran(world, inputs=large)
    run, steps = await ran(world, part("from", "s2"), inputs=large)
    assert steps == ["s2"]
    assert run.outputs == {"y": None}
    (place,) = [place for place in run.artifacts if place.startswith("outputs/")]
    artifact = await db(run.artifact_rows.get, hash=run.artifacts[place])
    assert artifact.value == "a" * 70_000 + "+++"


async def test_another_pipelines_steps_are_not_taken(world: World) -> None:
    await ran(world)

    def other() -> PipelineVersion:
        twin = Pipeline.objects.create(project=world.project, name="Twin", slug="twin")
        return PipelineVersion.objects.create(
            pipeline=twin, content_hash="twin", text=codec.dump(chain(3))
        )

    _, steps = await ran(world, part("from", "s2"), version=await db(other))
    assert steps == ["s0", "s1", "s2"]


async def test_to_here_and_only_this(world: World) -> None:
    run, steps = await ran(world, part("to", "s1"))
    assert (steps, run.outputs) == (["s0", "s1"], {"y": "a++"})
    run, steps = await ran(world, part("only", "s2"), inputs={})
    assert (steps, run.outputs) == (["s2"], {"y": "a+++"})
    assert run.inputs == {"x": "a++"}  # what s1 gave last
    run, steps = await ran(world, part("only", "s2"), edited={"x": "typed"})
    assert run.outputs == {"y": "typed+"}


async def test_the_first_step_alone_takes_the_pipelines_last_inputs(world: World) -> None:
    await ran(world, inputs={"x": "before"})
    run, _ = await ran(world, part("only", "s0"), inputs={})
    assert run.outputs == {"y": "before+"}
    run, _ = await ran(world, part("only", "s0"), inputs={"x": "now"})
    assert run.outputs == {"y": "now+"}


def test_of_a_step_alone_every_missing_input_is_named(world: World) -> None:
    with pytest.raises(Refused, match="'s1' can't run alone: its input 'x' has no value, as 's0'"):
        start(world, part("only", "s1"), inputs={})
    with pytest.raises(Refused, match="'s1' has no input 'z'"):
        start(world, part("only", "s1"), edited={"z": 1})
    pins = {"s0": {"y": "pinned"}}
    assert start(world, part("only", "s1", pins=pins), inputs={}).inputs == {"x": "pinned"}


async def test_only_what_takes_part_must_be_right(world: World) -> None:
    broken = chain(3).with_node(node("s2", signature="no arrow"))
    version = await db(world.version, broken)
    run, _ = await ran(world, part("to", "s1"), version=version)
    assert run.outputs == {"y": "a++"}


def test_a_merge_alone_needs_one_of_its_inputs(world: World) -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("s0"),
            node("joined", "merge", inputs=["s0", "given"]),
            interface("output", "y"),
        ],
        edges(
            "input.x -> s0.x\ns0.y -> joined.s0\ninput.x -> joined.given\njoined.value -> output.y"
        ),
    )
    version = world.version(graph)
    run = start(world, part("only", "joined"), version=version)
    assert run.inputs == {"given": "a"}
    with pytest.raises(Refused, match="can't run alone"):
        start(world, part("only", "joined", base=str(run.pk)), version=version, inputs={})


@pytest.mark.parametrize(
    "raw",
    [
        {"mode": "sideways", "node": "s1"},
        {"mode": "from"},
        {"mode": "all", "node": "s1"},
        {"mode": "from", "node": "s1", "base": "no id"},
        {"mode": "from", "node": "s1", "pins": {"s0": 3}},
        {"mode": "from", "node": "s1", "pin": {}},
        {"mode": "from", "node": "s" * 64},
    ],
)
def test_what_was_not_understood_is_said(raw: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="was not understood"):
        read_partial(raw)


def test_a_base_run_of_another_pipeline_is_refused(world: World) -> None:
    wish = part("from", "s1", base="01890000-0000-7000-8000-000000000000")
    with pytest.raises(Refused, match="none of this pipeline"):
        start(world, wish)
    with pytest.raises(InvalidInput, match="no node 'gone'"):
        start(world, part("from", "gone"))


async def test_the_wish_outlives_a_runner(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await ran(world)
    begun = asyncio.Event()

    async def waits(call: Call) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    wish = part("to", "s1", pins={"s0": {"y": "pinned"}})
    run = await db(start, world, wish)
    with monkeypatch.context() as patch:
        patch.setattr(claims, "release", lambda **_: None)
        async with dispatching(FakeHosts({"s1": waits})):
            await begun.wait()
            await asyncio.sleep(0.01)
    past = timezone.now() - timedelta(seconds=1)
    await db(Run.objects.filter(pk=run.pk).update, lease_until=past)
    hosts = FakeHosts()
    async with dispatching(hosts):
        run = await ended(run)
    assert (hosts.steps, run.outputs, run.epoch) == (["s1"], {"y": "pinned+"}, 2)
    assert await db(origins, run) == {"s0": "pinned"}


async def test_run_again_runs_the_same_part(world: World) -> None:
    await ran(world)
    first, _ = await ran(world, part("only", "s1"), edited={"x": "typed"}, timeout=60)
    user = await db(world.person, "editor")
    again = await db(start_again, run=first, user=user)
    assert (again.part, again.inputs) == (first.part, {"x": "typed"})
    assert again.timeout == pytest.approx(60, abs=0.5)


# Pins


def drafted(world: World) -> Pipeline:
    Draft.objects.update_or_create(pipeline=world.pipeline, defaults={"text": codec.dump(chain(3))})
    return Pipeline.objects.select_related("draft").get()


def test_a_person_pins_and_unpins_for_themselves(world: World) -> None:
    pipeline, ada, owner = drafted(world), world.person("editor"), world.person("owner")
    pin_output(pipeline=pipeline, user=ada, node="s0", outputs={"y": 1})
    pin_output(pipeline=pipeline, user=ada, node="s0", outputs={"y": 2})
    assert pins_of(pipeline, ada) == {"s0": {"y": 2}}
    assert pins_of(pipeline, owner) == {}
    unpin_output(pipeline=pipeline, user=owner, node="s0")
    assert PinnedOutput.objects.count() == 1
    unpin_output(pipeline=pipeline, user=ada, node="s0")
    assert PinnedOutput.objects.count() == 0


def test_what_can_not_be_pinned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, ada = drafted(world), world.person("editor")
    for name in ("input", "nowhere"):
        with pytest.raises(Refused, match="can't be pinned"):
            pin_output(pipeline=pipeline, user=ada, node=name, outputs={})
    with pytest.raises(TooLarge, match="larger than"):
        pin_output(pipeline=pipeline, user=ada, node="s0", outputs={"y": "x" * parts.MAX_PIN})
    monkeypatch.setattr(parts, "MAX_PINS", 1)
    pin_output(pipeline=pipeline, user=ada, node="s0", outputs={"y": 1})
    with pytest.raises(TooLarge, match="Unpin"):
        pin_output(pipeline=pipeline, user=ada, node="s1", outputs={"y": 1})


@pytest.mark.parametrize("name", ["viewer", "outsider"])
def test_who_may_not_run_pins_and_stops_nothing(world: World, name: str) -> None:
    pipeline, user, run = drafted(world), world.person(name), world.run()
    with pytest.raises(NotAllowed):
        pin_output(pipeline=pipeline, user=user, node="s0", outputs={})
    with pytest.raises(NotAllowed):
        unpin_output(pipeline=pipeline, user=user, node="s0")
    with pytest.raises(NotAllowed):
        stop_step(run=run, user=user, path="s0")


# Stopping


class Held:
    """A step that waits until it is stopped."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def __call__(self, call: Call) -> dict[str, Any]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise AssertionError


async def seen(run: Run, path: str) -> None:
    """When the step is in the database."""
    async with asyncio.timeout(5):
        while not await db(Step.objects.filter(run=run, path=path).exists):
            await asyncio.sleep(0.002)


async def test_a_step_is_stopped_at_once(world: World) -> None:
    held, user = Held(), await db(world.person, "editor")
    async with dispatching(FakeHosts({"s1": held}), poll=60.0):
        run = await db(start, world)
        await held.begun.wait()
        await seen(run, "s1")
        await db(stop_step, run=run, user=user, path="s1")
        async with asyncio.timeout(1):
            await held.ended.wait()
        run = await ended(run)
    assert (run.status, run.failure_code, run.failed_step) == (
        "cancelled",
        "cancelled_by_user",
        "s1",
    )
    assert "Stopped by editor" in run.failure_message
    step = await db(Step.objects.get, run=run, path="s1")
    assert (step.status, step.failure_code) == ("cancelled", "cancelled_by_user")


async def test_a_runner_in_another_process_reads_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, user = Held(), await db(world.person, "editor")
    monkeypatch.setattr(step_stopped, "send_robust", lambda **_: [])
    graph = chain(2).with_node(
        node("s0", policy={"on_error": "fallback_value", "fallback": {"y": "instead"}})
    )
    version = await db(world.version, graph)
    async with dispatching(FakeHosts({"s0": held}), poll=0.05):
        run = await db(start, world, version=version)
        await held.begun.wait()
        await seen(run, "s0")
        await db(stop_step, run=run, user=user, path="s0")
        run = await ended(run)
    assert (run.status, run.outputs) == ("succeeded", {"y": "instead+"})
    assert [error["code"] for error in run.errors] == ["cancelled_by_user"]


async def test_a_stopped_step_stays_stopped_when_the_run_is_taken_up_again(world: World) -> None:
    graph = chain(2, policy={"on_error": "fallback_value", "fallback": {"y": "instead"}})
    run = await db(world.run, graph, stops='{"s0":"ada"}')
    hosts = FakeHosts()
    async with dispatching(hosts):
        run = await ended(run)
    assert (hosts.steps, run.outputs) == (["s1"], {"y": "instead+"})


async def test_a_run_that_waits_for_a_person_goes_on_to_stop(world: World) -> None:
    graph = asking()
    version, user = await db(world.version, graph), await db(world.person, "editor")
    async with dispatching(FakeHosts()):
        run = await ended(await db(start, world, version=version), RunStatus.WAITING)
        await db(stop_step, run=run, user=user, path="ask")
        run = await ended(run)
    assert (run.status, run.failure_code) == ("cancelled", "cancelled_by_user")


def asking() -> Graph:
    return Graph.of(
        [interface("input", "x"), node("ask", "approve"), interface("output", "y")],
        edges("input.x -> ask.value\nask.approved -> output.y"),
    )


@pytest.mark.parametrize("path", ["s0", "s9", "each[0]", "s1[2]"])
def test_what_does_not_go_on_is_not_stopped(world: World, path: str) -> None:
    run = world.run(status=RunStatus.RUNNING)
    Step.objects.create(run=run, path="s0", status="succeeded")
    Step.objects.create(run=run, path="s1", status="running", kind="predict")
    with pytest.raises(Refused, match="Nothing goes on at"):
        stop_step(run=run, user=world.person("editor"), path=path)


def test_an_item_of_a_map_is_stopped_while_a_step_of_it_goes_on(world: World) -> None:
    run = world.run(status=RunStatus.RUNNING)
    Step.objects.create(run=run, path="each", status="running", kind="map")
    Step.objects.create(run=run, path="each[1]/work", status="running")
    stop_step(run=run, user=world.person("editor"), path="each[1]")
    with pytest.raises(Refused, match="Nothing goes on at"):
        stop_step(run=run, user=world.person("editor"), path="each[0]")
    run.refresh_from_db()
    assert run.given_stops == {"each[1]": "editor"}


# Deadlines


async def test_a_run_ends_at_its_deadline_and_says_so(world: World) -> None:
    held = Held()
    async with dispatching(FakeHosts({"s1": held})):
        run = await ended(await db(start, world, timeout=0.3))
    assert (run.status, run.failure_code) == ("failed", "deadline")
    assert "deadline" in run.failure_message
    assert held.ended.is_set()


async def test_the_deadline_goes_on_while_a_run_waits_for_a_person(world: World) -> None:
    version = await db(world.version, asking())
    async with dispatching(FakeHosts()):
        run = await ended(await db(start, world, version=version), RunStatus.WAITING)
        past = timezone.now() - timedelta(seconds=1)
        await db(Run.objects.filter(pk=run.pk).update, deadline_at=past)
        run = await ended(run)
    assert (run.status, run.failure_code) == ("failed", "deadline")
    types = await db(lambda: set(Event.objects.filter(run=run).values_list("type", flat=True)))
    assert "step_waiting" in types


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 10**9])
def test_a_timeout_is_a_number_of_seconds(world: World, timeout: float) -> None:
    with pytest.raises(Refused, match="is a number of seconds"):
        start(world, timeout=timeout)
