"""What `/metrics` says of the pools, of real pools' figures as runners store them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from runner.bridge.frames import Kind
from runner.bridge.messages import Exited
from runner.bridge.pool import PoolBusy
from runner.bridge.recycling import Recycling
from runner.engine.errors import StepTimeout
from runner.services.pools import keep_runner_figures
from runner.views.pool_metrics import pool_text
from tests.people import people
from tests.pool_bench import Bench, finish


def told(work: Callable[[Bench], Awaitable[None]], **settings: Any) -> dict[str, Any]:
    """The figures of a pool in which this happened."""

    async def happen() -> dict[str, Any]:
        bench = Bench(**settings)
        try:
            await work(bench)
            return bench.pool.stats()
        finally:
            await bench.aclose()

    return asyncio.run(happen())


def families(*pools: dict[str, Any], runner: str = "host:1:ab") -> dict[str, Metric]:
    text = pool_text([{"runner": runner, "pools": list(pools)}]).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(metric: Metric, suffix: str = "", **labels: str) -> float:
    """Of the one series with these labels."""
    (found,) = (
        sample.value
        for sample in metric.samples
        if sample.name == metric.name + suffix and labels.items() <= sample.labels.items()
    )
    return float(found)


async def _busy(bench: Bench) -> None:
    """One step at work, one that waits, one that was refused; one worker crashed before."""
    call = bench.call("one")
    worker = await bench.worker()
    await worker.expect(Kind.CALL)
    bench.nursery.end(worker.pid, Exited(pid=worker.pid, signal=11))
    await finish(await bench.worker())
    await call
    bench.call("one")
    bench.call("two")
    await asyncio.sleep(0)
    with pytest.raises(PoolBusy):
        await bench.call("three")


def test_what_a_pool_is_doing_and_did() -> None:
    found = families(told(_busy, size=1, queue_limit=1))
    assert value(found["dspex_pool_workers"], state="busy") == 1
    assert value(found["dspex_pool_workers"], state="idle") == 0
    assert value(found["dspex_pool_workers_max"]) == value(found["dspex_pool_steps"]) == 1
    assert value(found["dspex_pool_queue"]) == value(found["dspex_pool_queue_limit"]) == 1
    assert value(found["dspex_pool_calls"], "_total") == 1
    assert value(found["dspex_pool_lost"], "_total") == 1
    assert value(found["dspex_pool_retried"], "_total") == 1
    assert value(found["dspex_pool_ended"], "_total", reason="segfault") == 1
    assert value(found["dspex_pool_ended"], "_total", reason="recycled") == 0
    assert value(found["dspex_pool_refused"], "_total", why="queue_full") == 1
    assert value(found["dspex_pool_breaker"], state="closed") == 1
    assert value(found["dspex_pool_tainted"]) == 1
    waits = found["dspex_pool_queue_wait_seconds"]
    assert value(waits, "_count") == value(waits, "_bucket", le="+Inf") == 3
    assert value(waits, "_sum") > 0


async def _recycled(bench: Bench) -> None:
    for _ in range(2):
        call = bench.call("run", session="a")
        await finish(await bench.worker())
        await call


def test_recycling_and_sessions_are_counted() -> None:
    found = families(told(_recycled, size=1, reuse=True, recycling=Recycling(calls=1)))
    assert value(found["dspex_pool_ended"], "_total", reason="recycled") == 2
    assert value(found["dspex_pool_workers"], state="busy") == 0


async def _refused(bench: Bench) -> None:
    bench.call("one")
    await (await bench.worker()).expect(Kind.CALL)
    with pytest.raises(PoolBusy):
        await bench.call("two")
    with pytest.raises(StepTimeout):
        await bench.call("two", deadline=asyncio.get_running_loop().time() + 0.001)


def test_steps_that_got_no_worker_are_told_apart() -> None:
    refused = families(told(_refused, size=1, queue_timeout=0.01))["dspex_pool_refused"]
    assert value(refused, "_total", why="queue_timeout") == 1
    assert value(refused, "_total", why="deadline") == 1


async def _quiet(bench: Bench) -> None:
    """Nothing."""


def test_series_stay_the_same_when_a_runner_starts_anew() -> None:
    """A process id as a label would be a new series with every start."""
    figures = told(_quiet)
    one = families(figures, runner="host:17:ab")["dspex_pool_steps"]
    other = families(figures, runner="host:18:cd")["dspex_pool_steps"]
    assert [each.labels for each in one.samples] == [each.labels for each in other.samples]


def test_two_runners_of_a_machine_are_told_apart() -> None:
    pool = told(_quiet)
    text = pool_text({"runner": f"host:{n}:x", "pools": [pool]} for n in (1, 2)).decode()
    assert 'runner="host",' in text and 'runner="host:2"' in text


@pytest.mark.django_db
def test_pages_tell_what_a_runner_of_another_process_stored(client: Client) -> None:
    stats = {"runner": "host:1:ab", "runs": 1, "pools": [told(_busy, size=1, queue_limit=1)]}
    keep_runner_figures(runner="host:1:ab", stats=stats, now=timezone.now())
    client.force_login(people().superuser)
    text = client.get("/metrics", headers={"host": "localhost"}).text
    assert 'dspex_pool_steps{pool="general",runner="host"} 1.0' in text
    assert "host:1" not in text
