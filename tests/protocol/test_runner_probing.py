"""An outage suspends runs; when the provider is back they go on by themselves."""

from typing import Any
from uuid import UUID

from runner.dispatcher.probing import FIRST, Probing
from runner.models import ReplayAnswer, Run
from runner.recorder import DatabaseThread
from tests.runner_world import World, db

pytest_plugins = ["tests.runner_fixtures"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def suspended(world: World, code: str = "exhausted") -> Run:
    return world.run(status="suspended", failure_code=code, failed_step="s0")


async def statuses(*runs: Run) -> list[str]:
    def read() -> list[str]:
        found = dict(Run.objects.values_list("pk", "status"))
        return [found[run.pk] for run in runs]

    return await db(read)


async def test_one_probes_and_when_it_is_answered_all_go_on(world: World) -> None:
    runs = [await db(suspended, world) for _ in range(3)]
    other = await db(suspended, world, "auth")
    clock, thread = Clock(), DatabaseThread("probing")
    thread.start()
    probing = Probing(thread, clock)
    await probing.look()
    assert await statuses(*runs) == ["suspended"] * 3
    clock.now = FIRST
    await probing.look()
    assert await statuses(*runs) == ["queued", "suspended", "suspended"]
    await probing.look()  # nothing is known of it yet
    assert await statuses(*runs) == ["queued", "suspended", "suspended"]
    await db(lambda: ReplayAnswer.objects.create(run=runs[0], key="a", value="{}"))
    await probing.look()
    assert await statuses(*runs, other) == ["queued", "queued", "queued", "suspended"]
    await thread.aclose()


async def test_a_probe_that_is_suspended_again_doubles_the_wait(world: World) -> None:
    run = await db(suspended, world)
    clock, thread = Clock(), DatabaseThread("probing")
    thread.start()
    probing = Probing(thread, clock)
    await probing.look()

    async def probed(pk: UUID, **fields: Any) -> None:
        await db(lambda: Run.objects.filter(pk=pk).update(**fields))

    clock.now = FIRST
    await probing.look()
    assert await statuses(run) == ["queued"]
    await probed(run.pk, status="suspended", failure_code="exhausted")
    await probing.look()
    clock.now += FIRST * 1.5
    await probing.look()
    assert await statuses(run) == ["suspended"]
    clock.now += FIRST
    await probing.look()
    assert await statuses(run) == ["queued"]
    await thread.aclose()
