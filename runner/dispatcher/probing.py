"""Runs that an outage suspended go on by themselves when their provider is back.

A thousand of them asking at once would bring it down again. So one run of a project is let go on as a probe,
after a wait that doubles each time that the probe is suspended as well; when it is answered, the others
follow. A person may resume any of them earlier.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from runner.engine.events import RunStatus
from runner.lm.errors import Exhausted
from runner.models import ReplayAnswer, Run
from runner.recorder import DatabaseThread
from runner.services import resume_after_outage

FIRST, LONGEST = 30.0, 600.0
"""Seconds before the first probe, and between two at most."""


@dataclass(slots=True)
class _Outage:
    """`answers`: how many the probe had before it was let go on."""

    due: float
    wait: float = FIRST
    probe: UUID | None = None
    answers: int = 0


class Probing:
    """The outages that one runner sees. `look` is called again and again by its owner."""

    def __init__(self, thread: DatabaseThread, clock: Callable[[], float]) -> None:
        self._thread, self._clock = thread, clock
        self._outages: dict[UUID, _Outage] = {}

    async def look(self) -> None:
        """Begin a probe that is due, and see what came of those that were begun."""
        await self._thread.do(self._look)

    def _look(self) -> None:
        suspended = _suspended()
        for project in self._outages.keys() - suspended.keys():
            del self._outages[project]
        for project, runs in suspended.items():
            self._see(project, runs)

    def _see(self, project: UUID, runs: Sequence[UUID]) -> None:
        now = self._clock()
        outage = self._outages.setdefault(project, _Outage(due=now + FIRST))
        if outage.probe in runs:  # suspended again
            outage.wait = min(outage.wait * 2, LONGEST)
            outage.due, outage.probe = now + outage.wait, None
        elif outage.probe is not None:
            if _is_answered(outage.probe, outage.answers):
                resume_after_outage(runs=runs)
                del self._outages[project]
        elif now >= outage.due:
            outage.probe, outage.answers = runs[0], _answers(runs[0])
            resume_after_outage(runs=runs[:1])


def _suspended() -> Mapping[UUID, list[UUID]]:
    """By project, the oldest first."""
    found: dict[UUID, list[UUID]] = {}
    rows = Run.objects.filter(status=RunStatus.SUSPENDED, failure_code=Exhausted.code)
    for project, run in rows.order_by("created_at").values_list("project_id", "pk"):
        found.setdefault(project, []).append(run)
    return found


def _answers(run: UUID) -> int:
    return ReplayAnswer.objects.filter(run=run).count()


def _is_answered(probe: UUID, before: int) -> bool:
    """Whether the probe got further. One that has ended, or was stopped, holds nobody up either."""
    status = Run.objects.filter(pk=probe).values_list("status", flat=True).first()
    return status not in (RunStatus.QUEUED, RunStatus.RUNNING) or _answers(probe) > before
