"""Worker processes: the page. Its figures come over the socket, from whoever executes runs; those that
were told last are in the page."""

from typing import Any

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.models import Person
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can
from pipelines.views.requests import person
from runner.consumers.access import worker_figures
from runner.engine.events import RunStatus
from runner.models import FINAL, PoolOrder, Run
from runner.models.pools import Does
from runner.services import order_pool
from runner.services.pools import last_figures, standing_orders
from runner.views import figures

ORDERS = 10


@require_safe
@never_cache
def workers(request: HttpRequest) -> HttpResponse:
    """With `part=waiting`, the person's runs that have not ended alone, by status."""
    user = person(request)
    if request.GET.get("part") == "waiting":
        return render(request, "runner/workers.html#waiting", {"waiting": _waiting(user)})
    told = [worker_figures(user, each) for each in last_figures(now=timezone.now())]
    return render(
        request, "runner/workers.html", {"waiting": _waiting(user), "told": told, **_pools(user)}
    )


@require_POST
def order(request: HttpRequest) -> HttpResponse:
    """Have the runners do something to a pool: `does`, with `size` and `spares`, or `runner` and `worker`."""
    user, asked = person(request), request.POST
    try:
        order_pool(
            user=user,
            pool=asked.get("pool", ""),
            does=asked.get("does", ""),
            size=_number(asked.get("size")),
            spares=_number(asked.get("spares")),
            runner=asked.get("runner", ""),
            worker=_number(asked.get("worker")),
        )
    except PipelinesError as error:
        refused = {"error": error.message, "refused": asked.get("pool"), **_pools(user)}
        return render(request, "runner/workers.html#manage", refused, status=422)
    return render(request, "runner/workers.html#manage", _pools(user))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None


def _pools(user: Person) -> dict[str, Any]:
    """What an administrator may do to the pools, and what was done; nothing for others."""
    if not can(user, Action.ADMINISTER, None):
        return {"may_administer": False}
    pools = {
        pool.name: {
            "name": pool.name,
            "size": pool.size,
            "spares": pool.spares,
            "drained": False,
            "profile": pool.profile,
            "kept": str(pool.affinity) if pool.reuse else "",
            "threads": pool.threads,
        }
        for pool in settings.POOLS
    }
    for standing in standing_orders(pools=list(pools)):
        if standing.does == Does.SCALE:
            pools[standing.pool].update(size=standing.size, spares=standing.spares)
        else:
            pools[standing.pool]["drained"] = standing.does == Does.DRAIN
    orders = PoolOrder.objects.select_related("author")[:ORDERS]
    return {"may_administer": True, "pools": list(pools.values()), "orders": orders}


def _waiting(user: Person) -> list[dict[str, Any]]:
    unfinished = Run.objects.visible_to(user).exclude(status__in=FINAL)
    counts = dict(unfinished.order_by().values_list("status").annotate(count=Count("pk")))
    return [
        {
            "status": status.value,
            "glyph": figures.GLYPHS[status.value],
            "word": figures.WORDS[status.value],
            "count": counts.get(status.value, 0),
        }
        for status in RunStatus
        if status not in FINAL
    ]
