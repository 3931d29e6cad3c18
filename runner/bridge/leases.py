"""Who gets which worker, and how many are to be started: decisions of the pool, pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runner.bridge.pool_settings import PoolSettings
from runner.bridge.proxy import WorkerProxy, WorkerState
from runner.bridge.waiting import Waiter


class Needs(NamedTuple):
    """What the pool is to do: start so many workers, and take this one back from its run."""

    start: int
    take_back: WorkerProxy | None


def choose(
    waiter: Waiter, workers: Iterable[WorkerProxy], settings: PoolSettings
) -> WorkerProxy | None:
    """The worker that a step gets now; None: it waits."""
    if settings.reuse:
        return shared_worker_for(waiter, workers, settings.per_run)
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
    """In a pool that keeps its workers: the one that the session is bound to if it is free, else, unless
    it must be that one, the free one that rested least: the others may then be recycled."""
    held, best = 0, None
    for worker in workers:
        if worker.run_id == waiter.run_id:
            held += 1
        if not worker.is_free or (waiter.fresh and worker.figures.calls):
            continue
        if worker.number == waiter.bound:
            best = worker
            break
        if not waiter.strict and (best is None or worker.figures.used > best.figures.used):
            best = worker
    return best if held < per_run else None


def needed(
    waiting: Sequence[Waiter],
    workers: Iterable[WorkerProxy],
    settings: PoolSettings,
    *,
    spares: int | None = None,
) -> Needs:
    """Workers for those who wait, then spares; within the pool's size. At that size, the worker that
    rested longest in the hands of a run is taken back for who waits; in a pool that keeps its
    workers, for who can't use one that others used. `spares` overrides the settings'."""
    live = tuple(workers)
    held = Counter(worker.run_id for worker in live if worker.run_id)
    asking = Counter(waiter.run_id for waiter in waiting if not waiter.strict)
    wanted = sum(
        max(0, min(number, settings.per_run - held[run])) for run, number in asking.items()
    )
    fresh_only = any(waiter.fresh for waiter in waiting)
    coming = sum(
        worker.state is WorkerState.STARTING
        or (worker.is_spare and not (fresh_only and worker.figures.calls))
        for worker in live
    )
    ending = sum(worker.state is WorkerState.STOPPING for worker in live)
    room = max(0, settings.size - len(live))
    ahead = settings.spares if spares is None else spares
    start = max(0, min(wanted + ahead - coming, room))
    resting = [
        worker
        for worker in live
        if worker.is_free and (worker.run_id or (fresh_only and worker.figures.calls))
    ]
    if wanted <= coming + room + ending or not resting:
        return Needs(start, None)
    return Needs(start, min(resting, key=lambda worker: worker.figures.used))


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
    stay.sort(key=lambda worker: (not worker.is_spare, not worker.is_free, -worker.number))
    return stay[: max(0, over)]
