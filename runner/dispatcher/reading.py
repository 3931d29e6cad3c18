"""Reads what claimed runs need: those that were claimed together in one go."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from django.core.exceptions import PermissionDenied

from pipelines.graph.graph import GraphError
from pipelines.models.errors import PipelinesError
from runner.dispatcher.assignments import Assignment, Commons, assignment_of, state_of
from runner.engine.errors import RunnerError
from runner.engine.events import RunStatus
from runner.models import Run
from runner.recorder import DatabaseThread, RunState
from runner.recorder.patience import AWAY

AT_ONCE = 200
"""Runs in one job of the database thread, on which claims and leases wait meanwhile."""

type Read = tuple[RunState, Assignment | Exception, bool]
"""The run as claimed, what it needs or what keeps it from running, and whether it was stopped before."""


class Reader:
    """Gathers, while one lot is being read, who else asks."""

    def __init__(self, thread: DatabaseThread, owner: str) -> None:
        self._thread, self._owner = thread, owner
        self._asked: dict[UUID, asyncio.Future[Read]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, run_id: UUID) -> Read:
        """Raises Run.DoesNotExist, also when another runner has it by now, and what the database
        raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Read] = loop.create_future()
        self._asked[run_id] = future
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read())
        return await future

    async def _read(self) -> None:
        while self._asked:
            lot = {run_id: self._asked.pop(run_id) for run_id in list(self._asked)[:AT_ONCE]}
            try:
                found: dict[UUID, Read | Exception] = await self._thread.patiently(
                    _read_all, list(lot), self._owner
                )
            except Exception as error:
                found = dict.fromkeys(lot, error)
            for run_id, future in lot.items():
                _settle(future, found.get(run_id, Run.DoesNotExist()))


def _settle(future: asyncio.Future[Read], found: Read | Exception) -> None:
    if future.done():
        return  # whoever asked was cancelled
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


def _read_all(run_ids: Sequence[UUID], owner: str) -> dict[UUID, Read | Exception]:
    """On the database thread."""
    # Many of them are of one version by one person: a join would make those anew for each.
    runs = Run.objects.prefetch_related("version", "pipeline__project", "author")
    commons: Commons = {}
    found: dict[UUID, Read | Exception] = {}
    for run in runs.filter(pk__in=run_ids, owner=owner):
        try:
            found[run.pk] = _read(run, commons)
        except AWAY:
            raise
        except Exception as error:  # another run's is no reason not to execute this one
            found[run.pk] = error
    return found


def _read(run: Run, commons: Commons) -> Read:
    state, stopped = state_of(run), run.status == RunStatus.CANCELLING
    try:
        return state, assignment_of(run, commons), stopped
    except (RunnerError, PipelinesError, GraphError, PermissionDenied) as error:
        return state, error, stopped
