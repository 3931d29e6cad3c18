"""A person stops one step of a run, or one item of a map, while the rest goes on.

The steps of a chain share one task, and a step may hold others in the task that it is in itself. So the
task is cancelled, as for a timeout, and whoever was meant takes the cancellation for its own; what lies
inside has ended by then like that of a run that is cancelled.
"""

import asyncio
from types import TracebackType

from runner.engine.errors import RunnerError


class StoppedByUser(RunnerError):
    """A person stopped this step."""

    code = "cancelled_by_user"


class Stops:
    """What of a run was stopped: by path, who did it. Used on the run's event loop."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.tasks: dict[str, asyncio.Task[object]] = {}

    def stop(self, path: str, by: str = "") -> None:
        """Stop the step or item at this path, whether it goes on or will. The first one counts."""
        if path in self.asked:
            return
        self.asked[path] = by
        if (task := self.tasks.get(path)) is not None:
            task.cancel()

    def stoppable(self, path: str) -> "_Stoppable":
        """What happens inside can be stopped by this path; StoppedByUser then, once it has ended."""
        return _Stoppable(self, path)

    def stopped(self, path: str) -> StoppedByUser:
        """Who asked for it must be known."""
        by = self.asked[path]
        return StoppedByUser(f"Stopped by {by}." if by else "", by=by)


class _Stoppable:
    """A class, and no generator, which would cost a step twice as much."""

    __slots__ = ("_before", "_path", "_stops", "_task")

    def __init__(self, stops: Stops, path: str) -> None:
        self._stops, self._path = stops, path

    def __enter__(self) -> None:
        if self._path in self._stops.asked:
            raise self._stops.stopped(self._path)
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._stops.tasks[self._path] = task

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._stops.tasks[self._path]
        if self._path not in self._stops.asked:
            return
        if isinstance(error, asyncio.CancelledError):
            if self._task.uncancel() > self._before:
                return  # the run, or what this lies in, is cancelled as well
            raise self._stops.stopped(self._path) from None
        if self._task.cancelling() > self._before and (
            error is None or isinstance(error, Exception)
        ):
            self._task.uncancel()  # it had ended already, or failed in the same moment
            if error is not None:
                raise self._stops.stopped(self._path) from None
