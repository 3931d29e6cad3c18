"""The dispatcher: every queued run is executed, and goes on where a dead runner left it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from pipelines.models import Membership
from runner.dispatcher import claims
from runner.engine.events import RunStatus
from runner.engine.executor import Call
from runner.models import Event, Run, Step
from runner.recorder import DatabaseThread, RunJournal
from runner.services import cancel_run, resume_run, start_run
from tests.graphs import chain
from tests.runner_world import FakeHosts, World, db, dispatching, ended, recording

pytest_plugins = ["tests.runner_fixtures"]

LEASE = timedelta(seconds=30)


class Gate:
    """A step that waits until it is let through, and says when it has begun."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, call: Call) -> dict[str, Any]:
        self.begun.set()
        await self.open.wait()
        return {"y": "through"}


def claim(owner: str = "other", **options: Any) -> list[Any]:
    return claims.claim(
        **{"owner": owner, "limit": 10, "now": timezone.now(), "lease": LEASE, **options}
    )


def events_of(run: Run) -> list[str]:
    return list(Event.objects.filter(run=run).order_by("seq").values_list("type", flat=True))


async def test_a_started_run_is_executed_at_once(world: World) -> None:
    hosts = FakeHosts()
    async with dispatching(hosts, poll=60.0):
        user, version = await db(world.person, "editor"), await db(world.version)
        run = await db(start_run, user=user, version=version, inputs={"x": "a"})
        run = await ended(run)
    assert (run.status, run.outputs) == ("succeeded", {"y": "a+++"})
    assert run.started_at and run.finished_at


async def test_runs_queued_elsewhere_are_found(world: World) -> None:
    async with dispatching(FakeHosts()):
        await asyncio.sleep(0.02)
        run = await db(world.run)
        assert (await ended(run)).status == "succeeded"


async def test_so_many_runs_go_on_at_a_time(world: World) -> None:
    gate = Gate()
    runs = [await db(world.run) for _ in range(5)]
    async with dispatching(FakeHosts({"s0": gate}), concurrency=2) as dispatcher:
        await gate.begun.wait()
        await asyncio.sleep(0.05)
        assert dispatcher.running == 2
        gate.open.set()
        for run in runs:
            await ended(run)


def test_one_of_two_runners_gets_a_run(world: World) -> None:
    run = world.run()
    assert claim("a") == [run.pk]
    assert claim("b") == []
    run.refresh_from_db()
    assert (run.owner, run.epoch, run.status) == ("a", 1, "running")


def test_a_run_is_taken_over_when_its_lease_has_passed(world: World) -> None:
    run = world.run()
    claim("a")
    assert claim("b", now=timezone.now() + LEASE / 2) == []
    claims.renew(owner="a", runs=[run.pk], until=timezone.now() + LEASE * 2)
    assert claim("b", now=timezone.now() + LEASE * 1.5) == []
    assert claim("b", now=timezone.now() + LEASE * 3) == [run.pk]
    run.refresh_from_db()
    assert (run.owner, run.epoch) == ("b", 2)


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "suspended"])
def test_what_has_ended_is_not_taken(world: World, status: str) -> None:
    world.run(status=status, lease_until=timezone.now() - LEASE)
    assert claim() == []


async def crash(world: World, monkeypatch: pytest.MonkeyPatch, at: str) -> Run:
    """A run whose runner died while it was executing this step."""
    gate = Gate()
    run = await db(world.run)
    with monkeypatch.context() as patch:
        # Death: nothing is written any more, and the run is not given back.
        patch.setattr(claims, "release", lambda **_: None)
        async with dispatching(FakeHosts({at: gate})):
            await gate.begun.wait()
            # What was committed is durable; what was only appended may be or not.
            await asyncio.sleep(0.01)
    await db(Run.objects.filter(pk=run.pk).update, lease_until=timezone.now() - LEASE)
    return run


async def test_after_a_crash_the_next_runner_goes_on_from_what_was_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await crash(world, monkeypatch, at="s1")
    hosts = FakeHosts()
    async with dispatching(hosts):
        run = await ended(run)
    assert hosts.steps == ["s1", "s2"]
    assert (run.status, run.outputs, run.epoch) == ("succeeded", {"y": "a+++"}, 2)
    seqs = await db(lambda: list(Event.objects.filter(run=run).values_list("seq", flat=True)))
    assert sorted(seqs) == list(range(1, run.last_seq + 1))
    types = await db(events_of, run)
    assert types.count("step_succeeded") == 3
    assert await db(Step.objects.filter(run=run, status="succeeded").count) == 3


async def test_large_recorded_outputs_come_back_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await db(world.run, inputs={"x": "a" * 70_000})
    gate = Gate()
    async with dispatching(FakeHosts({"s1": gate})):
        await gate.begun.wait()
    async with dispatching(FakeHosts()):
        run = await ended(run)
    assert run.outputs == {"y": None}
    (place,) = [place for place in run.artifacts if place.startswith("outputs/")]
    artifact = await db(run.artifact_rows.get, hash=run.artifacts[place])
    assert artifact.value == "a" * 70_000 + "+++"


async def test_what_goes_on_at_shutdown_is_left_to_be_resumed(world: World) -> None:
    gate, run = Gate(), await db(world.run)
    async with dispatching(FakeHosts({"s1": gate})):
        await gate.begun.wait()
    left = await db(Run.objects.get, pk=run.pk)
    assert (left.status, left.owner) == ("queued", "")
    assert "run_finished" not in await db(events_of, run)
    hosts = FakeHosts()
    async with dispatching(hosts):
        assert (await ended(run)).status == "succeeded"
    assert hosts.steps == ["s1", "s2"]


