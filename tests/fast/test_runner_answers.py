"""A run that waits for a person: kept, answered, and gone on with, whatever became of its runner."""

import asyncio
from typing import Any

import pytest

from pipelines.graph.graph import Graph
from pipelines.models.errors import InvalidInput, TooLarge
from pipelines.permissions import NotAllowed
from runner.engine.events import EventType, RunStatus
from runner.engine.executor import Call
from runner.models import Event, Run, Step
from runner.services import answer_step, cancel_run
from tests.graphs import edges, interface, node
from tests.runner_world import FakeHosts, World, db, dispatching, ended

pytest_plugins = ["tests.runner_fixtures"]


def asking(**config: Any) -> Graph:
    return Graph.of(
        [
            interface("input", "x"),
            node("s"),
            node("ask", "approve", **config),
            node("after"),
            node("other"),
            interface("output", "y", "other"),
        ],
        edges(
            """
            input.x -> s.x
            s.y -> ask.value
            ask.approved -> after.x
            after.y -> output.y
            input.x -> other.x
            other.y -> output.other
            """
        ),
    )


def answer(world: World, run: Run, name: str = "editor", **answer: Any) -> None:
    given = {"path": "ask", "approved": True, **answer}
    answer_step(run=run, user=world.person(name), **given)


async def waiting(world: World, **config: Any) -> Run:
    """A run that its runner, which is gone since, left waiting."""
    run = await db(world.run, asking(**config))
    async with dispatching(FakeHosts()):
        return await ended(run, RunStatus.WAITING)


async def test_a_waiting_run_is_in_nobodys_hands(world: World) -> None:
    run = await waiting(world)
    assert (run.owner, run.lease_until, run.finished_at) == ("", None, None)
    step = await db(Step.objects.get, run=run, path="ask")
    assert (step.status, step.kind) == ("waiting", "approve")


async def test_a_run_goes_on_with_its_answer_on_another_runner(world: World) -> None:
    run = await waiting(world)
    await db(answer, world, run, comment="fine")
    hosts = FakeHosts()
    async with dispatching(hosts):
        run = await ended(run)
    assert (run.status, run.outputs) == ("succeeded", {"y": "a++", "other": "a+"})
    assert hosts.steps == ["after"]
    said = await db(Event.objects.get, run=run, type=EventType.STEP_ANSWERED)
    began = await db(Event.objects.get, run=run, type=EventType.STEP_STARTED, step="ask")
    since = {"kind": "approve", "begun_at": began.at}
    assert said.value == {"approved": True, "comment": "fine", "by": "editor", **since}
    step = await db(Step.objects.get, run=run, path="ask")
    assert step.started_at
    assert step.started_at.timestamp() == pytest.approx(began.at, abs=0.001)


async def test_an_answer_reaches_a_run_whose_other_steps_go_on(world: World) -> None:
    begun, through = asyncio.Event(), asyncio.Event()

    async def holds(call: Call) -> dict[str, Any]:
        begun.set()
        await through.wait()
        return {"y": "late"}

    hosts = FakeHosts({"other": holds})
    async with dispatching(hosts):
        run = await db(world.run, asking())
        await begun.wait()
        while not await db(Step.objects.filter(run=run, path="ask", status="waiting").exists):
            await asyncio.sleep(0.002)
        await db(answer, world, run)
        while "after" not in hosts.steps:
            await asyncio.sleep(0.002)
        through.set()
        assert (await ended(run)).status == "succeeded"


async def test_a_rejected_value_ends_where_nothing_takes_it(world: World) -> None:
    run = await waiting(world)
    await db(answer, world, run, approved=False)
    async with dispatching(FakeHosts()):
        run = await ended(run)
    assert (run.status, run.failure_code) == ("failed", "output_not_produced")


async def test_a_changed_value_goes_on(world: World) -> None:
    run = await waiting(world, editable=True)
    await db(answer, world, run, value="mine")
    async with dispatching(FakeHosts()):
        assert (await ended(run)).outputs["y"] == "mine+"


async def test_the_first_answer_counts(world: World) -> None:
    run = await waiting(world)
    await db(answer, world, run)
    with pytest.raises(InvalidInput, match="answered already, by editor"):
        await db(answer, world, run, "owner", approved=False)


@pytest.mark.parametrize("name", ["viewer", "outsider"])
async def test_who_may_not_run_does_not_answer(world: World, name: str) -> None:
    run = await waiting(world)
    with pytest.raises(NotAllowed):
        await db(answer, world, run, name)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"path": "s"}, InvalidInput, "'s' of this run does not wait"),
        ({"path": "nowhere"}, InvalidInput, "does not wait"),
        ({"value": 1}, InvalidInput, "does not let its value be changed"),
        ({"comment": "x" * 10_001}, TooLarge, "10,000 characters"),
        ({"value": "x" * 1_000_001}, TooLarge, "1,000,000 bytes"),
    ],
)
async def test_bad_answers_are_refused(
    world: World, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    run = await waiting(world)
    with pytest.raises(error, match=words):
        await db(answer, world, run, **given)
    assert (await db(Run.objects.get, pk=run.pk)).answers == "{}"


async def test_a_waiting_run_is_stopped_at_once(world: World) -> None:
    run = await waiting(world)
    user = await db(world.person, "editor")
    assert await db(cancel_run, run=run, user=user) is RunStatus.CANCELLED
    assert (await db(Step.objects.get, run=run, path="ask")).status == "cancelled"
    with pytest.raises(InvalidInput):
        await db(answer, world, run)
