"""The response cache: answers that a project shares, with one payer for calls made at the same time."""

import hashlib
from collections import OrderedDict
from typing import Protocol

import msgspec

from runner.lm.types import LMProfile, LMRequest


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """What must be equal for an answer to be taken again."""

    profile: str
    revision: int
    request: str
    rollout_id: int | None
    candidate: int


class ResponseCache(Protocol):
    """Keeps answers. Two implementations: memory (here) and the database (runner)."""

    async def get(self, key: CacheKey) -> bytes | None:
        """The stored answer as JSON."""
        ...

    async def put(self, key: CacheKey, value: bytes) -> None: ...


class MemoryResponseCache:
    """Keeps the answers used last, up to a number of them and of bytes."""

    def __init__(self, *, answers: int = 10_000, size: int = 64 * 2**20) -> None:
        self._answers, self._size = answers, size
        self._stored: OrderedDict[CacheKey, bytes] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._stored)

    async def get(self, key: CacheKey) -> bytes | None:
        value = self._stored.get(key)
        if value is not None:
            self._stored.move_to_end(key)
        return value

    async def put(self, key: CacheKey, value: bytes) -> None:
        self.bytes += len(value) - len(self._stored.pop(key, b""))
        self._stored[key] = value
        while self._stored and (len(self._stored) > self._answers or self.bytes > self._size):
            self.bytes -= len(self._stored.popitem(last=False)[1])


_encode = msgspec.json.Encoder().encode


def request_digest(request: LMRequest, profile: LMProfile) -> str:
    """What is asked, of which profile, as 32 hexadecimal digits.

    Left out is what keys hold apart (rollout, candidate), `fresh`, `predictor`, and what the profile
    adds, so that a run resumed after its profile was mended still finds what it paid for. The order of
    a schema's properties counts: it orders the answer.
    """
    asked = msgspec.structs.replace(
        request, rollout_id=None, candidate=0, fresh=False, predictor=""
    )
    return hashlib.blake2b(_encode((profile.name, asked)), digest_size=16).hexdigest()


def cache_key(request: LMRequest, digest: str, profile: LMProfile) -> CacheKey:
    return CacheKey(
        profile=profile.name,
        revision=profile.revision,
        request=digest,
        rollout_id=request.rollout_id,
        candidate=request.candidate,
    )