async def test_a_run_is_cancelled_within_a_second(world: World) -> None:
    gate, run = Gate(), await db(world.run)
    async with dispatching(FakeHosts({"s1": gate}), poll=60.0):
        await gate.begun.wait()
        started = asyncio.get_running_loop().time()
        assert await db(cancel_run, run=run, user=await db(world.person, "editor")) == "cancelling"
        run = await ended(run)
        assert asyncio.get_running_loop().time() - started < 1
    assert run.status == "cancelled"
    assert (await db(Step.objects.get, run=run, path="s1")).status == "cancelled"


async def test_a_run_that_another_process_stops_is_cancelled(world: World) -> None:
    gate, run = Gate(), await db(world.run)
    async with dispatching(FakeHosts({"s1": gate})):
        await gate.begun.wait()
        await db(Run.objects.filter(pk=run.pk).update, status=RunStatus.CANCELLING)
        assert (await ended(run)).status == "cancelled"


async def test_a_run_whose_runner_died_while_stopping_is_cancelled(world: World) -> None:
    hosts = FakeHosts()
    past = timezone.now() - LEASE
    run = await db(world.run, status="cancelling", owner="dead", epoch=3, lease_until=past)
    async with dispatching(hosts):
        assert (await ended(run)).status == "cancelled"
    assert hosts.steps == []


async def test_a_runner_that_lost_its_run_stops_it(world: World) -> None:
    gate, run = Gate(), await db(world.run)
    async with dispatching(FakeHosts({"s1": gate})) as dispatcher:
        await gate.begun.wait()
        await db(Run.objects.filter(pk=run.pk).update, owner="other", epoch=2)
        async with asyncio.timeout(2):
            while dispatcher.running:
                await asyncio.sleep(0.002)
        found = await db(Run.objects.get, pk=run.pk)
        assert (found.status, found.owner) == ("running", "other")


async def test_a_deleted_run_is_stopped(world: World) -> None:
    gate, run = Gate(), await db(world.run)
    async with dispatching(FakeHosts({"s1": gate})) as dispatcher:
        await gate.begun.wait()
        await db(run.delete)
        async with asyncio.timeout(2):
            while dispatcher.running:
                await asyncio.sleep(0.002)


async def test_the_author_must_still_be_allowed_to_run(world: World) -> None:
    run = await db(world.run)
    await db(Membership.objects.filter(user__username="owner").update, role="viewer")
    async with dispatching(FakeHosts()):
        run = await ended(run)
    assert (run.status, run.failure_code) == ("failed", "not_allowed")


async def test_a_pipeline_that_names_nothing_fails_with_the_reason(world: World) -> None:
    run = await db(world.run, chain(2, lm="gone"))
    async with dispatching(FakeHosts()):
        run = await ended(run)
    assert run.failure_code == "invalid_pipeline"
    assert "LM profile 'gone'" in run.failure_message
    assert await db(events_of, run) == ["run_finished"]


async def test_an_error_of_ours_fails_the_run_not_the_runner(world: World) -> None:
    class Broken(FakeHosts):
        async def run(self, *args: Any, **options: Any) -> None:
            raise ZeroDivisionError("oops")

    first = await db(world.run)
    async with dispatching(Broken()):
        assert (await ended(first)).failure_code == "internal"
        assert (await ended(await db(world.run))).failure_code == "internal"


async def test_a_suspended_run_goes_on_when_it_is_resumed(world: World) -> None:
    run = await db(world.run, status="suspended", last_seq=3)
    editor = await db(world.person, "editor")
    async with dispatching(FakeHosts()):
        assert await db(resume_run, run=run, user=editor)
        run = await ended(run)
    assert run.status == "succeeded"
    assert not await db(resume_run, run=run, user=editor)


async def test_a_resumed_run_takes_its_answers_from_the_replay_log(world: World) -> None:
    from runner.dispatcher.assignments import state_of
    from runner.lm.replay import ReplayKey
    from runner.recorder import DatabaseReplayLog

    run, state = await db(world.claimed)
    key = ReplayKey(
        run_id=str(run.pk),
        path="s",
        salt="1",
        request="r",
        rollout_id=None,
        candidate=0,
        occurrence=1,
    )
    async with recording() as recorder:
        journal: RunJournal = recorder.open(state)
        assert await DatabaseReplayLog(recorder).get(key) is None
        await DatabaseReplayLog(recorder).put(key, b'{"text":"paid"}')
        await recorder.close(journal)
    await db(Run.objects.filter(pk=run.pk).update, last_seq=1)
    state = await db(lambda: state_of(Run.objects.get(pk=run.pk)))
    async with recording() as recorder:
        journal = recorder.open(state)
        assert await DatabaseReplayLog(recorder).get(key) == b'{"text":"paid"}'
        await recorder.close(journal)


async def test_cached_answers_are_a_projects_own(world: World) -> None:
    from pipelines.models import Project
    from runner.lm.cache import CacheKey
    from runner.recorder import DatabaseResponseCache

    other = await db(Project.objects.create, name="Theirs")
    key = CacheKey(profile="p", revision=1, request="r", rollout_id=None, candidate=0)
    thread = DatabaseThread("cache")
    thread.start()
    ours, theirs = (
        DatabaseResponseCache(project_id, thread) for project_id in (world.project.pk, other.pk)
    )
    await ours.put(key, b'"a"')
    await ours.put(key, b'"b"')
    assert (await ours.get(key), await theirs.get(key)) == (b'"b"', None)
    await thread.aclose()
