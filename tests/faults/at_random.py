"""Runs of all sorts go on while runners, workers and what makes workers die at random moments."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from runner.engine.events import RunStatus
from runner.models import Run, Step
from runner.models.run import FINAL
from runner.services import answer_step, decide_step
from tests.faults.forked import fork_runner
from tests.faults.world import LEASE, World
from tests.processes import children

WHAT = (
    "native",
    "map",
    "sub-pipelines",
    "loop",
    "dspy",
    "tool",
    "tool let",
    "approve",
    "http once",
)
SENDS = ("tool", "tool let", "http once")
OPEN = 8
"""Runs that are begun and have not ended."""
LONGEST = 4.0
"""Seconds of a life, at most, after the runner has begun to work."""
WHO = (("runner", "workers", "forkserver", "stopped runner"), (6.0, 3.0, 1.0, 0.5))
"""Who dies, and how often beside the others."""
IN_A_ROW = 2
"""Deaths of workers in the life of a runner: after a third one a step is to fail."""
SENT: dict[str, Any] = {
    "http once": {"status": 200, "body": "sent", "headers": {}},
    "tool": {"result": "sent"},
    "tool let": {"result": "sent"},
}


@dataclass(slots=True)
class AtRandom:
    """`problems` says what must not be."""

    world: World
    chance: random.Random
    problems: list[str] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    again: Counter[UUID] = field(default_factory=Counter)
    kept: set[str] = field(default_factory=set)
    seen: int = 0
    runner: int = 0
    in_a_row: int = 0

    def go(self, seconds: float) -> None:
        self.world.model.reset(delay=0.12)
        until = time.monotonic() + seconds
        self.runner = fork_runner()
        try:
            while time.monotonic() < until:
                self._fill()
                self._answer()
                time.sleep(self.chance.uniform(0.0, LONGEST))
                self._die()
            self._finish()
        finally:
            _end(self.runner)
        self._check()

    def _fill(self) -> None:
        begun = Run.objects.exclude(status__in=FINAL).count()
        for _ in range(self.chance.randint(0, max(0, OPEN - begun))):
            self.world.run(self.chance.choice(WHAT), f"random {self.chance.random()}")

    def _answer(self) -> None:
        """What people are asked, some of it."""
        for step in Step.objects.filter(status="waiting").exclude(run__status__in=FINAL):
            run, user = Run.objects.get(pk=step.run_id), self.world.user
            if self.chance.random() < 0.5:
                continue
            with suppress(Exception):  # its run has just been taken up
                if run.failure_code == "needs_decision":
                    decision = self.chance.choice(("happened", "again"))
                    outputs = SENT[run.pipeline.name] if decision == "happened" else None
                    decide_step(
                        run=run, user=user, path=step.path, decision=decision, outputs=outputs
                    )
                    self.again[run.pk] += decision == "again"
                elif run.status == RunStatus.WAITING:
                    answer_step(run=run, user=user, path=step.path, approved=True)

    def _die(self) -> None:
        who = self.chance.choices(*WHO)[0]
        self.in_a_row = self.in_a_row + 1 if who in ("workers", "forkserver") else 0
        if self.in_a_row > IN_A_ROW:
            who, self.in_a_row = "runner", 0
        self.deaths[who] += 1
        if who == "runner":
            self._kill_runner()
        elif who == "stopped runner":
            stopped, self.runner = self.runner, 0
            os.kill(stopped, signal.SIGSTOP)
            self._next_life()
            self.runner = fork_runner()
            time.sleep(self.chance.uniform(0.0, 2.0 * LEASE))
            os.kill(stopped, signal.SIGCONT)
            time.sleep(self.chance.uniform(0.0, 0.5))
            _end(stopped)
        else:
            with suppress(OSError):
                for forkserver in children(self.runner, "runner.bridge.forkserver")[:1]:
                    found = [forkserver] if who == "forkserver" else children(forkserver, "")
                    for pid in found:
                        os.kill(pid, signal.SIGKILL)
            self._next_life()

    def _kill_runner(self) -> None:
        _end(self.runner)
        self._next_life()
        self.runner = fork_runner()

    def _next_life(self) -> None:
        """Whoever died: none of the answers that the database has now may be asked for again."""
        asked = self.world.model.seen()
        self._look(asked)
        self.kept, self.seen = self.world.kept(), len(asked)
        self.world.model.next_life()

    def _look(self, asked: list[Any]) -> None:
        if again := {each.key for each in asked[self.seen :]} & self.kept:
            self.problems.append(f"{len(again)} answered calls were paid again")

    def _finish(self) -> None:
        def ended() -> bool:
            self._answer()
            time.sleep(0.2)
            return not Run.objects.exclude(status__in=FINAL).exists()

        try:
            self.world.wait("end of all runs", ended, seconds=90)
        except Exception as error:
            self.problems.append(str(error))
        self._look(self.world.model.seen())

    def _check(self) -> None:
        for run in Run.objects.exclude(status="succeeded").select_related("pipeline"):
            told = f"{run.failure_code} {run.failure_message} {run.failed_step}"
            self.problems.append(f"{run.pipeline.name} {run.pk}: {run.status}: {told}")
        if twice := self.world.recorded_twice():
            self.problems.append(f"{twice} results were recorded twice")
        halves = [run.pk for run in Run.objects.all() if self.world.half_written(run)]
        self.problems += [f"run {pk}: its rows and its events disagree" for pk in halves]
        may = Run.objects.filter(pipeline__name__in=SENDS).count() + sum(self.again.values())
        if (sent := self.world.model.sent()) > may:
            self.problems.append(f"it was sent {sent} times, and was to be {may} times at most")

    def told(self) -> str:
        deaths = ", ".join(f"{count} {who}" for who, count in self.deaths.items())
        runs, sent = Run.objects.count(), self.world.model.sent()
        return f"{runs} runs; died: {deaths}; {sent} sent, {sum(self.again.values())} again"


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
