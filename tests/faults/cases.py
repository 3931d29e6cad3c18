"""The kill matrix: who dies, when, and what was running. Each case leaves the same end as a run that nothing
happened to, no result twice, and nothing paid twice that the database had."""

import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from runner.engine.events import RunStatus
from runner.models import Event, Run
from runner.services import answer_step, cancel_run, decide_step
from tests.faults.world import LEASE, Process, Red, World, children, runner, web

AWAY = 10.0
"""Seconds for which the database is gone."""
CANCELLED = 1.0
"""Seconds until a run that was stopped says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`try_` raises Red, or returns what is to be shown beside the case."""

    who: str
    what: str
    when: str
    try_: Callable[["Stage"], None]
    quick: bool = False


class Stage:
    """One case at work: the processes that it started are gone when it is over."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.model = world.model
        self.processes: list[Process] = []
        self.kept: set[str] = set()
        self.before = 0

    def start(self, make: Callable[..., Process], *arguments: str, **options: Any) -> Process:
        process = make(self.world.directory, *arguments, **options)
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.end()

    def begin(self, what: str, **behaviour: Any) -> Run:
        self.model.reset(**behaviour)
        return self.world.run(what, self.name)

    # Moments

    def asked(self, count: int) -> None:
        """The model has been asked so many times, and answers the last of them."""
        self.world.wait(f"request {count}", lambda: len(self.model.seen()) >= count)
        time.sleep(0.03)

    def sent(self) -> None:
        self.world.wait("request to the site", self.model.sent)
        time.sleep(0.03)

    def recorded(self, run: Run, step: str) -> None:
        rows = Event.objects.filter(run=run, type="step_succeeded", step=step)
        self.world.wait(f"end of {step}", rows.exists)

    def killed(self) -> None:
        """Right after somebody died: what the database has is paid for, and a new life begins."""
        self.kept = self.world.kept()
        self.before = len(self.model.seen())
        self.model.next_life()

    # What must be

    def check(self, run: Run, *statuses: RunStatus) -> Run:
        found = self.world.ended(run, *statuses)
        if not statuses and found.status != "succeeded":
            raise Red(f"it {found.status}: {found.failure_message or found.failure_code}")
        if twice := self.world.recorded_twice():
            raise Red(f"{twice} results were recorded twice")
        if self.world.half_written(run):
            raise Red("its rows and its events disagree")
        self.check_paid()
        return found

    def check_paid(self) -> None:
        seen = self.model.seen()
        again = {asked.key for asked in seen[self.before :]} & self.kept
        if again:
            raise Red(f"{len(again)} answered calls were paid again")
        calls = [(asked.key, asked.life) for asked in seen]
        if len(calls) != len(set(calls)) and not self.world.model_breaks:
            raise Red("a call was made twice in one life")


# Who dies


def kill_runner(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        first = stage.start(runner)
        run = stage.begin(what)
        moment(stage, run)
        first.kill()
        stage.killed()
        if moment is second_call and what != "map" and not stage.kept:
            raise Red("the database has no answer, though one was given")
        stage.start(runner)
        stage.check(run)

    return case


def kill_whole(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    """`manage.py up`, which serves pages and executes runs."""

    def case(stage: Stage) -> None:
        first = stage.start(web)
        run = stage.begin(what)
        moment(stage, run)
        first.kill()
        stage.killed()
        stage.start(web)
        stage.check(run)

    return case


def kill_web(stage: Stage) -> None:
    pages = stage.start(web, "--no-runner")
    stage.start(runner)
    run = stage.begin("native")
    stage.asked(1)
    pages.kill()
    stage.check(run)
    stage.start(web, "--no-runner")


def kill_worker(stage: Stage) -> None:
    host = stage.start(runner)
    run = stage.begin("dspy", delay=0.5)
    stage.asked(2)
    stage.kept, stage.before = stage.world.kept(), len(stage.model.seen())
    _kill_workers(host)
    stage.model.next_life()
    stage.check(run)


def kill_worker_once(stage: Stage) -> None:
    host = stage.start(runner)
    run = stage.begin("dspy once", delay=0.5)
    stage.asked(1)
    _kill_workers(host)
    stage.model.next_life()
    suspended = stage.check(run, RunStatus.SUSPENDED)
    _decide(stage, suspended, "again", "s0")
    stage.check(run)


def _kill_workers(host: Process) -> None:
    """Those that the forkserver has made, not itself."""
    import os

    (forkserver,) = children(host.pid, "runner.bridge.forkserver")[:1]
    workers = children(forkserver, "")
    if not workers:
        raise Red("there is no worker to kill")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def kill_local_model(stage: Stage) -> None:
    import os

    host = stage.start(runner)
    run = stage.begin("local")
    found = stage.world.wait("local model", lambda: children(host.pid, "runner.lm.local_server"))
    time.sleep(0.4)  # on a quick machine it writes by now, on a slow one it loads
    if stage.world.status(run) == "succeeded":
        raise Red("the local model was quicker than the kill")
    os.kill(found[0], signal.SIGKILL)
    stage.check(run)


def stop_runner(stage: Stage) -> None:
    """Longer than its lease: another one takes the run, and the first wakes up too late."""
    first, run = stage.start(runner), stage.begin("native", delay=0.4)
    stage.asked(1)
    first.signal(signal.SIGSTOP)
    stage.killed()
    stage.start(runner)
    stage.world.wait("second owner", lambda: Run.objects.get(pk=run.pk).epoch == 2, LEASE * 5.0)
    stage.model.next_life()
    first.signal(signal.SIGCONT)
    stage.check(run)


def stop_politely(stage: Stage) -> None:
    first, run = stage.start(runner), stage.begin("native", delay=0.4)
    stage.asked(2)
    first.end()
    if first.process.returncode:
        raise Red(f"it ended with {first.process.returncode}")
    stage.killed()
    stage.start(runner)
    stage.check(run)


# Side effects


def kill_in_request(decision: str) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        first = stage.start(runner)
        run = stage.begin("http once", delay=0.5)
        stage.sent()
        first.kill()
        stage.killed()
        stage.start(runner)
        suspended = stage.check(run, RunStatus.SUSPENDED)
        if (suspended.failure_code, suspended.failed_step) != ("needs_decision", "send"):
            raise Red(f"it is suspended for {suspended.failure_code}")
        if stage.model.sent() != 1:
            raise Red(f"it was sent {stage.model.sent()} times before anybody decided")
        _decide(stage, suspended, decision, "send")
        status = [RunStatus.FAILED] if decision == "failed" else []
        stage.check(run, *status)
        wanted = 2 if decision == "again" else 1
        if stage.model.sent() != wanted:
            raise Red(f"it was sent {stage.model.sent()} times")

    return case


def _decide(stage: Stage, run: Run, decision: Any, path: str) -> None:
    outputs = {"status": 200, "body": "sent", "headers": {}} if decision == "happened" else None
    user = stage.world.user
    decide_step(run=run, user=user, path=path, decision=decision, outputs=outputs)


def kill_while_waiting(stage: Stage) -> None:
    first, run = stage.start(runner), stage.begin("approve")
    stage.world.ended(run, RunStatus.WAITING)
    first.kill()
    stage.killed()
    stage.start(runner)
    answer_step(run=run, user=stage.world.user, path="ask", approved=True)
    stage.check(run)


# Database and disk


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


# Stopping


def cancel(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        stage.start(runner)
        run = stage.begin(what, delay=2.0)
        moment(stage, run)
        cancel_run(run=run, user=stage.world.user)
        began = time.monotonic()
        stage.world.ended(run, RunStatus.CANCELLED, seconds=CANCELLED)
        took = time.monotonic() - began
        if took > CANCELLED:
            raise Red(f"it took {took:.1f} s")
        time.sleep(2.5)
        if any(asked.answered for asked in stage.model.seen()):
            raise Red("a connection stayed open until its answer")

    return case


def pass_deadline(stage: Stage) -> None:
    stage.start(runner)
    run = stage.begin("map", delay=2.0)
    deadline = timezone.now() + timedelta(seconds=1.5)
    Run.objects.filter(pk=run.pk, status="queued").update(deadline_at=deadline)
    run = stage.world.ended(run, RunStatus.FAILED)
    if run.finished_at is None or run.finished_at - deadline > timedelta(seconds=CANCELLED):
        raise Red(f"it ended at {run.finished_at}, and was to at {deadline}")
    if "deadline" not in run.failure_message:
        raise Red(f"its reason is {run.failure_message}")
    time.sleep(2.5)
    if any(asked.answered for asked in stage.model.seen()):
        raise Red("a connection stayed open until its answer")


def first_call(stage: Stage, run: Run) -> None:
    stage.asked(1)


def second_call(stage: Stage, run: Run) -> None:
    stage.asked(2)


def between(stage: Stage, run: Run) -> None:
    stage.recorded(run, "s0")


def queued(stage: Stage, run: Run) -> None:
    """At once."""


CASES = (
    Case(
        who="runner",
        what="native step",
        when="as it is claimed",
        try_=kill_runner("native", queued),
    ),
    Case(
        who="runner",
        what="native step",
        when="in its 1st call",
        try_=kill_runner("native", first_call),
    ),
    Case(
        who="runner",
        what="native step",
        when="in its 2nd call",
        try_=kill_runner("native", second_call),
        quick=True,
    ),
    Case(
        who="runner", what="native step", when="as one ended", try_=kill_runner("native", between)
    ),
    Case(
        who="runner", what="DSPy step", when="in its 1st call", try_=kill_runner("dspy", first_call)
    ),
    Case(
        who="runner",
        what="DSPy step",
        when="in its 2nd call",
        try_=kill_runner("dspy", second_call),
    ),
    Case(who="runner", what="map", when="in its 2nd item", try_=kill_runner("map", second_call)),
    Case(who="runner", what="approve", when="while it waits", try_=kill_while_waiting),
    Case(
        who="runner",
        what="http_request, never",
        when="in it; it happened",
        try_=kill_in_request("happened"),
        quick=True,
    ),
    Case(
        who="runner", what="http_request, never", when="in it; again", try_=kill_in_request("again")
    ),
    Case(
        who="runner",
        what="http_request, never",
        when="in it; failed",
        try_=kill_in_request("failed"),
    ),
    Case(
        who="runner, stopped",
        what="native step",
        when="in its 1st call",
        try_=stop_runner,
        quick=True,
    ),
    Case(who="runner, SIGTERM", what="native step", when="in its 2nd call", try_=stop_politely),
    Case(
        who="web and runner",
        what="native step",
        when="in its 2nd call",
        try_=kill_whole("native", second_call),
    ),
    Case(
        who="web and runner",
        what="DSPy step",
        when="in its 1st call",
        try_=kill_whole("dspy", first_call),
    ),
    Case(who="web", what="native step", when="in its 1st call", try_=kill_web),
    Case(who="worker", what="DSPy step", when="in its 2nd call", try_=kill_worker, quick=True),
    Case(who="worker", what="DSPy step, never", when="in its 1st call", try_=kill_worker_once),
    Case(
        who="local model",
        what="local-model step",
        when="as it loads or writes",
        try_=kill_local_model,
    ),
    Case(
        who="database, 10 s",
        what="native step",
        when="in its 2nd call",
        try_=lock_database("native", 2),
    ),
    Case(who="database, 10 s", what="map", when="in its 2nd item", try_=lock_database("map", 2)),
    Case(who="disk full", what="native steps", when="as they are recorded", try_=fill_disk),
    Case(who="provider cuts", what="native step", when="in each answer", try_=break_connections),
    Case(
        who="a person stops",
        what="native step",
        when="in its 1st call",
        try_=cancel("native", first_call),
    ),
    Case(
        who="a person stops",
        what="DSPy step",
        when="in its 1st call",
        try_=cancel("dspy", first_call),
    ),
    Case(who="a person stops", what="map", when="in its 2nd item", try_=cancel("map", second_call)),
    Case(who="a deadline", what="map", when="in its 1st items", try_=pass_deadline),
)
