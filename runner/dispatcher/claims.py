"""Who executes which run. Plain functions on the database, for the dispatcher's thread.

Work is claimed by a conditional UPDATE: of several runners that want a run, one gets it. Each claim
raises the run's epoch, and with it what the recorder demands of a writer.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce

from runner.engine.doubts import NeedsDecision
from runner.engine.events import RunStatus
from runner.engine.waits import Answer
from runner.models import Run
from runner.models.run import HELD, answers_of, stops_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A run that a runner has."""

    id: UUID
    epoch: int
    status: RunStatus
    answers: Mapping[str, Answer]
    stops: Mapping[str, str]


def claim(
    *, owner: str, limit: int, now: datetime, lease: timedelta, besides: Collection[UUID] = ()
) -> list[UUID]:
    """Take up to so many runs, the oldest first, `besides` those that this runner has: their leases may have
    passed while the database was away."""
    oldest = (
        Run.objects.claimable(now)
        .exclude(pk__in=besides)
        .order_by("created_at")
        .values_list("pk", "epoch")
    )
    waiting = dict(oldest[:limit])
    if not waiting:
        return []
    _take(waiting, owner, now, lease)
    # Those that another runner took at the same time have its name, or have had ours in an earlier epoch.
    mine = Run.objects.filter(pk__in=waiting, owner=owner).values_list("pk", "epoch")
    taken = {pk for pk, epoch in mine if epoch == waiting[pk] + 1}
    return [run_id for run_id in waiting if run_id in taken]


def _take(runs: Collection[UUID], owner: str, now: datetime, lease: timedelta) -> None:
    Run.objects.claimable(now).filter(pk__in=runs).update(
        owner=owner,
        epoch=F("epoch") + 1,
        lease_until=now + lease,
        started_at=Coalesce("started_at", Value(now)),
        status=Case(
            When(status=RunStatus.CANCELLING, then=Value(RunStatus.CANCELLING.value)),
            default=Value(RunStatus.RUNNING.value),
        ),
    )


def held(owner: str) -> list[Holding]:
    """What this runner has, as the database sees it."""
    rows = Run.objects.filter(owner=owner, status__in=HELD)
    return [
        Holding(
            id=pk,
            epoch=epoch,
            status=RunStatus(status),
            answers=answers_of(answers),
            stops=stops_of(stops),
        )
        for pk, epoch, status, answers, stops in rows.values_list(
            "pk", "epoch", "status", "answers", "stops"
        )
    ]


def wake_if_told(run_id: UUID, answers: Collection[str], stops: Collection[str]) -> None:
    """Queue a run that has just begun to wait, when it was told something that its runner had not heard
    of."""
    decides = Q(status=RunStatus.SUSPENDED, failure_code=NeedsDecision.code)
    waiting = Run.objects.filter(Q(status=RunStatus.WAITING) | decides, pk=run_id)
    for answered, stopped in waiting.values_list("answers", "stops"):
        if answers_of(answered).keys() - answers or stops_of(stopped).keys() - stops:
            waiting.update(
                status=RunStatus.QUEUED, failure_code="", failure_message="", failed_step=""
            )


def renew(*, owner: str, runs: Iterable[UUID], until: datetime) -> None:
    """Hold on to these runs, as far as this runner still has them."""
    mine = Run.objects.filter(owner=owner, pk__in=list(runs), status__in=HELD)
    with transaction.atomic():
        # PostgreSQL locks rows one by one, and the recorder has some of them in the order of their ids.
        held = mine.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True)
        Run.objects.filter(pk__in=list(held)).update(lease_until=until)


def release(*, owner: str, runs: Iterable[UUID], now: datetime) -> None:
    """Leave runs to whoever comes next, at once."""
    mine = Run.objects.filter(owner=owner, pk__in=list(runs), status__in=HELD)
    mine.filter(status=RunStatus.CANCELLING).update(owner="", lease_until=now)
    mine.update(owner="", lease_until=None, status=RunStatus.QUEUED)


def release_all(now: datetime) -> int:
    """Leave every run to whoever comes next; how many. Only for one who knows that nobody else executes
    runs of this database."""
    return Run.objects.filter(status__in=HELD).update(
        owner="", lease_until=now - timedelta(seconds=1)
    )
