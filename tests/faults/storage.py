"""The database, the disk and the provider fail, and what deletes is killed."""

import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.utils import timezone

from pipelines import services
from runner.models import Event, Run
from tests.faults.stage import Stage
from tests.faults.world import Process, Red, runner

AWAY = 10.0
"""Seconds for which the database is gone."""


def lock_database(what: str, count: int) -> Callable[[Stage], None]:
    """Another program holds it for ten seconds."""

    def case(stage: Stage) -> None:
        stage.start(runner)
        run = stage.begin(what)
        stage.asked(count)
        with _locked(stage.world.directory / "dspex.sqlite3"):
            time.sleep(AWAY)
        stage.check(run)

    return case


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def fill_disk(stage: Stage) -> None:
    """The files of the database may not grow in this runner; the next one has room."""
    files = stage.world.directory.glob("dspex.sqlite3*")
    room = max(file.stat().st_size for file in files) + 40_000

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    first = stage.start(runner, prepare=no_room)
    runs = [stage.begin("native"), *(stage.world.run("native", f"full {i}") for i in range(20))]
    stage.world.wait("message", lambda: "Free some space" in first.said())
    first.kill()
    stage.killed()
    stage.start(runner)
    for run in runs:
        stage.check(run)


def break_connections(stage: Stage) -> None:
    """The model's connections break off in the middle of each first answer."""
    stage.start(runner)
    run = stage.begin("native", cut=True)
    stage.world.model_breaks = True
    try:
        stage.check(run)
    finally:
        stage.world.model_breaks = False


def kill_prune(stage: Stage) -> None:
    """While others run. What it had not deleted is whole, and the next one deletes it."""
    world = stage.world
    old = timezone.now() - timedelta(days=400)
    stage.start(runner)
    done = stage.check(stage.begin("native", delay=0.0))
    ids = [_copied(done, old) for _ in range(120)]
    run = stage.begin("native", delay=0.4)
    stage.asked(1)
    prune = stage.start(_prune)
    prune.kill()
    stage.killed()
    left = Run.objects.filter(pk__in=ids)
    if not left.count():
        raise Red("it was done before the kill")
    if any(world.half_written(each) for each in left):
        raise Red("a run was deleted by halves")
    stage.check(run)
    stage.start(_prune, says="Done:")
    if left.all().exists() or Event.objects.filter(run__in=ids).exists():
        raise Red("the next prune left something")


def _prune(directory: Path, says: str = "runs deleted") -> Process:
    return Process(directory, "prune", "--days", "365", says=says)


def _copied(found: Run, at: datetime) -> UUID:
    """A run that ended then, and told what this one did."""
    same = {name: getattr(found, name) for name in _SAME}
    run = Run.objects.create(**same, finished_at=at)
    for rows in (found.events, found.steps):
        copies = list(rows.all())
        for row in copies:
            row.pk, row.run = None, run
        rows.model.objects.bulk_create(copies)
    return run.pk


_SAME = ("project", "pipeline", "version", "author", "inputs", "status", "last_seq")


def delete_project(stage: Stage) -> None:
    """In the middle of a run, whose runner is killed at once: nothing of it is left, and others go on."""
    world = stage.world
    first = stage.start(runner)
    run, other = stage.begin("dspy", delay=0.5), world.run("native", "of another project")
    project = services.create_project(name="To go", user=world.user)
    Run.objects.filter(pk=run.pk).update(project=project)
    stage.asked(1)
    services.delete_project(project=project, user=world.user)
    first.signal(signal.SIGKILL)
    first.kill()
    stage.killed()
    stage.start(runner)
    stage.check(other)
    if Event.objects.filter(run=run.pk).exists() or world.kept(run.pk):
        raise Red("something of the deleted run was left")
