"""The settings of pools, and how an operator writes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

from runner.bridge import formats
from runner.bridge.breaker import BreakerSettings
from runner.bridge.crash_barrier import BarrierSettings
from runner.bridge.frames import MAX_FRAME
from runner.bridge.heartbeat import HeartbeatSettings
from runner.bridge.isolation import Isolation
from runner.bridge.pacing import Pace
from runner.bridge.recycling import Recycling
from runner.bridge.sessions import Affinity, SessionSettings
from runner.bridge.timeouts import PROFILES, TimeoutProfile

DSPY_WORKER = "runner.bridge.worker"
MAX_SIZE = 150
"""Workers that a pool may have at most, whoever asks for them."""
MAX_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """`size` bounds the live workers, `spares` are forked ahead, `per_run` bounds the leases of one
    run. With `reuse`, workers serve one run after the other, and `affinity`, `sessions` and all of
    `recycling` count. Times are seconds, `limit` is bytes a frame; `queue_timeout` None takes the
    profile's. `lost_retries`: new attempts, in new workers, of a step whose worker was lost.
    `cancel_grace`: between telling a worker to stop and killing it. A worker with several `threads`,
    which needs `reuse`, does as many steps at once; `stuck_grace` is how long it goes on for the others
    when one of them does not stop."""

    name: str = "general"
    worker: str = DSPY_WORKER
    size: int = 4
    spares: int = 2
    per_run: int = 4
    profile: str = "ml_inference"
    queue_limit: int = 1_000
    queue_timeout: float | None = None
    ready_timeout: float = 30.0
    cancel_grace: float = 0.3
    stuck_grace: float = 10.0
    lost_retries: int = 2
    reuse: bool = False
    threads: int = 1
    affinity: Affinity = Affinity.HINT
    sessions: SessionSettings = SessionSettings()
    recycling: Recycling = Recycling()
    pace: Pace = Pace()
    breaker: BreakerSettings = BreakerSettings()
    barrier: BarrierSettings = BarrierSettings()
    reconcile: float = 1.0
    limit: int = MAX_FRAME
    formats: tuple[str, ...] = (
        formats.MESSAGEPACK.name,
        formats.JSON.name,
        formats.ARROW.name,
    )
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    isolation: Isolation = Isolation()

    def __post_init__(self) -> None:
        if self.threads > 1 and not self.reuse:
            raise InvalidPoolSettings(
                f"'threads' of pool '{self.name}' is {self.threads}, and its workers are of one run each. "
                "Set reuse to true, or threads to 1."
            )

    @property
    def places(self) -> int:
        """Steps that are at work at once, at most."""
        return self.size * self.threads

    @property
    def places_per_run(self) -> int:
        return self.per_run * self.threads

    @property
    def timeouts(self) -> TimeoutProfile:
        profile = PROFILES[self.profile]
        return profile if self.queue_timeout is None else replace(profile, queue=self.queue_timeout)


GENERAL = PoolSettings()
NEURAL = PoolSettings(
    name="neural",
    size=2,
    spares=0,
    reuse=True,
    recycling=Recycling(calls=1_000, age=3_600.0, idle=600.0, memory=512_000_000),
)
OPTIMIZER = PoolSettings(name="optimizer", size=2, spares=0, per_run=2, profile="batch")
POOLS = (GENERAL, NEURAL, OPTIMIZER)


class InvalidPoolSettings(ValueError):
    """A setting of a pool can't be read."""


def read_pool(pool: PoolSettings, written: Mapping[str, str]) -> PoolSettings:
    """A pool with what an operator wrote for it: `{"size": "8", "affinity": "strict_queue"}`. Raises
    InvalidPoolSettings with a sentence that names the setting and what was expected."""
    # Whether workers are kept decides what else may be set.
    for name, text in sorted(written.items(), key=lambda each: each[0] != "reuse"):
        known = _WRITTEN.get(name)
        if known is None:
            raise InvalidPoolSettings(
                f"pool '{pool.name}' has no setting '{name}'. It has: {', '.join(sorted(_WRITTEN))}."
            )
        read, put = known
        try:
            value = read(text.strip())
        except ValueError as error:
            raise InvalidPoolSettings(
                f"'{name}' of pool '{pool.name}' is '{text}'. Set it to {error}."
            ) from None
        pool = put(pool, value)
    return pool


