"""Does what administrators ask of the pools, in this runner."""

from datetime import datetime

from django.utils import timezone

from runner.bridge.pools import Pools
from runner.models.pools import Does, PoolOrder
from runner.recorder import DatabaseThread
from runner.services.pools import orders_since, standing_orders


class PoolOrders:
    """The orders that this runner has obeyed. `runner` is its name."""

    def __init__(self, pools: Pools, thread: DatabaseThread, *, runner: str) -> None:
        self._pools = pools
        self._thread = thread
        self._runner = runner
        self._since: datetime | None = None
        self._done: set[int] = set()

    async def sync(self) -> bool:
        """Obey what is new; at first, what still holds. Whether there was any."""
        found = await self._thread.do(self._read)
        new = [order for order in found if order.pk not in self._done]
        for order in new:
            obey(order, self._pools, runner=self._runner)
        self._done |= {order.pk for order in new}
        return bool(new)

    def _read(self) -> list[PoolOrder]:
        now = timezone.now()
        if self._since is None:
            names = [pool.settings.name for pool in self._pools]
            # What was asked for once, before we were there, is not ours to do.
            self._done = {order.pk for order in orders_since(moment=now)}
            standing = standing_orders(pools=names)
            self._done -= {order.pk for order in standing}
            self._since = now
            return standing
        found = orders_since(moment=self._since)
        self._since = now
        return found


def obey(order: PoolOrder, pools: Pools, *, runner: str) -> None:
    """Do to the pool of this name what the order says."""
    if order.pool not in pools:
        return
    pool = pools[order.pool]
    match order.does:
        case Does.SCALE:
            pool.scale(order.size or pool.settings.size, order.spares or 0)
        case Does.DRAIN:
            pool.drain()
        case Does.RESUME:
            pool.resume()
        case Does.RESET_BREAKER:
            pool.reset_breaker()
        case Does.REPLACE_WORKER if order.runner == runner and order.worker is not None:
            pool.retire(order.worker)
