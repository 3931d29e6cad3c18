"""What administrators ask of the pools, and what runners keep for the workers page."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from pipelines.models.errors import InvalidInput
from runner.bridge.pool_settings import POOLS
from runner.bridge.pools import Pools
from runner.bridge.testing import ScriptedNursery
from runner.dispatcher.pool_orders import PoolOrders
from runner.dispatcher.worker_figures import gist_of
from runner.models import PoolOrder, RunnerFigures
from runner.recorder import DatabaseThread
from runner.services import order_pool
from runner.services.pools import (
    forget_runner_figures,
    keep_runner_figures,
    last_figures,
    orders_since,
    standing_orders,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin")


class Here(DatabaseThread):
    """Does it at once, on the test's own connection."""

    def __init__(self) -> None:
        """No thread."""

    async def do(self, work: Any, *arguments: Any) -> Any:
        return work(*arguments)


def synced(orders: PoolOrders) -> bool:
    """What `sync` says. It never waits here, so it needs no event loop, which Django would not have
    around its database."""
    with pytest.raises(StopIteration) as ended:
        orders.sync().send(None)
    return bool(ended.value.value)


def test_only_who_looks_after_the_installation_orders_pools_about(admin: User) -> None:
    for user in (User.objects.create_user("ann"), User.objects.create_user("bob", is_staff=True)):
        with pytest.raises(PermissionDenied):
            order_pool(user=user, pool="general", does="drain")
    assert not PoolOrder.objects.exists()
    order = order_pool(user=admin, pool="general", does="drain")
    assert (order.author, str(order)) == (admin, "general: Drained")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"pool": "gpu", "does": "drain"}, "There are: general, neural, optimizer"),
        ({"pool": "general", "does": "explode"}, "can't 'explode'"),
        ({"pool": "general", "does": "scale", "size": 0, "spares": 0}, "1 to 150"),
        ({"pool": "general", "does": "scale", "size": 151, "spares": 0}, "1 to 150"),
        ({"pool": "general", "does": "scale", "size": 4, "spares": 5}, "Spares"),
        ({"pool": "general", "does": "scale", "spares": 1}, "1 to 150"),
        ({"pool": "general", "does": "replace_worker", "worker": 3}, "which runner"),
    ],
)
def test_order_that_makes_no_sense_is_refused(
    admin: User, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        order_pool(user=admin, **asked)


def test_the_last_order_of_its_kind_stands(admin: User) -> None:
    for size in (3, 5):
        order_pool(user=admin, pool="general", does="scale", size=size, spares=0)
    order_pool(user=admin, pool="general", does="drain")
    order_pool(user=admin, pool="general", does="reset_breaker")
    order_pool(user=admin, pool="neural", does="resume")
    standing = standing_orders(pools=["general", "neural", "optimizer"])
    assert [(each.pool, each.does, each.size) for each in standing] == [
        ("general", "scale", 5),
        ("general", "drain", None),
        ("neural", "resume", None),
    ]


def test_orders_are_read_from_a_little_before_what_was_read_last(admin: User) -> None:
    order = order_pool(user=admin, pool="general", does="drain")
    assert orders_since(moment=order.at + timedelta(seconds=9)) == [order]
    assert orders_since(moment=order.at + timedelta(seconds=11)) == []


def test_runner_obeys_what_stands_and_what_comes_once_each(admin: User) -> None:
    order_pool(user=admin, pool="general", does="scale", size=9, spares=1)
    order_pool(user=admin, pool="neural", does="drain")
    order_pool(user=admin, pool="neural", does="reset_breaker")
    pools = Pools(POOLS, ScriptedNursery())
    orders = PoolOrders(pools, Here(), runner="here")
    assert synced(orders)
    assert (pools.general.settings.size, pools.general.settings.spares) == (9, 1)
    assert pools["neural"].leasing.draining and not pools.general.leasing.draining
    assert not synced(orders)
    order_pool(user=admin, pool="neural", does="resume")
    order_pool(user=admin, pool="general", does="scale", size=2, spares=0)
    assert synced(orders)
    assert not pools["neural"].leasing.draining and pools.general.settings.size == 2
    assert not synced(orders)


def test_breaker_is_reset_and_a_worker_replaced_by_its_own_runner_alone(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = Pools(POOLS, ScriptedNursery())
    replaced: list[int] = []
    monkeypatch.setattr(pools.general, "retire", replaced.append)
    orders = PoolOrders(pools, Here(), runner="here")
    synced(orders)
    for _ in range(5):
        pools.general.breaker.failed(0)
    order_pool(user=admin, pool="general", does="reset_breaker")
    for runner in ("there", "here"):
        order_pool(
            user=admin, pool="general", does="replace_worker", runner=runner, worker=len(runner)
        )
    synced(orders)
    assert pools.general.breaker.failing == 0
    assert replaced == [4]


def test_last_figures_are_those_of_runners_that_live() -> None:
    now = timezone.now()
    keep_runner_figures(runner="old", stats={"runner": "old"}, now=now - timedelta(minutes=1))
    keep_runner_figures(runner="a", stats={"runner": "a", "runs": 1}, now=now)
    keep_runner_figures(runner="a", stats={"runner": "a", "runs": 2}, now=now)
    assert last_figures(now=now) == [{"runner": "a", "runs": 2}]
    keep_runner_figures(runner="b", stats={}, now=now + timedelta(hours=1))
    assert list(RunnerFigures.objects.values_list("runner", flat=True)) == ["b"]
    forget_runner_figures(runner="b")
    assert not RunnerFigures.objects.exists()


async def test_gist_stays_while_nothing_happens() -> None:
    pools = Pools(POOLS, ScriptedNursery())
    before = gist_of({"pools": pools.stats()})
    assert gist_of({"pools": pools.stats()}) == before
    pools.general.scale(7, 0)
    assert gist_of({"pools": pools.stats()}) != before
