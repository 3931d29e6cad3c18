"""A person stops one step of a run, or one item of a map, while the rest goes on.

The steps of a chain share one task, and a step may hold others in the task that it is in itself. So the
task is cancelled, as for a timeout, and whoever was meant takes the cancellation for its own; what lies
inside has ended by then like that of a run that is cancelled.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from runner.engine.errors import RunnerError


class StoppedByUser(RunnerError):
    """A person stopped this step."""

    code = "cancelled_by_user"


class Stops:
    """What of a run was stopped: by path, who did it. Used on the run's event loop."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[object]] = {}

    def stop(self, path: str, by: str = "") -> None:
        """Stop the step or item at this path, whether it goes on or will. The first one counts."""
        if path in self.asked:
            return
        self.asked[path] = by
        if (task := self._tasks.get(path)) is not None:
            task.cancel()

    @contextmanager
    def stoppable(self, path: str) -> Iterator[None]:
        """What happens inside can be stopped by this path; StoppedByUser then, once it has ended."""
        if path in self.asked:
            raise self._error(path)
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._tasks[path] = task
        try:
            yield
        except asyncio.CancelledError:
            if path not in self.asked or task.uncancel() > before:
                raise  # the run, or what this lies in, is cancelled as well
            raise self._error(path) from None
        except Exception:
            if path not in self.asked or task.cancelling() == before:
                raise
            task.uncancel()  # it failed in the same moment
            raise self._error(path) from None
        else:
            if path in self.asked and task.cancelling() > before:
                task.uncancel()  # it had ended already
        finally:
            del self._tasks[path]

    def _error(self, path: str) -> StoppedByUser:
        by = self.asked[path]
        return StoppedByUser(f"Stopped by {by}." if by else "", by=by)
