"""Pages and two runners on PostgreSQL and Redis: what they do when nothing dies, and when something does."""

import pytest

from runner.services import answer_step
from tests.integration.cluster.conftest import WORDS, Cluster

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("redis-server")]


def test_every_kind_of_run_ends_and_a_page_hears_all_of_it(inside: Cluster) -> None:
    world = inside.world
    runs = {what: world.run(what, "plain") for what in ("native", "map", "dspy", "approve")}
    story = world.run("story", "plain")
    page = inside.watch(story)
    for machine in ("one", "two"):
        inside.runner(machine)
    world.ended(runs["approve"], "waiting")
    answer_step(run=runs["approve"], user=world.user, path="ask", approved=True)
    for what, run in runs.items():
        assert world.ended(run).status == "succeeded", (what, run)
        assert not world.half_written(run), what
    assert page.ended().text() == WORDS
    assert (page.watcher.gaps, page.asked) == (0, 1)
    assert not world.recorded_twice()


def test_a_killed_runner_loses_nothing_of_a_stream_that_goes_on(inside: Cluster) -> None:
    world = inside.world
    story = world.run("story", "killed")
    page = inside.watch(story)
    runner = inside.runner("one")
    world.wait("text", lambda: len(page.text()) > 100)
    runner.kill()
    inside.runner("two")
    world.ended(story)
    assert page.ended().text() == WORDS
    assert (page.watcher.gaps, page.asked) == (0, 1)


def test_pages_hear_the_end_when_redis_was_away(inside: Cluster) -> None:
    world = inside.world
    story = world.run("story", "redis")
    page = inside.watch(story)
    inside.runner("three")
    world.wait("text", lambda: len(page.text()) > 100)
    inside.redis.kill()
    world.ended(story)
    inside.redis.start()
    assert page.ended().text() == WORDS
