"""Who gets which worker, and how many are started."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from runner.bridge.leases import PoolSettings, needed, worker_for
from runner.bridge.proxy import Figures, WorkerState


@dataclass
class Worker:
    """As much of a worker as the decisions look at."""

    run_id: str = ""
    state: WorkerState = WorkerState.IDLE
    figures: Figures = field(default_factory=Figures)

    @property
    def is_free(self) -> bool:
        return self.state is WorkerState.IDLE

    @property
    def is_spare(self) -> bool:
        return self.is_free and not self.run_id


BUSY, STARTING, STOPPING = WorkerState.BUSY, WorkerState.STARTING, WorkerState.STOPPING


def choose(run_id: str, workers: list[Any], per_run: int = 2) -> Any:
    return worker_for(run_id, workers, per_run)


def test_run_s_own_free_worker_comes_first() -> None:
    spare, own = Worker(), Worker("a")
    assert choose("a", [spare, own]) is own
    assert choose("b", [spare, own]) is spare


def test_busy_workers_and_those_of_other_runs_are_not_given() -> None:
    assert choose("a", [Worker("a", BUSY), Worker("b"), Worker(state=STARTING)]) is None


def test_run_gets_no_more_than_it_may_hold() -> None:
    workers = [Worker("a", BUSY), Worker("a", BUSY), Worker()]
    assert choose("a", workers, per_run=2) is None
    assert choose("a", workers, per_run=3) is workers[2]


@pytest.mark.parametrize(
    ("waiting", "workers", "start"),
    [
        ([], [], 1),  # the spare
        (["a"], [], 2),
        (["a"], [Worker(state=STARTING)], 1),
        (["a", "a", "a"], [], 3),  # two a run, and the spare
        (["a"], [Worker("a", BUSY), Worker("a", BUSY)], 1),  # may have no more; the spare
        (["a", "b", "c", "d", "e"], [], 4),  # the size
        ([], [Worker("x", BUSY)] * 4, 0),
    ],
)
def test_workers_are_started_for_who_waits_and_as_spares(
    waiting: list[str], workers: list[Any], start: int
) -> None:
    settings = PoolSettings(size=4, spares=1, per_run=2)
    assert needed(waiting, workers, settings).start == start


def test_longest_resting_worker_is_taken_back_when_there_is_no_room() -> None:
    workers: Any = [Worker("a"), Worker("b"), Worker("c", BUSY)]
    workers[0].figures.used, workers[1].figures.used = 20.0, 10.0
    settings = PoolSettings(size=3, spares=0)
    assert needed(["d"], workers, settings).take_back is workers[1]
    assert needed([], workers, settings).take_back is None


def test_one_worker_is_taken_back_for_one_that_waits() -> None:
    workers: Any = [Worker("a"), Worker("b", STOPPING)]
    assert needed(["d"], workers, PoolSettings(size=2, spares=0)).take_back is None
