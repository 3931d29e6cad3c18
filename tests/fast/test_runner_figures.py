"""The router's figures in the database, and what people tell the router."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from pipelines.models import LMProfile
from pipelines.models.errors import InvalidInput
from pipelines.permissions import NotAllowed
from runner import services
from runner.bridge.messages import ModuleInfo, Ready
from runner.dispatcher.assignments import assignment_of
from runner.dispatcher.dispatcher import DispatcherSettings
from runner.dispatcher.runner import Runner
from runner.engine.figures import FAILURES_TO_OPEN, Outcome, Subject
from runner.host import HostSettings
from runner.models import AllowedTool, DSPyModule, RouterChange, RouterSubject, RunnerSettings
from runner.recorder import DatabaseFigures, DatabaseThread
from tests.graphs import chain
from tests.runner_world import World, db, ended

pytest_plugins = ["tests.runner_fixtures"]


@pytest.fixture
async def thread() -> AsyncIterator[DatabaseThread]:
    thread = DatabaseThread("figures")
    thread.start()
    yield thread
    await thread.aclose()


def subject_of(world: World, **parts: str) -> Subject:
    return Subject(
        world.project.pk.hex, **{"kind": "predict", "signature": "a -> b", "lm": "m", **parts}
    )


def took(seconds: float = 0.1, **parts: Any) -> Outcome:
    return Outcome(seconds=seconds, at=1_000.0, **parts)


async def test_figures_survive_a_restart(world: World, thread: DatabaseThread) -> None:
    about = subject_of(world)
    before = DatabaseFigures(thread)
    for _ in range(FAILURES_TO_OPEN):
        before.add(about, "dspy", took(0.2, failed=True))
    before.add(about, "native", took(0.4, cost=0.01))
    await before.sync()
    after = DatabaseFigures(thread)
    await after.sync()
    known = after.entry(about)
    assert known.figures == before.entry(about).figures
    assert known.of("native").seconds == 0.4 and known.of("native").total_cost == 0.01
    assert known.of("dspy").breaker(1_000.0) == "open"


async def test_two_runners_add_to_the_same_figures(world: World, thread: DatabaseThread) -> None:
    about, one, other = subject_of(world), DatabaseFigures(thread), DatabaseFigures(thread)
    for store, seconds in ((one, 0.1), (other, 0.3)):
        await store.sync()
        store.add(about, "native", took(seconds))
    await one.sync()
    await other.sync()
    await one.sync()
    for store in (one, other):
        assert store.entry(about).of("native").calls == 2
        assert store.entry(about).of("native").seconds == pytest.approx(0.2)


async def test_what_happens_while_figures_are_written_is_kept(
    world: World, thread: DatabaseThread
) -> None:
    about, store = subject_of(world), DatabaseFigures(thread)
    store.add(about, "native", took())
    exchange = store._exchange

    def slowly(told: Any) -> Any:
        store.add(about, "native", took(0.3))  # the loop goes on meanwhile
        return exchange(told)

    store._exchange = slowly  # type: ignore[method-assign]
    await store.sync()
    assert store.entry(about).of("native").calls == 2
    store._exchange = exchange  # type: ignore[method-assign]
    await store.sync()
    assert (await db(RouterSubject.objects.get)).figures("native").calls == 2


async def test_a_pin_reaches_the_runner(world: World, thread: DatabaseThread) -> None:
    about, store = subject_of(world), DatabaseFigures(thread)
    store.add(about, "native", took())
    await store.sync()
    row = await db(RouterSubject.objects.get)
    owner = await db(world.person, "owner")
    await db(services.pin_backend, subject=row, user=owner, backend="dspy")
    await store.sync()
    assert store.entry(about).pin == "dspy"
    await db(services.reset_figures, subject=row, user=owner)
    await store.sync()
    assert store.entry(about).of("native").calls == 0 and store.entry(about).pin == "dspy"


async def test_a_project_that_is_gone_keeps_nothing(world: World, thread: DatabaseThread) -> None:
    store = DatabaseFigures(thread)
    store.add(Subject("0" * 32, "predict", "a -> b", "m"), "native", took())
    store.add(subject_of(world), "native", took())
    await store.sync()
    assert await db(RouterSubject.objects.count) == 1


def measured(world: World) -> RouterSubject:
    about = subject_of(world)
    services.router.keep_figures(told=[(about, "native", took())], now=timezone.now())
    return RouterSubject.objects.get()


@pytest.mark.parametrize("name", ["editor", "viewer", "outsider"])
def test_only_an_owner_pins_and_resets(world: World, name: str) -> None:
    row, person = measured(world), world.person(name)
    with pytest.raises(NotAllowed):
        services.pin_backend(subject=row, user=person, backend="dspy")
    with pytest.raises(NotAllowed):
        services.reset_figures(subject=row, user=person)
    assert not RouterChange.objects.exists()


def test_a_pin_is_recorded_once_with_its_person(world: World) -> None:
    row, owner = measured(world), world.person("owner")
    services.pin_backend(subject=row, user=owner, backend="dspy")
    services.pin_backend(subject=row, user=owner, backend="dspy")
    services.pin_backend(subject=row, user=owner, backend="")
    assert [(each.did, each.author) for each in RouterChange.objects.order_by("pk")] == [
        ("pinned to dspy", owner),
        ("left to the router", owner),
    ]


def test_what_is_no_backend_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="'both' is no backend"):
        services.pin_backend(subject=measured(world), user=world.person("owner"), backend="both")


def test_the_settings_of_the_installation_are_an_administrator_s(world: World) -> None:
    owner = world.person("owner")
    with pytest.raises(NotAllowed):
        services.save_runner_settings(user=owner, run_code=True)
    assert not RunnerSettings.current().run_code
    owner.is_superuser = True
    owner.save()
    services.save_runner_settings(user=owner, run_code=True, prefer_native=False)
    assert RunnerSettings.current().run_code
    assert not RunnerSettings.current().router.prefer_native
    assert {str(each) for each in RouterChange.objects.all()} == {
        "run_code: turned on",
        "prefer_native: turned off",
    }


def test_modules_are_noted_as_the_workers_have_them(world: World) -> None:
    old = Ready(
        protocol=1, format="json", modules=(ModuleInfo(name="Old"), ModuleInfo(name="Predict"))
    )
    new = Ready(
        protocol=1,
        format="json",
        versions={"dspy": "9.9"},
        modules=(ModuleInfo(name="Predict", doc="Asks.", takes=("signature",)),),
    )
    for ready in (old, new):
        services.note_modules(ready=ready)
    (module,) = DSPyModule.objects.all()
    assert (module.name, module.doc, module.version) == ("Predict", "Asks.", "9.9")


def test_a_run_gets_what_administrators_allow_now(world: World) -> None:
    run = world.run()
    assert (assignment_of(run).tools, assignment_of(run).run_code) == (frozenset(), False)
    AllowedTool.objects.create(pipeline=run.pipeline, name="send")
    RunnerSettings(pk=1, run_code=True, prefer_native=False).save()
    assigned = assignment_of(run)
    assert (assigned.tools, assigned.run_code) == ({"send"}, True)
    assert not assigned.names.router.prefer_native


async def test_what_a_run_measured_is_kept_for_its_project(world: World, tmp_path: Path) -> None:
    settings = {"answers": ["[[ ## y ## ]]\nx\n\n[[ ## completed ## ]]"]}
    await db(
        LMProfile.objects.create,
        project=world.project, name="fast", adapter="scripted", settings=settings, is_default=True,
    )  # fmt: skip
    run = await db(world.run, chain(1))
    runner = Runner(
        host=HostSettings(cache_directory=tmp_path), dispatcher=DispatcherSettings(poll=0.01)
    )
    runner.start()
    try:
        run = await ended(run)
    finally:
        await runner.stop()
    assert run.status == "succeeded", run.failure_message
    row = await db(RouterSubject.objects.get)
    assert (row.kind, row.signature, row.lm) == ("predict", "x -> y", "fast")
    assert (row.project_id, row.figures("native").calls) == (world.project.pk, 1)
    step = await db(run.steps.get)
    assert step.reason == "native: both can, and native is preferred"
