"""The figures of a pool, as its page and its health show them."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from runner.bridge.pool_health import health_of
from runner.bridge.pool_settings import PoolSettings
from runner.bridge.waiting import WaitingLine

if TYPE_CHECKING:
    from runner.bridge.pool import Pool


def stats_of(pool: "Pool", now: float) -> dict[str, Any]:
    """JSON. Whose run a worker has is in it: not for everybody's eyes."""
    settings, breaker = pool.settings, pool.breaker
    crashes = pool.barrier.tainted(now)
    queued = _waiting(pool.leasing.line)
    state, why = health_of(
        breaker=breaker.state(now),
        opens_in=breaker.opens_in(now),
        draining=pool.leasing.draining,
        crashes=crashes,
        queued=queued,
        queue_limit=settings.queue_limit,
        silent=sum(not worker.answers for worker in pool.workforce),
        sessions_are_many=pool.leasing.sessions.are_many,
    )
    return {
        **_settings(settings),
        "state": str(state),
        "why": why,
        "draining": pool.leasing.draining,
        "queued": queued,
        **pool.totals.stats(),
        "started": pool.workforce.started,
        "breaker": str(breaker.state(now)),
        "failing": breaker.failing,
        "opens_in": breaker.opens_in(now),
        "sessions": len(pool.leasing.sessions),
        "tainted": [
            {
                "worker": crash.worker,
                "reason": str(crash.reason),
                "left": crash.at + settings.barrier.taint - now,
            }
            for crash in crashes
        ],
        "modules": [info.name for info in pool.ready.modules] if pool.ready else [],
        "workers": _workers(pool, now),
        **pool.history.stats(),
    }


def _workers(pool: "Pool", now: float) -> list[dict[str, Any]]:
    bound: Counter[int] = pool.leasing.sessions.by_worker()
    return [
        {**worker.stats(now), "sessions": bound[worker.number], "memory": worker.memory}
        for worker in pool.workforce
    ]


def _settings(settings: PoolSettings) -> dict[str, Any]:
    return {
        "pool": settings.name,
        "size": settings.size,
        "spares": settings.spares,
        "threads": settings.threads,
        "profile": settings.profile,
        "reuse": settings.reuse,
        "affinity": str(settings.affinity),
        "queue_limit": settings.queue_limit,
        "queue_timeout": settings.timeouts.queue,
        "session_limit": settings.sessions.limit,
    }


def _waiting(line: WaitingLine) -> int:
    return sum(1 for _ in line)
