"""Pages and two runners on PostgreSQL and Redis: what they do when nothing dies, and when something does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from pipelines.models import Project
from pipelines.services import delete_project
from runner.models import Artifact, Event, ReplayAnswer, Run, Step, Stream
from runner.services import answer_step
from tests.faults.world import ROOT, forget_connections
from tests.integration.cluster.conftest import WORDS, Cluster

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("redis-server")]

AWAY = 10.0
KINDS = ("native", "map", "dspy", "approve")
PAGES = (
    *("/", "/pipelines/", "/runs/", "/runs/?q=story&status=succeeded", "/runs/?status=failed"),
    *("/kept/", "/kept/due/?days=0", "/router/", "/workers/", "/response-cache/", "/lm-profiles/"),
    *("/collections/", "/collections/docs/search/?query=scale", "/pipelines/figures/", "/metrics"),
    *("/admin/runner/run/", "/admin/runner/run/?q=story", "/admin/runner/step/?q=s0"),
    *("/admin/runner/attempt/", "/admin/runner/event/", "/admin/runner/cachedanswer/"),
)


def test_every_kind_of_run_ends_and_a_page_hears_all_of_it(inside: Cluster) -> None:
    world = inside.world
    runs = {what: world.run(what, "plain") for what in KINDS}
    story = world.run("story", "plain")
    page = inside.watch(story)
    inside.runners("one", "two")
    world.wait("text", lambda: len(page.text()) > 100)
    late = inside.watch(story)
    world.ended(runs["approve"], "waiting")
    answer_step(run=runs["approve"], user=world.user, path="ask", approved=True)
    for run in runs.values():
        world.check_whole(run)
    for each in (page, late):
        assert each.ended().text() == WORDS
        assert (each.watcher.gaps, each.asked) == (0, 1)


def test_pages_that_ask_much_of_the_database_answer(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    run = world.check_whole(world.run("native", "pages"))
    own = [f"/runs/{run.pk}/{asks}" for asks in ("", "?show=events", "step/?path=s0", "since/")]
    found = {path: inside.get(path) for path in (*PAGES, *own)}
    assert {path: status for path, (status, _) in found.items() if status != 200} == {}
    assert "story" in found["/admin/runner/run/?q=story"][1]
    states = {each["part"]: each["state"] for each in doctor(inside)}
    assert (states["Database"], states["Channel layer"]) == ("ok", "ok")


def test_a_character_that_postgresql_does_not_take_loses_no_run(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    run = world.run("nul", "a\x00b")
    assert world.check_whole(run).outputs == {"y": ["b", "a�"]}
    assert Run.objects.get(pk=run.pk).inputs == {"x": "a\x00b"}
    Run.objects.filter(pk=run.pk).update(failure_message="a\x00b")
    assert Run.objects.get(pk=run.pk).failure_message == "a�b"
    assert inside.get("/runs/?q=a%00b")[0] == inside.get(f"/runs/{run.pk}/")[0] == 200


def test_what_is_deleted_is_gone(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    doomed = Project.objects.create(name="Doomed")
    run = world.check_whole(world.run("native", "deleted"))
    Run.objects.filter(pk=run.pk).update(project=doomed)
    delete_project(project=doomed, user=world.user)
    kept = world.check_whole(world.run("map", "pruned"))
    said = StringIO()
    call_command("prune", days=0, stdout=said)
    assert "Done: " in said.getvalue()
    for gone in (run, kept):
        for model in (Event, Step, Stream, Artifact, ReplayAnswer):
            assert not model.objects.filter(run=gone.pk).exists(), model
        assert not Run.objects.filter(pk=gone.pk).exists()


def test_a_killed_runner_loses_nothing_and_the_other_one_takes_its_runs(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    world.model.reset(delay=0.4)
    story = world.run("story", "killed")
    page = inside.watch(story)
    whats = ("native", "native", "map", "dspy")
    runs = [world.run(what, f"killed {number}") for number, what in enumerate(whats)]
    world.wait("text", lambda: len(page.text()) > 100)
    owner = Run.objects.get(pk=story.pk).owner
    world.wait("calls", lambda: len(world.model.seen()) >= 2)
    inside.kill_owner(owner)
    world.model.next_life()
    for run in (story, *runs):
        world.check_whole(run)
    assert page.ended().text() == WORDS
    assert (page.watcher.gaps, page.asked) == (0, 1)
    calls = [(asked.key, asked.life) for asked in world.model.seen()]
    assert len(calls) == len(set(calls)), "a call was made twice in one life"


def test_pages_hear_the_end_when_redis_was_away(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    story = world.run("story", "redis")
    page = inside.watch(story)
    world.wait("text", lambda: len(page.text()) > 100)
    inside.redis.kill()
    world.check_whole(story)
    inside.redis.start()
    assert page.ended().text() == WORDS


def test_a_database_that_is_away_for_ten_seconds_loses_nothing(inside: Cluster) -> None:
    world = inside.world
    inside.runners("one", "two")
    world.model.reset(delay=0.4)
    story = world.run("story", "away")
    page = inside.watch(story)
    runs = [world.run(what, "away") for what in ("native", "map", "dspy")]
    world.wait("text", lambda: len(page.text()) > 100)
    world.wait("calls", lambda: len(world.model.seen()) >= 2)
    with away(inside):
        states = {each["part"]: each for each in doctor(inside)}
    for part, named in (("Database", "DSPEX_DATABASE_URL"), ("Channel layer", "DSPEX_REDIS_URL")):
        assert states[part]["state"] == "broken" and named in states[part]["mend"], states[part]
    for run in (story, *runs):
        world.check_whole(run)
    assert page.ended().text() == WORDS


@contextmanager
def away(inside: Cluster) -> Iterator[None]:
    """PostgreSQL for ten seconds, and Redis for a part of them."""
    began = time.monotonic()
    inside.postgres.kill()
    inside.redis.kill()
    try:
        yield
    finally:
        inside.redis.start()
        time.sleep(max(0.0, began + AWAY - time.monotonic()))
        inside.postgres.start()
        forget_connections()


def doctor(inside: Cluster) -> list[dict[str, Any]]:
    told = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=ROOT,
        env={**os.environ, **inside.environment, "DSPEX_DATA_DIR": str(inside.directory)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(told.stdout)["parts"]
    return found
