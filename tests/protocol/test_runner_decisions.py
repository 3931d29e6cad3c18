"""A step that may be done once only and was under way when its runner ended: a person decides."""

import asyncio
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pipelines.models.errors import InvalidInput
from pipelines.permissions import NotAllowed
from runner.engine.events import RunStatus
from runner.engine.executor import Call
from runner.models import Event, Run, Step
from runner.services import answer_step, cancel_run, decide_step, resume_run
from tests.graphs import chain
from tests.runner_world import FakeHosts, World, db, dispatching, ended

pytest_plugins = ["tests.runner_fixtures"]

ONCE = chain(2, policy={"retry": "never"})


async def in_doubt(world: World) -> Run:
    """A run whose runner ended in the middle of `s0`, and that the next one suspended."""
    begun = asyncio.Event()

    async def hangs(call: Call) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    async with dispatching(FakeHosts({"s0": hangs})):
        run = await db(world.run, ONCE)
        await asyncio.wait_for(begun.wait(), 5)
    async with dispatching(hosts := FakeHosts()):
        run = await ended(run, RunStatus.SUSPENDED)
    assert hosts.steps == []
    return run


async def decide(
    world: World, run: Run, decision: str, name: str = "editor", **options: Any
) -> None:
    user = await db(world.person, name)
    await db(decide_step, run=run, user=user, path="s0", decision=decision, **options)


async def test_the_run_says_why_it_is_suspended(world: World) -> None:
    run = await in_doubt(world)
    assert (run.failure_code, run.failed_step) == ("needs_decision", "s0")
    step = await db(Step.objects.get, run=run, path="s0")
    assert (step.status, step.kind, step.started_at is not None) == ("waiting", "predict", True)


async def test_it_happened_and_the_run_takes_what_came_of_it(world: World) -> None:
    run = await in_doubt(world)
    await decide(world, run, "happened", outputs={"y": "sent"}, comment="I saw it")
    async with dispatching(hosts := FakeHosts()):
        run = await ended(run)
    assert (run.status, run.outputs, hosts.steps) == ("succeeded", {"y": "sent+"}, ["s1"])
    told = await db(Event.objects.get, run=run, type="step_answered")
    assert (told.value["by"], told.value["decision"]) == ("editor", "happened")
    assert run.failure_code == run.failure_message == ""
    await began_before(run)


async def test_it_is_done_again(world: World) -> None:
    run = await in_doubt(world)
    await decide(world, run, "again")
    async with dispatching(hosts := FakeHosts()):
        run = await ended(run)
    assert (run.status, run.outputs, hosts.steps) == ("succeeded", {"y": "a++"}, ["s0", "s1"])


async def test_it_failed(world: World) -> None:
    run = await in_doubt(world)
    await decide(world, run, "failed", comment="no mail")
    async with dispatching(FakeHosts()):
        run = await ended(run)
    assert (run.status, run.failure_code, run.failed_step) == ("failed", "decided_as_failed", "s0")
    await began_before(run)


async def began_before(run: Run) -> None:
    """The decided step has its place in time, from when the first runner began it: a bar in its lane."""
    step = await db(Step.objects.get, run=run, path="s0")
    assert step.kind == "predict"
    assert step.started_at is not None and step.finished_at is not None
    assert step.started_at < step.finished_at


async def test_going_on_without_a_decision_asks_again(world: World) -> None:
    run = await in_doubt(world)
    assert await db(resume_run, run=run, user=await db(world.person, "editor"))
    async with dispatching(hosts := FakeHosts()):
        await ended(run, RunStatus.SUSPENDED)
    assert hosts.steps == []


async def test_the_first_decision_counts_and_an_approval_is_none(world: World) -> None:
    run = await in_doubt(world)
    editor = await db(world.person, "editor")
    with pytest.raises(InvalidInput, match="did it happen"):
        await db(answer_step, run=run, user=editor, path="s0", approved=True)
    with pytest.raises(InvalidInput, match="no output 'z'"):
        await decide(world, run, "happened", outputs={"z": 1})
    await decide(world, run, "again")
    with pytest.raises(InvalidInput, match="by editor"):
        await decide(world, run, "failed")


async def test_who_may_not_run_decides_nothing_and_stopping_needs_no_decision(world: World) -> None:
    run = await in_doubt(world)
    with pytest.raises(NotAllowed):
        await decide(world, run, "again", name="viewer")
    assert await db(cancel_run, run=run, user=await db(world.person, "editor")) == "cancelled"


async def test_the_page_shows_the_question_and_takes_the_decision(world: World) -> None:
    run = await in_doubt(world)

    def press() -> tuple[str, str, Any]:
        client = Client()
        client.force_login(world.person("editor"))
        page = client.get(reverse("runner:run", args=[run.pk])).text
        given = {"path": "s0", "decision": "happened", "output.y": "it is out"}
        client.force_login(world.person("viewer"))
        refused = client.post(reverse("runner:decide", args=[run.pk]), given)
        client.force_login(world.person("editor"))
        client.post(reverse("runner:decide", args=[run.pk]), given)
        return page, str(refused.status_code), Run.objects.get(pk=run.pk)

    page, refused, after = await db(press)
    assert 'name="output.y"' in page and "Do it again" in page and "Decide</a>" in page
    assert "run-resume" not in page
    assert refused in ("403", "404")
    (answer,) = after.given_answers.values()
    assert (answer.value, answer.by, after.status) == ({"y": "it is out"}, "editor", "queued")


async def test_a_refusal_is_said_beside_the_form_which_stays(world: World) -> None:
    run = await in_doubt(world)

    def press() -> tuple[int, str]:
        client = Client()
        client.force_login(world.person("editor"))
        given = {"path": "s0", "decision": "perhaps", "output.y": "typed at length"}
        answer = client.post(reverse("runner:decide", args=[run.pk]), given)
        return answer.status_code, answer.text

    status, text = await db(press)
    assert status == 422 and "decision is happened, again or failed" in text
    assert 'role="alert"' in text and "<form" not in text
