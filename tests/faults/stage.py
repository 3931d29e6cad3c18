"""One case of the kill matrix at work: its moments, and what must be in its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.engine.events import RunStatus
from runner.models import Event, Run
from tests.faults.world import Process, Red, World


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
        self.epoch = 0

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
        found = self.world.check_whole(run, *statuses)
        self.check_paid()
        return found

    def check_sent(self, times: int) -> None:
        if self.model.sent() != times:
            raise Red(f"it was sent {self.model.sent()} times, and was to be {times} times")

    def check_doubt(self, run: Run, path: str) -> Run:
        """It is suspended until somebody decides about this step, which nobody repeated."""
        suspended = self.check(run, RunStatus.SUSPENDED)
        if (suspended.failure_code, suspended.failed_step) != ("needs_decision", path):
            raise Red(f"it is suspended for {suspended.failure_code}, {suspended.failed_step}")
        return suspended

    def check_paid(self) -> None:
        seen = self.model.seen()
        again = {asked.key for asked in seen[self.before :]} & self.kept
        if again:
            raise Red(f"{len(again)} answered calls were paid again")
        calls = [(asked.key, asked.life) for asked in seen if asked.key != "send"]
        if len(calls) != len(set(calls)) and not self.world.model_breaks:
            raise Red("a call was made twice in one life")


def first_call(stage: Stage, run: Run) -> None:
    stage.asked(1)


def second_call(stage: Stage, run: Run) -> None:
    stage.asked(2)


def between(stage: Stage, run: Run) -> None:
    stage.recorded(run, "s0")


def queued(stage: Stage, run: Run) -> None:
    """At once."""