def with_defaults(pools: tuple[PoolSettings, ...]) -> tuple[PoolSettings, ...]:
    """The pools that there are: DSPex's own, each replaced by that of its name, and any others."""
    given = {pool.name: pool for pool in pools}
    own = [given.pop(pool.name, pool) for pool in POOLS]
    return (*own, *given.values())


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isdecimal() and least <= int(text) <= most):
            raise ValueError(f"a whole number from {least} to {most:,}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not isfinite(value) or value < 0:
        raise ValueError("a number of seconds, 0 or more")
    return value


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise ValueError(f"one of {', '.join(PROFILES)}")
    return text


def _affinity(text: str) -> Affinity:
    try:
        return Affinity(text)
    except ValueError:
        raise ValueError(f"one of {', '.join(Affinity)}") from None


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(text.split("+"))
    if not set(names) <= set(formats.names()) or not set(names) - {formats.ARROW.name}:
        known = ", ".join(formats.names())
        raise ValueError(f"formats joined by +, best first, and not Arrow alone. Known: {known}")
    return names


type _Put = Callable[[PoolSettings, Any], PoolSettings]


def _own(name: str) -> _Put:
    return lambda pool, value: replace(pool, **{name: value})


def _part(part: str, name: str, scale: int = 1) -> _Put:
    def put(pool: PoolSettings, value: Any) -> PoolSettings:
        changed = replace(getattr(pool, part), **{name: value * scale})
        return replace(pool, **{part: changed})

    return put


_MANY = 10_000_000
_WRITTEN: dict[str, tuple[Callable[[str], Any], _Put]] = {
    "size": (_whole(1, MAX_SIZE), _own("size")),
    "spares": (_whole(0, MAX_SIZE), _own("spares")),
    "per_run": (_whole(1, MAX_SIZE), _own("per_run")),
    "profile": (_profile, _own("profile")),
    "queue_limit": (_whole(0, _MANY), _own("queue_limit")),
    "queue_timeout": (_seconds, _own("queue_timeout")),
    "ready_timeout": (_seconds, _own("ready_timeout")),
    "lost_retries": (_whole(0, 10), _own("lost_retries")),
    "reuse": (_flag, _own("reuse")),
    "threads": (_whole(1, MAX_THREADS), _own("threads")),
    "affinity": (_affinity, _own("affinity")),
    "session_ttl": (_seconds, _part("sessions", "ttl")),
    "session_limit": (_whole(1, _MANY), _part("sessions", "limit")),
    "max_calls": (_whole(0, _MANY), _part("recycling", "calls")),
    "max_age": (_seconds, _part("recycling", "age")),
    "max_idle": (_seconds, _part("recycling", "idle")),
    "max_memory_mb": (_whole(0, _MANY), _part("recycling", "memory", 1_000_000)),
    "start_batch": (_whole(1, MAX_SIZE), _part("pace", "batch")),
    "start_pause": (_seconds, _part("pace", "pause")),
    "breaker_failures": (_whole(1, 1_000), _part("breaker", "failures")),
    "breaker_seconds": (_seconds, _part("breaker", "seconds")),
    "formats": (_formats, _own("formats")),
    "no_network": (_flag, _part("isolation", "network")),
    "memory_mb": (_whole(0, _MANY), _part("isolation", "memory", 1_000_000)),
    "cpu_seconds": (_whole(0, _MANY), _part("isolation", "cpu_seconds")),
    "file_mb": (_whole(0, _MANY), _part("isolation", "file_size", 1_000_000)),
    "processes": (_whole(0, _MANY), _part("isolation", "processes")),
    "open_files": (_whole(0, _MANY), _part("isolation", "open_files")),
}
