"""Starting and stopping runs, keeping them, and signing in once."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from pipelines.models.errors import Busy, TooLarge
from pipelines.models.errors import InvalidInput as Refused
from pipelines.permissions import NotAllowed
from runner.engine.errors import InvalidInput
from runner.engine.events import RunStatus
from runner.host import InvalidPipeline
from runner.models import Artifact, CachedAnswer, Event, Run, Stream
from runner.services import (
    cancel_run,
    prune,
    redeem_sign_in,
    run_wanted,
    runs,
    sign_in_token,
    start_run,
)
from tests.graphs import chain
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def start(world: World, name: str = "editor", **options: Any) -> Run:
    options = {"version": world.version(), "inputs": {"x": "a"}, **options}
    return start_run(user=world.person(name), **options)


def test_a_run_waits_for_a_runner_and_says_so(world: World) -> None:
    heard: list[tuple[UUID, RunStatus]] = []

    def hear(run_id: UUID, status: RunStatus, **_: Any) -> None:
        heard.append((run_id, status))

    run_wanted.connect(hear)
    run = start(world)
    run_wanted.disconnect(hear)
    assert (run.status, run.author, run.inputs) == ("queued", world.person("editor"), {"x": "a"})
    assert heard == [(run.pk, RunStatus.QUEUED)]


@pytest.mark.parametrize("name", ["viewer", "outsider"])
def test_who_may_not_run_starts_and_stops_nothing(world: World, name: str) -> None:
    with pytest.raises(NotAllowed):
        start(world, name)
    run = world.run()
    with pytest.raises(NotAllowed):
        cancel_run(run=run, user=world.person(name))
    assert list(Run.objects.values_list("status")) == [("queued",)]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "'x'"),
        ({"x": "a", "z": 1}, "'z' is not an input"),
        ({"x": None, "status": 1}, "'status'"),
    ],
)
def test_wrong_inputs_are_named_before_anything_is_stored(
    world: World, inputs: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        start(world, inputs=inputs)
    assert not Run.objects.exists()


def test_a_pipeline_with_problems_does_not_start(world: World) -> None:
    with pytest.raises(InvalidPipeline, match="LM profile 'gone'"):
        start(world, version=world.version(chain(2, lm="gone")))


def test_inputs_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_INPUTS", 1_000)
    with pytest.raises(TooLarge, match="1,000 is the limit"):
        start(world, inputs={"x": "a" * 1_000})


def test_a_project_has_so_many_unfinished_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_UNFINISHED", 1)
    world.run(status="succeeded")
    start(world)
    with pytest.raises(Busy):
        start(world)


def test_an_archived_pipeline_is_not_run(world: World) -> None:
    world.pipeline.archived = True
    world.pipeline.save()
    with pytest.raises(Refused, match="archived"):
        start(world)


def test_large_inputs_are_kept_beside_the_run(world: World) -> None:
    run = start(world, inputs={"x": "a" * 70_000})
    assert run.inputs == {"x": None}
    assert Artifact.objects.get(hash=run.artifacts["inputs/x"]).value == "a" * 70_000


@pytest.mark.parametrize("status", ["queued", "suspended"])
def test_what_nobody_executes_is_cancelled_at_once(world: World, status: str) -> None:
    run = world.run(status=status, last_seq=4)
    Stream.objects.create(run=run, epoch=1, step="s", attempt=1, call=1, field="y", text="half")
    assert cancel_run(run=run, user=world.person("editor")) == "cancelled"
    event = Event.objects.get(run=run)
    assert (event.seq, event.type, event.value["status"]) == (5, "run_finished", "cancelled")
    assert Stream.objects.get().closed_seq == 5


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_what_has_ended_stays_as_it_is(world: World, status: str) -> None:
    run = world.run(status=status)
    assert cancel_run(run=run, user=world.person("owner")) == status
    assert not Event.objects.exists()


def test_stopping_a_run_that_was_just_taken_reaches_its_runner(world: World) -> None:
    run = world.run()
    Run.objects.filter(pk=run.pk).update(status="running")
    assert cancel_run(run=run, user=world.person("owner")) == "cancelling"


@pytest.mark.parametrize(("became", "ends"), [("waiting", "cancelled"), ("running", "cancelling")])
def test_a_run_that_went_on_since_it_was_read_is_stopped_all_the_same(
    world: World, became: str, ends: str
) -> None:
    run = world.run()
    Run.objects.update(status=became, last_seq=4, epoch=1)
    assert cancel_run(run=run, user=world.person("owner")) == ends
    assert Run.objects.get().status == ends


def test_stopping_a_run_that_was_just_left_ends_it_after_what_it_told(world: World) -> None:
    run, _ = world.claimed()
    run.events.create(seq=1, epoch=1, type="run_started", at=0.0)
    Run.objects.filter(pk=run.pk).update(status="queued", owner="", epoch=2)
    assert cancel_run(run=run, user=world.person("owner")) == "cancelled"
    found = Run.objects.get(pk=run.pk)
    assert (found.status, found.last_seq, run.last_seq) == ("cancelled", 2, 2)
    assert list(run.events.values_list("type", flat=True)) == ["run_started", "run_finished"]


def test_old_runs_go_with_all_they_told(world: World) -> None:
    now = timezone.now()
    old = world.run(status="succeeded", finished_at=now - timedelta(days=31))
    old.events.create(seq=1, epoch=1, type="trace", at=0.0)
    kept = world.run(status="failed", finished_at=now - timedelta(days=29))
    waiting = world.run(status="suspended")
    Run.objects.filter(pk=waiting.pk).update(created_at=now - timedelta(days=1000))
    for days in (31, 29):
        CachedAnswer.objects.create(
            project=world.project, key=str(days), created_at=now - timedelta(days=days)
        )
    assert prune(now=now) == 1
    assert set(Run.objects.values_list("pk", flat=True)) == {kept.pk, waiting.pk}
    assert not Event.objects.exists()
    assert CachedAnswer.objects.get().key == "29"


def test_runs_are_seen_by_their_projects_members(world: World) -> None:
    run = world.run()
    for name, seen in (("viewer", True), ("outsider", False)):
        person = world.person(name)
        assert Run.objects.visible_to(person).filter(pk=run.pk).exists() is seen
        assert Event.objects.visible_to(person).count() == 0


def test_a_project_is_deleted_with_its_runs(world: World) -> None:
    run = start(world, inputs={"x": "a" * 70_000})
    run.events.create(seq=1, epoch=1, type="trace", at=0.0)
    CachedAnswer.objects.create(project=world.project, key="k", created_at=timezone.now())
    world.project.delete()
    assert not any(model.objects.exists() for model in (Run, Event, Artifact, CachedAnswer))


@pytest.fixture
def data_directory(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def test_a_sign_in_token_works_once(world: World, data_directory: Path) -> None:
    owner = world.person("owner")
    token = sign_in_token(user=owner)
    assert redeem_sign_in(token=token) == owner
    assert redeem_sign_in(token=token) is None


def test_what_is_kept_of_a_token_signs_nobody_in(world: World, data_directory: Path) -> None:
    token = sign_in_token(user=world.person("owner"))
    (path,) = (data_directory / "sign_in").iterdir()
    assert token not in path.name + path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert redeem_sign_in(token=path.name) is None


@pytest.mark.parametrize("token", ["", "x", "../secret_key", "\x00", "\ud800", "a" * 100_000])
def test_a_made_up_token_signs_nobody_in(world: World, data_directory: Path, token: str) -> None:
    assert redeem_sign_in(token=token) is None


def test_a_token_ends_with_its_time_and_its_account(world: World, data_directory: Path) -> None:
    owner = world.person("owner")
    assert redeem_sign_in(token=sign_in_token(user=owner, lifetime=-1)) is None
    token = sign_in_token(user=owner)
    User.objects.update(is_active=False)
    assert redeem_sign_in(token=token) is None


def test_old_tokens_are_cleared_away(world: World, data_directory: Path) -> None:
    sign_in_token(user=world.person("owner"))
    (path,) = (data_directory / "sign_in").iterdir()
    os.utime(path, (0, 0))
    sign_in_token(user=world.person("owner"))
    assert not path.exists()


@pytest.mark.parametrize("model", ["run", "step", "attempt", "event", "cachedanswer"])
def test_the_admin_shows_history_in_a_fixed_number_of_queries(
    world: World, model: str, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        run = world.run()
        run.events.create(seq=1, epoch=1, type="trace", at=0.0)
        run.steps.create(path="s", status="running")
    staff = User.objects.create(username="staff", is_staff=True, is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(staff)
    with django_assert_max_num_queries(12):
        assert client.get(f"/admin/runner/{model}/?q=s").status_code == 200
    assert client.get(f"/admin/runner/run/{run.pk}/change/").status_code == 200
    assert client.post(f"/admin/runner/run/{run.pk}/delete/").status_code == 403
