"""The pools' figures for Prometheus, as runners told them last: pages may be served by another process.

Labels are names of pools and of machines, and words of our own; a runner's name has its process in it,
which would make a new series with every start.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from runner.bridge.breaker import BreakerState
from runner.bridge.endings import EndReason
from runner.bridge.places import WorkerState
from runner.bridge.pool_health import PoolState
from runner.bridge.pool_totals import WAITS, Refusal

type Figures = dict[str, Any]
type Told = list[tuple[tuple[str, str], Figures]]
"""Each pool by runner and name."""

_LABELS = ("runner", "pool")
_GAUGES: dict[str, tuple[str, Callable[[Figures], float]]] = {
    "dspex_pool_workers_max": ("Live workers at most.", lambda pool: pool["size"]),
    "dspex_pool_steps": (
        "Steps at work in workers.",
        lambda pool: sum(len(worker["steps"]) for worker in pool["workers"]),
    ),
    "dspex_pool_steps_max": (
        "Steps that may be at work: workers by threads.",
        lambda pool: pool["size"] * pool["threads"],
    ),
    "dspex_pool_queue": ("Steps that wait for a worker.", lambda pool: pool["queued"]),
    "dspex_pool_queue_limit": ("Steps that may wait.", lambda pool: pool["queue_limit"]),
    "dspex_pool_sessions": ("Sessions bound to a worker.", lambda pool: pool["sessions"]),
    "dspex_pool_tainted": (
        "Crashes that taint their step.",
        lambda pool: len(pool["tainted"]),
    ),
    "dspex_pool_memory_bytes": (
        "Memory of all workers.",
        lambda pool: sum(worker["memory"] or 0 for worker in pool["workers"]),
    ),
}
_COUNTERS = {
    "dspex_pool_calls": ("Calls that workers did.", "calls"),
    "dspex_pool_lost": ("Attempts whose worker was lost.", "lost"),
    "dspex_pool_retried": ("New attempts after a loss.", "retried"),
    "dspex_pool_reclaimed": ("Workers taken back from a run for another.", "reclaimed"),
    "dspex_pool_started": ("Workers that were started.", "started"),
}


def pool_text(told: Iterable[Figures]) -> bytes:
    """What these runners told, in Prometheus's text format."""
    pools = list(_pools(told))

    class Once:
        def collect(self) -> Iterator[Metric]:
            yield from _gauges(pools)
            yield from _states(pools)
            yield from _counters(pools)
            yield _waits(pools)

    registry = CollectorRegistry()
    registry.register(Once())
    return generate_latest(registry)


def _pools(told: Iterable[Figures]) -> Iterator[tuple[tuple[str, str], Figures]]:
    """Runners by their machine; a second one there has a number."""
    seen: Counter[str] = Counter()
    for each in told:
        host = each["runner"].partition(":")[0]
        seen[host] += 1
        runner = host if seen[host] == 1 else f"{host}:{seen[host]}"
        for pool in each["pools"]:
            yield (runner, pool["pool"]), pool


def _gauges(pools: Told) -> Iterator[Metric]:
    for name, (help_, figure) in _GAUGES.items():
        family = GaugeMetricFamily(name, help_, labels=_LABELS)
        for labels, pool in pools:
            family.add_metric(labels, figure(pool))
        yield family


def _states(pools: Told) -> Iterator[Metric]:
    """One series for each state, with zeros, so that none stays at what it was."""
    workers = GaugeMetricFamily(
        "dspex_pool_workers", "Workers, by state.", labels=(*_LABELS, "state")
    )
    health = GaugeMetricFamily(
        "dspex_pool_health", "1 for how the pool is.", labels=(*_LABELS, "state")
    )
    breaker = GaugeMetricFamily(
        "dspex_pool_breaker", "1 for how the breaker is.", labels=(*_LABELS, "state")
    )
    for labels, pool in pools:
        states = Counter(worker["state"] for worker in pool["workers"])
        for state in WorkerState:
            if state is not WorkerState.ENDED:
                workers.add_metric((*labels, state), states[state])
        for health_state in PoolState:
            health.add_metric((*labels, health_state), pool["state"] == health_state)
        for breaker_state in BreakerState:
            breaker.add_metric((*labels, breaker_state), pool["breaker"] == breaker_state)
    yield from (workers, health, breaker)


def _counters(pools: Told) -> Iterator[Metric]:
    for name, (help_, key) in _COUNTERS.items():
        family = CounterMetricFamily(name, help_, labels=_LABELS)
        for labels, pool in pools:
            family.add_metric(labels, pool[key])
        yield family
    by_word = (
        ("dspex_pool_ended", "Workers that ended, by reason.", "reason", "ended", EndReason),
        ("dspex_pool_refused", "Steps that got no worker, by why.", "why", "refused", Refusal),
    )
    for name, help_, label, key, words in by_word:
        family = CounterMetricFamily(name, help_, labels=(*_LABELS, label))
        for labels, pool in pools:
            for word in words:
                family.add_metric((*labels, str(word)), pool[key].get(word, 0))
        yield family


def _waits(pools: Told) -> Metric:
    family = HistogramMetricFamily(
        "dspex_pool_queue_wait_seconds", "Seconds until a step got its worker.", labels=_LABELS
    )
    for labels, pool in pools:
        buckets, below = [], 0
        for bound, count in zip((*map(str, WAITS), "+Inf"), pool["waits"], strict=True):
            below += count
            buckets.append((bound, float(below)))
        family.add_metric(labels, buckets, pool["waited"])
    return family
