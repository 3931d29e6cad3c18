"""Rows are the same whenever they follow their events: at once, late, or when the next runner catches up."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec import structs

from runner.dispatcher.assignments import state_of
from runner.engine.events import Event, EventType
from runner.models import Event as Stored
from runner.models import Run, Step
from tests.events import event, failure, started
from tests.fast.test_runner_recorder import rows_of
from tests.runner_world import World, db, recording

pytest_plugins = ["tests.runner_fixtures"]

PATHS = ("a", "b", "each[1]/c", "a/send[1]")
USAGE = {"input_tokens": 3, "output_tokens": 2, "cost": 0.25, "lm_calls": 1}
NOTHING = {"seconds": 1.0, "usage": None}
BEGUN = {"begun": "1", "begun_at": 1e9, "kind": "predict"}
ENDS = (
    event(EventType.STEP_SUCCEEDED, outputs={}, seconds=1.0, usage=USAGE, identity="x" * 32),
    event(EventType.STEP_SUCCEEDED, outputs={}, taken_from="pinned", **NOTHING),
    event(EventType.STEP_FAILED, failure=failure("timeout"), suspends=True, **NOTHING),
    event(EventType.STEP_CANCELLED, seconds=1.0),
)


def beginning(random: Random) -> Iterator[Event]:
    said = {"approved": True, "comment": "", "by": "ada"}
    if random.random() < 0.3:  # an earlier runner died in it
        yield event(EventType.STEP_WAITING, question="?", editable=False, **BEGUN)
        yield event(EventType.STEP_ANSWERED, decision="again", begun="1", **said)
    yield started()
    if random.random() < 0.3:
        yield event(EventType.STEP_WAITING, question="?", editable=True)
        yield event(EventType.STEP_ANSWERED, **said)


def step(random: Random) -> Iterator[Event]:
    if random.random() < 0.15:
        yield event(EventType.STEP_SKIPPED, cause="b")
        return
    yield from beginning(random)
    attempt = random.randint(1, 3)
    for backend in ("native", "dspy")[: random.randint(0, 2)]:
        yield event(EventType.STEP_ROUTED, backend=backend, reason="", first=attempt)
        for _ in range(random.randint(0, 2)):
            failed = {"failure": failure(), "wait": 0.5, "next": attempt + 1}
            yield event(EventType.LM_CALL, "", attempt, usage=USAGE, messages=["x" * 70_000])
            yield event(EventType.ATTEMPT_FAILED, "", attempt, **failed)
            attempt += 1
        yield event(EventType.TRACE, "", attempt, name="n")
        attempt += 1
    if random.random() < 0.2:
        yield started()  # its worker was lost
    if random.random() < 0.7:
        yield random.choice(ENDS)


def life(random: Random, epoch: int) -> list[Event]:
    """What one runner tells, until it dies at any moment."""
    steps = {path: list(step(random)) for path in PATHS}
    told = [event(EventType.RUN_STARTED, inputs={})]
    while left := [path for path in PATHS if steps[path]]:
        path = random.choice(left)
        told.append(structs.replace(steps[path].pop(0), step=path))
    told = told[: random.randint(1, len(told))]
    return [structs.replace(each, at=1e9 + epoch * 1000 + n) for n, each in enumerate(told)]


async def lived(world: World, lives: list[list[Event]], random: Random | None) -> list[object]:
    """The rows after these lives; they are brought up to date at random moments, or always."""
    run = await db(lambda: world.run(status="running", owner="me"))

    def taken_up(epoch: int) -> Any:
        Run.objects.filter(pk=run.pk).update(epoch=epoch, owner="me")
        return state_of(Run.objects.get(pk=run.pk))

    for epoch, events in enumerate(lives, 1):
        state = await db(taken_up, epoch)
        async with recording(linger=60.0) as recorder:
            journal = recorder.open(state)
            for each in events:
                journal.append(each)
                journal.shows = journal.shows or random is None or random.random() < 0.2
                if random is None or random.random() < 0.7:
                    await journal.commit()
            await journal.commit()
            await db(Run.objects.filter(pk=run.pk).update, owner="nobody")
    await db(taken_up, len(lives) + 1)
    return await db(rows_of, run)


@pytest.mark.parametrize("seed", range(6))
async def test_rows_are_the_same_whenever_they_follow(world: World, seed: int) -> None:
    random = Random(seed)
    lives = [life(random, epoch) for epoch in range(1, 4)]
    assert await lived(world, lives, random) == await lived(world, lives, None)


async def test_what_a_step_tells_while_it_goes_on_is_found_with_it(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        for each in (started(), event(EventType.LM_CALL, "s", 1, usage=USAGE)):
            journal.append(each)
            journal.shows = True
            await journal.commit()
    found = await db(lambda: list(Stored.objects.of_step(Step.objects.get())))
    assert [each.type for each in found] == ["step_started", "lm_call"]


async def test_a_call_that_is_told_after_its_step_has_ended_does_not_begin_it_again(
    world: World,
) -> None:
    _, state = await db(world.claimed)
    late = event(EventType.LM_CALL, "s", 1, usage=USAGE)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        for each in (started(), structs.replace(ENDS[3], step="s"), late):
            journal.append(each)
            journal.shows = True
            await journal.commit()
    assert (await db(Step.objects.get)).status == "cancelled"
