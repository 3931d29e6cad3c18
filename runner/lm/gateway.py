"""The one place that calls language models: it limits, repeats, stores, streams and accounts.

One call goes through, in this order: the replay log of its run, the response cache of its project,
the flight of an equal call, and then the provider, with attempts inside the profile's limits. Each
stage is skipped, at no cost, where it is not set up.
"""

import asyncio
import random
from collections.abc import Mapping
from functools import partial
from typing import Literal

import msgspec

from runner.engine.errors import InvalidConfig, RunnerError, StepTimeout
from runner.engine.executor import Call
from runner.lm.adapters.adapter import Adapter
from runner.lm.adapters.catalogue import Adapters
from runner.lm.cache import CacheKey, ResponseCache, cache_key, request_digest
from runner.lm.call_stream import CallStream, Listener
from runner.lm.errors import OUTAGES, Exhausted, LMError, LMTimeout, UnexpectedResponse
from runner.lm.flight import Flights
from runner.lm.limits import Limits
from runner.lm.masking import Masker, StreamMasker
from runner.lm.replay import ReplayLog, replay_key
from runner.lm.retry import wait_before_retry
from runner.lm.types import LMProfile, LMRequest, LMResponse, ProfileHealth, Usage

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LMResponse).decode


class Gateway:
    """Calls language models by profile, within one event loop.

    `backoff` is seconds before the first repetition of a failed attempt; it doubles. `adapters` may be
    shared with other gateways; whoever made them closes them.
    """

    def __init__(
        self,
        profiles: Mapping[str, LMProfile],
        *,
        default: str,
        replay_log: ReplayLog | None = None,
        response_cache: ResponseCache | None = None,
        adapters: Adapters | None = None,
        backoff: float = 0.5,
    ) -> None:
        self._profiles = dict(profiles)
        self._default = default
        self._replay_log = replay_log
        self._response_cache = response_cache
        self._backoff = backoff
        self._masker = Masker(profile.api_key for profile in profiles.values())
        self._adapters = adapters or Adapters()
        self._owns_adapters = adapters is None
        self._slots = {
            name: asyncio.Semaphore(profile.concurrency) for name, profile in profiles.items()
        }
        self._flights = Flights()
        self._limits = Limits()
        for profile in (*profiles.values(), self.profile(default)):
            self.adapter(profile.adapter)

    def profile(self, name: str | None) -> LMProfile:
        """The profile of this name, the default one for None; InvalidConfig lists what there is."""
        profile = self._profiles.get(self._default if name is None else name)
        if profile is None:
            known = ", ".join(sorted(self._profiles)) or "none"
            asked = self._default if name is None else name
            raise InvalidConfig(f"There is no LM profile '{asked}'. LM profiles: {known}.")
        return profile

    def adapter(self, name: str) -> Adapter:
        """The gateway's adapter of this name, made on first use."""
        return self._adapters.named(name)

    def health(self) -> list[ProfileHealth]:
        """Whether each profile could be called now. Spends no token and opens no connection."""
        found = []
        for name, profile in self._profiles.items():
            ok, detail = self.adapter(profile.adapter).health(profile)
            found.append(
                ProfileHealth(
                    name=name, adapter=profile.adapter, ok=ok, detail=self._masker.text(detail)
                )
            )
        return found

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse:
        """Answer the request; chunks and events of the call go to `call.observer`.

        Raises an LMError, StepTimeout when `call.deadline` passes, or MissingPackages. Cancelling it
        closes the provider's connection at once, unless an equal call shares it.
        """
        chosen = self.profile(profile)
        stream = CallStream(call)
        try:
            if call.deadline is None:
                response = await self._replayed(request, call, chosen, stream)
            else:
                response = await self._in_time(call.deadline, request, call, chosen, stream)
        except RunnerError as error:
            stream.failed(request, chosen, self._masker, error)
            raise
        stream.answered(request, chosen, self._masker, response)
        return response

    async def aclose(self) -> None:
        """End what is under way; release connections and processes, unless they are shared."""
        await self._flights.aclose()
        if self._owns_adapters:
            await self._adapters.aclose()

    async def _in_time(
        self,
        deadline: float,
        request: LMRequest,
        call: Call,
        profile: LMProfile,
        stream: CallStream,
    ) -> LMResponse:
        try:
            with self._limits.until(deadline):
                return await self._replayed(request, call, profile, stream)
        except TimeoutError:
            message = f"The deadline passed during a call of LM profile '{profile.name}'."
            raise StepTimeout(message) from None

    async def _replayed(
        self, request: LMRequest, call: Call, profile: LMProfile, stream: CallStream
    ) -> LMResponse:
        log = self._replay_log
        if log is None:
            return await self._cached(request, call, profile, stream)
        key = replay_key(request, request_digest(request, profile), call)
        stored = await log.get(key)
        if stored is not None:
            return _stored(stored, "replay_log")
        response = await self._cached(request, call, profile, stream)
        await log.put(key, _encode(response))
        return response

    async def _cached(
        self, request: LMRequest, call: Call, profile: LMProfile, stream: CallStream
    ) -> LMResponse:
        cache = self._response_cache
        if cache is None or not call.policy.cache:
            return await self._pay(request, profile, call.deadline, stream)
        key = cache_key(request, request_digest(request, profile), profile)
        if request.fresh:  # the stored answer was bad: take none, but leave the next one there
            return await self._pay_and_store(cache, key, request, profile, stream)
        stored = await cache.get(key)
        if stored is not None:
            return _stored(stored, "response_cache")
        pay = partial(self._pay_and_store, cache, key, request, profile)
        return await self._flights.join(key, stream, pay)

    async def _pay_and_store(
        self,
        cache: ResponseCache,
        key: CacheKey,
        request: LMRequest,
        profile: LMProfile,
        listener: Listener,
    ) -> LMResponse:
        # No deadline: others may wait for the same answer, and each waits within its own.
        response = await self._pay(request, profile, None, listener)
        await cache.put(key, _encode(response))
        return response

    async def _pay(
        self, request: LMRequest, profile: LMProfile, deadline: float | None, listener: Listener
    ) -> LMResponse:
        """Ask the provider, and again after an outage as long as the profile allows."""
        asked = _with_defaults(request, profile)
        slots = self._slots[profile.name]
        attempt = 0
        while True:
            attempt += 1
            try:
                async with slots:
                    return await self._attempt(asked, profile, listener)
            except OUTAGES as error:
                listener.retract(error.code)
                wait = self._wait(error, attempt, profile, deadline)
                if wait is None:
                    raise _exhausted(error, attempt, profile) from error
            await asyncio.sleep(wait)

    def _wait(
        self, error: LMError, attempt: int, profile: LMProfile, deadline: float | None
    ) -> float | None:
        now = asyncio.get_running_loop().time()
        return wait_before_retry(
            error,
            attempt=attempt,
            retries=profile.retries,
            backoff=self._backoff,
            remaining=None if deadline is None else deadline - now,
            chance=random.random(),  # noqa: S311 (spreads load, keeps no secret)
        )

    async def _attempt(
        self, request: LMRequest, profile: LMProfile, listener: Listener
    ) -> LMResponse:
        listener.attempted()
        limit = self._limits.until(asyncio.get_running_loop().time() + profile.timeout)
        try:
            with limit:
                return await self._listen(request, profile, listener)
        except TimeoutError as error:
            if not limit.expired:
                raise
            message = f"LM profile '{profile.name}' did not answer within {profile.timeout:g} s."
            raise LMTimeout(message) from error
        except LMError as error:
            self._mask(error)
            raise

    async def _listen(
        self, request: LMRequest, profile: LMProfile, listener: Listener
    ) -> LMResponse:
        """Pass on what streams in, without keys, up to the answer."""
        mask = StreamMasker(self._masker) if self._masker.keys else None
        parts = self._adapters.named(profile.adapter).stream(request, profile)
        try:
            async for part in parts:
                if isinstance(part, LMResponse):
                    if mask is not None and (rest := mask.finish()):
                        listener.delta(rest)
                    return self._accounted(part, profile)
                if delta := part if mask is None else mask.feed(part):
                    listener.delta(delta)
        finally:
            await parts.aclose()
        raise UnexpectedResponse(f"LM profile '{profile.name}': the stream had no end.")

    def _accounted(self, response: LMResponse, profile: LMProfile) -> LMResponse:
        """The answer with its cost, and without keys."""
        usage = response.usage
        if profile.input_price or profile.output_price:
            millionths = (
                usage.input_tokens * profile.input_price
                + usage.output_tokens * profile.output_price
            )
            usage = msgspec.structs.replace(usage, cost=millionths / 1e6)
        elif not self._masker.keys:
            return response
        return msgspec.structs.replace(
            response,
            usage=usage,
            text=self._masker.text(response.text),
            tool_calls=self._masker.value(response.tool_calls),
        )

    def _mask(self, error: LMError) -> None:
        error.message = self._masker.text(error.message)
        error.details = self._masker.value(error.details)
        error.args = (error.message,)


def _with_defaults(request: LMRequest, profile: LMProfile) -> LMRequest:
    """The request with the profile's settings where it leaves them open."""
    temperature = profile.temperature if request.temperature is None else request.temperature
    max_tokens = profile.max_tokens if request.max_tokens is None else request.max_tokens
    if temperature == request.temperature and max_tokens == request.max_tokens:
        return request
    return msgspec.structs.replace(request, temperature=temperature, max_tokens=max_tokens)


def _stored(value: bytes, source: Literal["replay_log", "response_cache"]) -> LMResponse:
    return msgspec.structs.replace(_decode(value), source=source, usage=Usage())


def _exhausted(error: LMError, attempts: int, profile: LMProfile) -> Exhausted:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return Exhausted(
        f"LM profile '{profile.name}' failed after {tries}, the last with {error.code}: {error.message}",
        **error.details | {"cause": error.code, "attempts": attempts},
    )
