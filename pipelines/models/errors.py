"""What the Django side of pipelines refuses. Those of the graph itself are in `pipelines.graph`."""

from typing import ClassVar


class PipelinesError(Exception):
    """Something about a pipeline was refused."""

    code: ClassVar[str] = "pipelines"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])

    @property
    def message(self) -> str:
        return str(self)


class Unchangeable(PipelinesError):
    """This is kept as it was made. Make a new one instead."""

    code = "unchangeable"


class TooLarge(PipelinesError):
    """This is larger than DSPex takes."""

    code = "too_large"


class InvalidInput(PipelinesError):
    """This can't be stored as it is."""

    code = "invalid_input"


class HostNotApproved(PipelinesError):
    """No administrator has approved this host."""

    code = "host_not_approved"


class CredentialUnreadable(PipelinesError):
    """The stored key can't be decrypted: the installation's secret key has changed. Enter it again."""

    code = "credential_unreadable"


class Busy(PipelinesError):
    """Others change this faster than we can answer. Send it again."""

    code = "busy"
    retryable = True
