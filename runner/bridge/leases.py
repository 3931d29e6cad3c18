"""Who gets which worker, and how many are to be started: decisions of the pool, pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from runner.bridge.places import WorkerState
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.proxy import WorkerProxy
from runner.bridge.waiting import Waiter


class Needs(NamedTuple):
    """What the pool is to do: start so many workers, and take this one back from its run."""

    start: int
    take_back: WorkerProxy | None


def choose(
    waiter: Waiter, workers: Iterable[WorkerProxy], settings: PoolSettings
) -> WorkerProxy | None:
    """The worker in which a step gets a place now; None: it waits."""
    if settings.reuse:
        return shared_worker_for(waiter, workers, settings.places_per_run)
    return worker_for(waiter.run_id, workers, settings.per_run)


def worker_for(run_id: str, workers: Iterable[WorkerProxy], per_run: int) -> WorkerProxy | None:
    """A worker that the run holds and that is free, else a spare unless it holds as many as it may."""
    held, spare = 0, None
    for worker in workers:
        if worker.run_id == run_id:
            if worker.is_free:
                return worker
            held += 1
        elif worker.is_spare and spare is None:
            spare = worker
    return spare if held < per_run else None


def shared_worker_for(
    waiter: Waiter, workers: Iterable[WorkerProxy], per_run: int
) -> WorkerProxy | None:
    """In a pool that keeps its workers: the one that the session is bound to if it has a place, else,
    unless it must be that one, the one with the least to do. Of those that rest, the one that rested
    least: the others may then be recycled."""
    live = tuple(workers)
    if sum(place.run_id == waiter.run_id for each in live for place in each.at_work) >= per_run:
        return None
    usable = [each for each in live if each.is_free and (each.is_new or not waiter.fresh)]
    bound = next((each for each in usable if each.number == waiter.bound), None)
    if bound is not None or waiter.strict:
        return bound
    return min(usable, key=lambda each: (len(each.at_work), -each.figures.used), default=None)


def needed(
    waiting: Sequence[Waiter],
    workers: Iterable[WorkerProxy],
    settings: PoolSettings,
    *,
    spares: int | None = None,
) -> Needs:
    """Workers for those who wait, then spares; within the pool's size. At that size, one is taken back
    for who waits. `spares` overrides the settings'."""
    live, threads = tuple(workers), settings.threads
    held = Counter(run for worker in live for run in worker.holders)
    asking = Counter(waiter.run_id for waiter in waiting if not waiter.strict)
    wanted = sum(
        max(0, min(number, settings.places_per_run - held[run])) for run, number in asking.items()
    )
    fresh = sum(waiter.fresh for waiter in waiting)
    wanted += fresh * (threads - 1)  # each has a whole worker
    coming = sum(_coming(worker, threads, fresh_only=bool(fresh)) for worker in live)
    ahead = (settings.spares if spares is None else spares) * threads
    start = max(0, min(ceil((wanted + ahead - coming) / threads), settings.size - len(live)))
    ending = sum(worker.state is WorkerState.STOPPING or bool(worker.retiring) for worker in live)
    room = max(0, settings.size - len(live) + ending)
    if settings.reuse:
        return Needs(start, _to_make_room(fresh, live, room))
    return Needs(start, _to_take_back(live) if wanted > coming + room else None)


def _coming(worker: WorkerProxy, threads: int, *, fresh_only: bool) -> int:
    """Places in it that may be lent, now or soon."""
    if worker.state is WorkerState.STARTING:
        return threads
    return worker.room if worker.is_spare and (worker.is_new or not fresh_only) else 0


def _to_take_back(live: Sequence[WorkerProxy]) -> WorkerProxy | None:
    """The worker that rested longest in the hands of a run."""
    resting = [worker for worker in live if worker.is_free and worker.run_id]
    return min(resting, key=lambda worker: worker.figures.used, default=None)


def _to_make_room(fresh: int, live: Sequence[WorkerProxy], room: int) -> WorkerProxy | None:
    """For steps that can't use a worker that others used: the one with the least to do, and of those that
    rest the one that rested longest; it ends when the steps in it are over."""
    new = sum(
        worker.state is WorkerState.STARTING or (worker.is_new and worker.is_free)
        for worker in live
    )
    used = [
        worker
        for worker in live
        if not worker.is_new
        and not worker.retiring
        and worker.state in (WorkerState.IDLE, WorkerState.BUSY)
    ]
    if fresh <= new + room:
        return None
    return min(used, key=lambda each: (len(each.at_work), each.figures.used), default=None)


def surplus(workers: Iterable[WorkerProxy], size: int) -> list[WorkerProxy]:
    """The workers that are too many when a pool has become smaller: spares first, then those that
    rest, then those at work, which end after their step. Starting ones count, and are let be."""
    live = [worker for worker in workers if worker.state is not WorkerState.STOPPING]
    going = sum(bool(worker.retiring) for worker in live)
    stay = [
        worker
        for worker in live
        if not worker.retiring and worker.state is not WorkerState.STARTING
    ]
    over = len(live) - going - size
    stay.sort(
        key=lambda each: (not each.is_spare, len(each.at_work), not each.is_free, -each.number)
    )
    return stay[: max(0, over)]
