"""Who has the places of a worker: what leases look at and change.

A worker has one place, or as many as it has threads. A step that is lent one has it until it rests; what
a run keeps between its steps is the worker, not a place.
"""

from dataclasses import dataclass
from enum import StrEnum

from runner.bridge.endings import EndReason


class WorkerState(StrEnum):
    """The life of a worker."""

    STARTING = "starting"  # asked for; the handshake is not done
    IDLE = "idle"  # ready: a spare, or held by a run between two steps
    BUSY = "busy"  # leased to a step, or to several
    STOPPING = "stopping"  # told to end
    ENDED = "ended"


_NEXT = {
    WorkerState.STARTING: {WorkerState.IDLE, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.IDLE: {WorkerState.BUSY, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.BUSY: {WorkerState.IDLE, WorkerState.STOPPING, WorkerState.ENDED},
    WorkerState.STOPPING: {WorkerState.ENDED},
    WorkerState.ENDED: set[WorkerState](),
}


@dataclass(slots=True, eq=False, kw_only=True)
class Place:
    """One step's use of a worker. `repeat`: should the worker be lost, the step may be done anew."""

    run_id: str
    step: str = ""
    repeat: bool = True


@dataclass(slots=True)
class Figures:
    """What one worker did."""

    calls: int = 0
    strays: int = 0  # messages about a call that is over: after a cancel these are usual
    started: float = 0.0
    handshake: float = 0.0  # seconds from the request to fork to the ready message
    used: float = (
        0.0  # when it last came to rest, in the loop's time; before that, when it was ready
    )


class Places:
    """A worker, as far as it is lent."""

    def __init__(self, number: int, threads: int = 1) -> None:
        self.number = number
        self.threads = threads
        self.state = WorkerState.STARTING
        self.run_id = ""  # the run that keeps it between its steps
        self.at_work: list[Place] = []
        self.retiring = ""  # why it is to do no further step
        self.retires_as = EndReason.RECYCLED
        self.answers = True  # pings, in time
        self.figures = Figures()

    @property
    def is_free(self) -> bool:
        """It can do a step now, or one more."""
        return (
            (self.state is WorkerState.IDLE or self.state is WorkerState.BUSY)
            and len(self.at_work) < self.threads
            and not self.retiring
            and self.answers
        )

    @property
    def is_spare(self) -> bool:
        """Ready, and no run's."""
        return not self.run_id and self.is_free

    @property
    def is_new(self) -> bool:
        """No step was ever in it."""
        return not self.figures.calls and not self.at_work

    @property
    def room(self) -> int:
        """Places that may be lent now."""
        return self.threads - len(self.at_work) if self.is_free else 0

    @property
    def holders(self) -> list[str]:
        """The run of each step at work; of a worker that rests, the run that keeps it."""
        if self.at_work:
            return [place.run_id for place in self.at_work]
        return [self.run_id] if self.run_id else []

    def lease(self, place: Place) -> None:
        """Lend a place to a step."""
        if self.state is WorkerState.IDLE:
            self.state = WorkerState.BUSY
        elif self.state is not WorkerState.BUSY or len(self.at_work) >= self.threads:
            raise AssertionError(
                f"Worker {self.number} is {self.state} with {len(self.at_work)} of {self.threads} "
                "places lent: it has none to lend"
            )
        self.at_work.append(place)

    def rest(self, place: Place, now: float) -> None:
        """The step is over. A worker that is ending already is no error."""
        if place in self.at_work:
            self.at_work.remove(place)
        if self.state is WorkerState.BUSY and not self.at_work:
            self.figures.used = now
            self.state = WorkerState.IDLE

    def retire(self, why: str, reason: EndReason = EndReason.RECYCLED) -> None:
        """Have it do no further step. The first reason stays."""
        if not self.retiring:
            self.retiring, self.retires_as = why, reason

    def move(self, state: WorkerState) -> None:
        """Change the state; an impossible change is a defect of the pool."""
        if state is self.state:
            return
        if state not in _NEXT[self.state]:
            expected = ", ".join(sorted(_NEXT[self.state])) or "none"
            raise AssertionError(
                f"Worker {self.number} is {self.state}: expected {expected}, got {state}"
            )
        self.state = state
