"""What a pool refuses with."""

from runner.engine.errors import RunnerError


class PoolBusy(RunnerError):
    """Every worker of the pool is taken and the step waited too long, or too many wait already."""

    code = "pool_busy"
    retryable = True


class PoolClosed(RunnerError):
    """The pool is closed."""

    code = "pool_closed"


class CircuitOpen(RunnerError):
    """Too many calls of the pool failed in a row; for a while it takes none."""

    code = "circuit_open"
    retryable = True


class WorkerBusy(RunnerError):
    """The worker of the step's session is not free."""

    code = "worker_busy"
    retryable = True


class SessionWorkerUnavailable(RunnerError):
    """The worker of the step's session was lost, and with it what it had at hand for the session."""

    code = "session_worker_unavailable"
    retryable = True
