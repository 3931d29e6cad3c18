"""What administrators tell the pools, and what runners tell of them."""

import json
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from pipelines.models import Person
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from runner.bridge.pool_settings import MAX_SIZE
from runner.models.pools import Does, PoolOrder, RunnerFigures
from runner.services.router import OVERLAP

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""Figures that are older are those of a runner that is gone."""
_STANDING = ((Does.SCALE,), (Does.DRAIN, Does.RESUME))


def order_pool(
    *,
    user: Person,
    pool: str,
    does: str,
    size: int | None = None,
    spares: int | None = None,
    runner: str = "",
    worker: int | None = None,
) -> PoolOrder:
    """Have every runner do this to its pool of this name. They look once a second."""
    require(user, Action.ADMINISTER, None)
    names = [known.name for known in settings.POOLS]
    if pool not in names:
        raise InvalidInput(f"There is no pool '{pool}'. There are: {', '.join(names)}.")
    if does not in Does.values:
        raise InvalidInput(f"A pool can't '{does}'. It can: {', '.join(Does.values)}.")
    if does == Does.SCALE:
        _check_size(size, spares)
    if does == Does.REPLACE_WORKER and not (runner and worker):
        raise InvalidInput("Say which worker of which runner is to be replaced.")
    order = PoolOrder.objects.create(
        pool=pool,
        does=does,
        size=size if does == Does.SCALE else None,
        spares=spares if does == Does.SCALE else None,
        runner=runner if does == Does.REPLACE_WORKER else "",
        worker=worker if does == Does.REPLACE_WORKER else None,
        author_id=user.pk,
        at=timezone.now(),
    )
    logger.info("Pool order by %s: %s", user, order)
    return order


def _check_size(size: int | None, spares: int | None) -> None:
    if size is None or not 1 <= size <= MAX_SIZE:
        raise InvalidInput(f"A pool has from 1 to {MAX_SIZE} workers.")
    if spares is None or not 0 <= spares <= size:
        raise InvalidInput("Spares are a number from 0 to the number of workers.")


def standing_orders(*, pools: Collection[str]) -> list[PoolOrder]:
    """What still holds: the last of each pool that says its size, and the last that says whether it is
    drained; the oldest first."""
    found = []
    for pool in pools:
        for kinds in _STANDING:
            last = PoolOrder.objects.filter(pool=pool, does__in=kinds).first()
            if last is not None:
                found.append(last)
    return sorted(found, key=lambda order: (order.at, order.pk))


def orders_since(*, moment: datetime) -> list[PoolOrder]:
    """The oldest first; some from before, as clocks differ and transactions end late."""
    return list(PoolOrder.objects.filter(at__gte=moment - OVERLAP).order_by("at", "pk"))


def keep_runner_figures(*, runner: str, stats: dict[str, Any], now: datetime) -> None:
    """Keep what a runner tells, and forget what others told that are gone. For runners only."""
    RunnerFigures.objects.update_or_create(
        runner=runner, defaults={"figures": json.dumps(stats), "at": now}
    )
    RunnerFigures.objects.filter(at__lt=now - 10 * FRESH).delete()


def forget_runner_figures(*, runner: str) -> None:
    """The runner ends."""
    RunnerFigures.objects.filter(runner=runner).delete()


def last_figures(*, now: datetime) -> list[dict[str, Any]]:
    """What each runner told last, the oldest runner first. Not all of it is for everybody's eyes."""
    fresh = RunnerFigures.objects.filter(at__gte=now - FRESH).order_by("pk")
    return [json.loads(row.figures) for row in fresh]
