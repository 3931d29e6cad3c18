"""200 kills at random moments over 200 runs: what is lost, recorded twice, or paid twice.

A real runner executes real runs against a model on loopback that counts its requests, and is killed with
SIGKILL again and again: while it starts, claims, calls, streams, records, or does nothing. Runners are
forked from this process, which has everything loaded, so that a life begins within some hundred
milliseconds. After each kill the database says which answers it has: none of them may be asked for again.
"""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Report
from benchmarks.server import database
from tests.faults.model import Model, model

if TYPE_CHECKING:  # Django has to be set up before
    from tests.faults.world import World

RUNS = 200
KILLS = 200
LONGEST = 0.5
WORKS = 3.0
"""Seconds between a runner's first request, or its start, and its kill, and until that request, at most."""
AT_ONCE = 5
"""Of so many runners, one is killed after its start, whatever it does by then."""
SEED = 5
WHAT = ("native", "map", "native", "native")


def run(report: Report) -> None:
    with model() as counting, database():
        from runner.models import Run
        from tests.faults.world import World

        world = World(Path(os.environ["DSPEX_DATA_DIR"]), counting)
        counting.reset(delay=0.08)
        paid_twice = _kill(world, counting)
        _finish(world)
        report("kills", KILLS, "kills")
        report("kills_lost", Run.objects.exclude(status="succeeded").count(), "lost")
        report("kills_recorded_twice", world.recorded_twice(), "lost")
        report("kills_paid_twice", paid_twice, "calls")
        report("kills_repeated_in_a_life", _repeated(counting), "calls")
        calls = counting.seen()
        report("kills_calls_in_flight", len(calls) - len({each.key for each in calls}), "calls")


def _kill(world: "World", counting: Model) -> int:
    """Answered calls that were asked for again."""
    from tests.faults.forked import fork_runner
    from tests.faults.world import Red

    chance = random.Random(SEED)
    kept: set[str] = set()
    paid_twice = seen = found = 0
    for number in range(KILLS):
        if number < RUNS:
            world.run(WHAT[number % len(WHAT)], f"run {number}")
        pid = fork_runner()
        if number % AT_ONCE:
            with suppress(Red):  # it may have nothing left to ask
                world.wait("request", lambda: len(counting.seen()) > seen, seconds=WORKS)  # noqa: B023
        time.sleep(chance.uniform(0.0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        asked = counting.seen()
        paid_twice += len({each.key for each in asked[seen:]} & kept)
        kept, seen = world.kept(), len(asked)
        found += len(kept)
        counting.next_life()
    assert found, "No kill met an answer that was kept: nothing was tried."
    return paid_twice


def _finish(world: "World") -> None:
    """The last life goes on until everything has ended."""
    from runner.models import Run
    from runner.models.run import FINAL
    from tests.faults.forked import fork_runner

    pid = fork_runner()
    try:
        world.wait("end of all runs", lambda: not Run.objects.exclude(status__in=FINAL).exists())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _repeated(counting: Model) -> int:
    """Requests that came more than once in one life: a kill explains none of these."""
    calls = Counter((each.key, each.life) for each in counting.seen())
    return sum(count - 1 for count in calls.values())
