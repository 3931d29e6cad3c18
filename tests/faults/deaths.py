"""Processes die: the runner, the pages, workers, what makes workers, the local model."""

import os
import signal
import time
from collections.abc import Callable

from runner.engine.events import RunStatus
from runner.models import Run
from runner.services import decide_step
from tests.faults.stage import Stage, second_call
from tests.faults.world import LEASE, Process, Red, runner, web
from tests.processes import children

IN_PAIRS = ("map", "sub-pipelines")
"""What asks twice at once: by its second call none is answered."""


def kill_runner(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        first = stage.start(runner)
        run = stage.begin(what)
        moment(stage, run)
        first.kill()
        stage.killed()
        if moment is second_call and what not in IN_PAIRS and not stage.kept:
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


def kill_again(what: str, moment: Callable[[Stage, Run], None]) -> Callable[[Stage], None]:
    """The next runner dies at the same place, and the one after it as it takes the run up."""

    def case(stage: Stage) -> None:
        run = stage.begin(what, delay=0.4)
        for place in (moment, again, taken_up):
            stage.epoch = Run.objects.get(pk=run.pk).epoch
            host = stage.start(runner)
            place(stage, run)
            host.kill()
            stage.killed()
        stage.start(runner)
        stage.check(run)

    return case


def again(stage: Stage, run: Run) -> None:
    """It has asked anew for what was under way."""
    stage.world.wait("request of this life", lambda: len(stage.model.seen()) > stage.before)


def taken_up(stage: Stage, run: Run) -> None:
    rows = Run.objects.filter(pk=run.pk, epoch__gt=stage.epoch)
    stage.world.wait("next owner", rows.exists)


def kill_worker(what: str, delay: float = 0.5) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        host = stage.start(runner)
        run = stage.begin(what, delay=delay)
        stage.asked(2)
        stage.kept, stage.before = stage.world.kept(), len(stage.model.seen())
        kill_workers(host)
        stage.model.next_life()
        stage.check(run)

    return case


def kill_worker_once(stage: Stage) -> None:
    host = stage.start(runner)
    run = stage.begin("dspy once", delay=0.5)
    stage.asked(1)
    kill_workers(host)
    stage.model.next_life()
    suspended = stage.check(run, RunStatus.SUSPENDED)
    decide_step(run=suspended, user=stage.world.user, path="s0", decision="again")
    stage.check(run)


def kill_best_of_n(stage: Stage) -> None:
    """Its candidates ask the same, so the model can't tell them apart: their number says it."""
    first = stage.start(runner)
    run = stage.begin("best of n", delay=0.5)
    stage.asked(2)
    first.kill()
    stage.start(runner)
    stage.world.check_whole(run)
    if (asked := len(stage.model.seen())) != 3:
        raise Red(f"the model was asked {asked} times, and was to be for 2 candidates and 1 kill")


def kill_forkserver(stage: Stage) -> None:
    """And with it its workers."""
    host = stage.start(runner)
    run = stage.begin("dspy", delay=0.5)
    stage.asked(2)
    stage.kept, stage.before = stage.world.kept(), len(stage.model.seen())
    os.kill(forkserver_of(host), signal.SIGKILL)
    stage.model.next_life()
    stage.check(run)


def kill_spares(stage: Stage) -> None:
    """The workers that stand ready, before anything needs them."""
    host = stage.start(runner)
    stage.check(stage.begin("dspy"))
    stage.world.wait("spare worker", lambda: children(forkserver_of(host), ""))
    kill_workers(host)
    stage.check(stage.begin("dspy"))


def forkserver_of(host: Process) -> int:
    return children(host.pid, "runner.bridge.forkserver")[0]


def kill_workers(host: Process) -> None:
    """Those that the forkserver has made, not itself."""
    workers = children(forkserver_of(host), "")
    if not workers:
        raise Red("there is no worker to kill")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def kill_local_model(stage: Stage) -> None:
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
