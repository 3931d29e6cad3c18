"""The one error base of `runner`. An error crosses a process or a database as a `Failure`."""

import traceback
from typing import Any, ClassVar

import msgspec


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as data. `details` is JSON; `traceback` is text and stays with the run's owner."""

    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}
    traceback: str = ""


class RunnerError(Exception):
    """Something failed.

    `code` is stable, `retryable` says whether a further attempt may help, `suspends` that the run
    waits for a person instead of failing. The docstring is the default message.
    """

    code: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False
    suspends: ClassVar[bool] = False

    def __init__(self, message: str = "", **details: Any) -> None:
        self.message = message or (self.__doc__ or "").split("\n", 1)[0]
        self.details = details
        super().__init__(self.message)


class RemoteError(RunnerError):
    """An error that another process reported."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, **failure.details)
        self.failure = failure


class InvalidInput(RunnerError):
    """An input is missing, unknown or of the wrong type."""

    code = "invalid_input"


class InvalidConfig(RunnerError):
    """A node's configuration can't be used."""

    code = "invalid_config"


class UnparsableAnswer(RunnerError):
    """The model's answer does not have the fields of the signature. `details.answer` is the raw text."""

    code = "unparsable_answer"


class OperationNotFound(RunnerError):
    """No backend can do this node."""

    code = "operation_not_found"


class StepTimeout(RunnerError):
    """The step took longer than its policy allows."""

    code = "timeout"
    retryable = True


class RunTimeout(RunnerError):
    """The run's deadline has passed."""

    code = "deadline"


class LoopLimit(RunnerError):
    """The loop's end was not reached within its rounds."""

    code = "loop_limit"


class OutputNotProduced(RunnerError):
    """A required output of the pipeline was not produced."""

    code = "output_not_produced"


class WorkerLost(RunnerError):
    """The worker process ended in the middle of a step."""

    code = "worker_lost"
    retryable = True


class MissingPackages(RunnerError):
    """A package that this needs is not installed."""

    code = "missing_packages"


class ValueTooLarge(RunnerError):
    """A step's output is larger than a run may keep."""

    code = "value_too_large"


def failure_of(error: BaseException) -> Failure:
    """The error as data; anything that is not ours has the code `internal`."""
    if isinstance(error, RemoteError):
        return error.failure
    text = "".join(traceback.format_exception(error))
    if isinstance(error, RunnerError):
        return Failure(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            details=error.details,
            traceback=text,
        )
    return Failure(code="internal", message=f"{type(error).__name__}: {error}", traceback=text)
