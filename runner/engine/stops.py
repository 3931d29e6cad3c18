"""What ends a scope before its steps are done."""

from runner.engine.errors import Failure, RunnerError, failure_of
from runner.engine.events import RunStatus
from runner.engine.stopping import StoppedByUser


class StepStopped(Exception):
    """A step failed for good and its policy stops the run. Carries the failure outwards."""

    def __init__(self, path: str, failure: Failure, *, suspends: bool = False) -> None:
        super().__init__(failure.message)
        self.path = path
        self.failure = failure
        self.suspends = suspends

    @property
    def run_status(self) -> RunStatus:
        """What the run ends as. That a person stopped a step is nobody's failure."""
        if self.suspends:
            return RunStatus.SUSPENDED
        stopped = self.failure.code == StoppedByUser.code
        return RunStatus.CANCELLED if stopped else RunStatus.FAILED


class Parked(Exception):
    """Nothing is left to do before a person has answered: the run gives its place up."""


def stop_for(path: str, error: Exception) -> StepStopped:
    """What stops the run, should it: a failure within a container keeps the path of the step inside."""
    if isinstance(error, StepStopped):
        return error
    suspends = isinstance(error, RunnerError) and error.suspends
    return StepStopped(path, failure_of(error), suspends=suspends)


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a task group. The group lists them in the order in which tasks ended; what
    suspends a run goes before what fails it."""
    flat: list[BaseException] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions
        else:
            flat.append(error)
    return next(
        (error for error in flat if isinstance(error, StepStopped) and error.suspends), flat[0]
    )
