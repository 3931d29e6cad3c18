"""Who gets which worker, and how many are to be started: decisions of the pool, pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runner.bridge import formats
from runner.bridge.frames import MAX_FRAME
from runner.bridge.heartbeat import HeartbeatSettings
from runner.bridge.isolation import Isolation
from runner.bridge.nursery import DSPY_WORKER
from runner.bridge.proxy import WorkerProxy, WorkerState


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """`size` bounds the live workers, `spares` are forked ahead, `per_run` bounds the leases of one
    run. Times are seconds, `limit` is bytes a frame. `lost_retries`: new attempts, in new workers, of
    a step whose worker was lost. `cancel_grace`: between telling a worker to stop and killing it."""

    name: str = "general"
    worker: str = DSPY_WORKER
    size: int = 4
    spares: int = 2
    per_run: int = 4
    queue_limit: int = 1_000
    queue_timeout: float = 60.0
    ready_timeout: float = 30.0
    cancel_grace: float = 0.3
    lost_retries: int = 2
    limit: int = MAX_FRAME
    formats: tuple[str, ...] = (
        formats.MESSAGEPACK.name,
        formats.JSON.name,
        formats.ARROW.name,
    )
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    isolation: Isolation = Isolation()


class Needs(NamedTuple):
    """What the pool is to do: start so many workers, and take this one back from its run."""

    start: int
    take_back: WorkerProxy | None


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


def needed(waiting: Sequence[str], workers: Iterable[WorkerProxy], settings: PoolSettings) -> Needs:
    """Workers for those who wait (`waiting` has the run of each), then spares; within the pool's size.
    At that size, the worker that rested longest in the hands of a run is taken back for who waits."""
    live = tuple(workers)
    held = Counter(worker.run_id for worker in live if worker.run_id)
    wanted = sum(
        max(0, min(number, settings.per_run - held[run]))
        for run, number in Counter(waiting).items()
    )
    coming = sum(worker.state is WorkerState.STARTING or worker.is_spare for worker in live)
    ending = sum(worker.state is WorkerState.STOPPING for worker in live)
    room = max(0, settings.size - len(live))
    start = max(0, min(wanted + settings.spares - coming, room))
    resting = [worker for worker in live if worker.run_id and worker.is_free]
    if wanted <= coming + room + ending or not resting:
        return Needs(start, None)
    return Needs(start, min(resting, key=lambda worker: worker.figures.used))
