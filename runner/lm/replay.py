"""The replay log: what was answered in a run, so that a resumed run pays nothing for it again."""

from typing import Protocol

import msgspec

from runner.engine.executor import Call
from runner.lm.types import LMRequest


class ReplayKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which call of a run this was.

    `salt` tells attempts apart that must not take each other's answers; `occurrence` counts the equal
    calls of an attempt from 1.
    """

    run_id: str
    path: str
    salt: str
    request: str
    rollout_id: int | None
    candidate: int
    occurrence: int


class ReplayLog(Protocol):
    """Keeps the answers of runs. Two implementations: memory (here) and the database (runner.recorder)."""

    async def get(self, key: ReplayKey) -> bytes | None:
        """The stored answer as JSON."""
        ...

    async def put(self, key: ReplayKey, value: bytes) -> None:
        """Return when the answer is durable: its caller sees it only then."""
        ...


class MemoryReplayLog:
    """Keeps answers as long as the process lives, or until the run is forgotten."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[ReplayKey, bytes]] = {}

    async def get(self, key: ReplayKey) -> bytes | None:
        return self._runs.get(key.run_id, {}).get(key)

    async def put(self, key: ReplayKey, value: bytes) -> None:
        self._runs.setdefault(key.run_id, {})[key] = value

    def forget(self, run_id: str) -> None:
        self._runs.pop(run_id, None)


def replay_key(request: LMRequest, digest: str, call: Call) -> ReplayKey:
    """The key of the call that is being made; counts it, so ask once per call.

    The count lives on the `Call`, behind the number of LM calls, because it must begin anew exactly
    when the attempt does: an attempt that a crash interrupted and that is run again under its number
    counts as before and meets its own answers. Another attempt is another salt: it comes after a
    failure, and repeating the answers would repeat that.
    """
    seen = hash((digest, request.rollout_id, request.candidate)) | _NEVER_A_NUMBER
    call.lm_calls.append(seen)
    return ReplayKey(
        run_id=call.run_id,
        path=call.path,
        salt=str(call.attempt),
        request=digest,
        rollout_id=request.rollout_id,
        candidate=request.candidate,
        occurrence=call.lm_calls.count(seen),
    )


# `lm_calls[0]` numbers the calls; a fingerprint must not look like such a number.
_NEVER_A_NUMBER = 1 << 62
