"""Who gets which worker, and how many are started."""

from typing import Any

import pytest

from runner.bridge.leases import needed, shared_worker_for, surplus, worker_for
from runner.bridge.places import Place, Places, WorkerState
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.waiting import Waiter


def Worker(  # noqa: N802 (as the class that it makes a part of)
    run_id: str = "", state: WorkerState = WorkerState.IDLE, *, number: int = 0, threads: int = 1
) -> Any:
    """As much of a worker as the decisions look at; a busy one has one step, of the run that it is for."""
    worker = Places(number, threads)
    worker.state, worker.run_id = state, run_id
    if state is WorkerState.BUSY:
        worker.at_work.append(Place(run_id=run_id))
    return worker


BUSY, STARTING, STOPPING = WorkerState.BUSY, WorkerState.STARTING, WorkerState.STOPPING


def waiters(*runs: str, **more: Any) -> list[Waiter]:
    return [Waiter(run_id=run, **more) for run in runs]


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
    assert needed(waiters(*waiting), workers, settings).start == start


def test_longest_resting_worker_is_taken_back_when_there_is_no_room() -> None:
    workers: Any = [Worker("a"), Worker("b"), Worker("c", BUSY)]
    workers[0].figures.used, workers[1].figures.used = 20.0, 10.0
    settings = PoolSettings(size=3, spares=0)
    assert needed(waiters("d"), workers, settings).take_back is workers[1]
    assert needed([], workers, settings).take_back is None


def test_one_worker_is_taken_back_for_one_that_waits() -> None:
    workers: Any = [Worker("a"), Worker("b", STOPPING)]
    assert needed(waiters("d"), workers, PoolSettings(size=2, spares=0)).take_back is None


def share(workers: list[Any], per_run: int = 4, **waiter: Any) -> Any:
    return shared_worker_for(Waiter(run_id="a", **waiter), workers, per_run)


def test_shared_worker_is_that_of_the_session_else_the_one_used_last() -> None:
    workers: Any = [Worker(number=1), Worker(number=2), Worker(number=3)]
    workers[1].figures.used = 5.0
    assert share(workers, bound=3) is workers[2]
    assert share(workers) is workers[1]
    workers[2].lease(Place(run_id="b"))
    assert share(workers, bound=3) is workers[1]


def test_strict_session_has_its_own_worker_or_none() -> None:
    workers: Any = [Worker(number=1), Worker(number=2)]
    assert share(workers, bound=2, strict=True) is workers[1]
    workers[1].lease(Place(run_id="b"))
    assert share(workers, bound=2, strict=True) is None


def test_step_that_crashed_a_worker_gets_one_that_nobody_used() -> None:
    workers: Any = [Worker(number=1), Worker(number=2)]
    workers[0].figures.calls = 3
    assert share(workers, fresh=True) is workers[1]
    assert share(workers[:1], fresh=True) is None


def test_run_shares_no_more_workers_than_it_may_hold() -> None:
    assert share([Worker("a", BUSY), Worker()], per_run=1) is None


def test_used_worker_makes_room_for_one_that_nobody_used() -> None:
    workers: Any = [Worker(number=1)]
    workers[0].figures.calls = 3
    settings = PoolSettings(size=1, spares=0, reuse=True)
    assert needed(waiters("a", fresh=True), workers, settings).take_back is workers[0]
    assert needed(waiters("a"), workers, settings).take_back is None


def test_busy_worker_makes_room_too_and_one_is_enough() -> None:
    """Else a step that needs a new worker would wait for ever while others keep all at work."""
    workers: Any = [Worker("b", BUSY, number=1), Worker("c", BUSY, number=2)]
    settings = PoolSettings(size=2, spares=0, reuse=True)
    waiting = [*waiters("a", fresh=True), *waiters("d", "e")]
    taken = needed(waiting, workers, settings).take_back
    assert taken in workers
    taken.retire("for a step of its own")
    assert needed(waiting, workers, settings).take_back is None


THREADS = PoolSettings(size=2, spares=0, reuse=True, threads=3, per_run=1)


def filled(*runs: str) -> Any:
    worker = Worker(number=1, threads=3)
    for run in runs:
        worker.lease(Place(run_id=run))
    return worker


def test_step_gets_a_place_in_the_worker_with_the_least_to_do() -> None:
    workers = [filled("x", "y"), filled("x"), filled("x", "y", "z")]
    assert share(workers) is workers[1]
    assert share(workers[2:]) is None


def test_further_worker_is_started_when_the_places_do_not_do() -> None:
    assert needed(waiters(*"abc"), [], THREADS).start == 1
    assert needed(waiters(*"abcd"), [], THREADS).start == 2
    assert needed(waiters(*"ab"), [filled("x")], THREADS).start == 0
    assert needed(waiters(*"abc"), [filled("x")], THREADS).start == 1
    assert needed(waiters(*"abcdefgh"), [filled("x")], THREADS).start == 1  # the size


def test_run_has_the_places_of_as_many_workers_as_it_may_have() -> None:
    assert share([filled("a", "a", "b")], per_run=THREADS.places_per_run) is None  # it is full
    workers = [filled("a", "a", "b"), filled()]
    assert share(workers, per_run=THREADS.places_per_run) is workers[1]
    workers[1].lease(Place(run_id="a"))
    assert share(workers, per_run=THREADS.places_per_run) is None
    assert needed(waiters("a", "a"), workers, THREADS).start == 0


def test_step_that_crashed_a_worker_shares_none() -> None:
    assert share([filled("x")], fresh=True) is None
    assert needed(waiters("a", fresh=True), [filled("x")], THREADS).start == 1
    workers = [filled("x", "y"), filled("x")]
    assert needed(waiters("a", fresh=True), workers, THREADS).take_back is workers[1]


def test_worker_is_lent_no_more_than_it_has_places() -> None:
    worker = filled("x", "y", "z")
    assert not worker.is_free and worker.room == 0
    with pytest.raises(AssertionError, match="3 of 3 places"):
        worker.lease(Place(run_id="a"))
    worker.rest(worker.at_work[1], now=7.0)
    assert worker.room == 1 and worker.state is BUSY and worker.holders == ["x", "z"]


def test_who_waits_for_a_worker_of_its_own_needs_no_other() -> None:
    settings = PoolSettings(size=4, spares=0, reuse=True)
    assert needed(waiters("a", bound=1, strict=True), [], settings).start == 0


def test_after_many_crashes_no_spare_is_started_and_who_waits_is_served() -> None:
    settings = PoolSettings(size=4, spares=2)
    assert needed(waiters("a"), [], settings, spares=0).start == 1


def test_smaller_pool_gives_up_spares_first_and_workers_at_work_last() -> None:
    workers: Any = [
        Worker("a", BUSY, number=1),
        Worker("b", number=2),
        Worker(number=3),
        Worker(state=STARTING, number=4),
    ]
    assert surplus(workers, 4) == []
    assert surplus(workers, 2) == [workers[2], workers[1]]
    assert surplus(workers, 1) == [workers[2], workers[1], workers[0]]
    workers[2].retiring = "told to"
    assert surplus(workers, 3) == []
