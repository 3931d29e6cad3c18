"""The one place that calls language models: it limits, repeats, stores, streams and accounts.

One call goes through, in this order: the replay log of its run, the response cache of its project,
the flight of an equal call, and then the provider, with attempts inside the profile's limits. Each
stage is skipped, at no cost, where it is not set up.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from runner.engine.errors import InvalidConfig, RunnerError, StepTimeout
from runner.engine.executor import Call
from runner.lm.adapters.adapter import Adapter
from runner.lm.adapters.catalogue import Adapters
from runner.lm.budget import Ledger
from runner.lm.cache import CacheKey, ResponseCache, cache_key, request_digest
from runner.lm.call_record import CallRecord, record_of
from runner.lm.call_stream import CallStream, Listener
from runner.lm.flight import Flights
from runner.lm.limits import Limits
from runner.lm.masking import Masker
from runner.lm.provider_calls import ProviderCalls
from runner.lm.replay import ReplayLog, replay_key
from runner.lm.throttle import Throttles
from runner.lm.types import LMProfile, LMRequest, LMResponse, ProfileHealth, Usage

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LMResponse).decode


class Gateway:
    """Calls language models by profile, within one event loop.

    `backoff` is seconds before the first repetition of a failed attempt; it doubles. `adapters`,
    `throttles` and `ledger` may be shared with other gateways; whoever made the adapters closes them.
    `tell` hears of every call when it is over, on the event loop: it must be quick.
    """

    def __init__(
        self,
        profiles: Mapping[str, LMProfile],
        *,
        default: str,
        replay_log: ReplayLog | None = None,
        response_cache: ResponseCache | None = None,
        adapters: Adapters | None = None,
        throttles: Throttles | None = None,
        ledger: Ledger | None = None,
        tell: Sequence[Callable[[CallRecord], None]] = (),
        backoff: float = 0.5,
    ) -> None:
        self._profiles = dict(profiles)
        self._default = default
        self._replay_log = replay_log
        self._response_cache = response_cache
        self._tell = tuple(tell)
        self._masker = Masker(profile.api_key for profile in profiles.values())
        self._adapters = adapters or Adapters()
        self._owns_adapters = adapters is None
        self._flights = Flights()
        self._limits = Limits()
        self.throttles = throttles or Throttles()
        self._provider = ProviderCalls(
            adapters=self._adapters,
            throttles=self.throttles,
            ledger=ledger or Ledger(),
            masker=self._masker,
            limits=self._limits,
            backoff=backoff,
        )
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
            self._told(stream.failed(request, chosen, self._masker, error), request, chosen, call)
            raise
        self._told(stream.answered(request, chosen, self._masker, response), request, chosen, call)
        return response

    def _told(
        self, data: dict[str, Any], request: LMRequest, profile: LMProfile, call: Call
    ) -> None:
        if self._tell:
            record = record_of(data, request, profile, call)
            for tell in self._tell:
                tell(record)

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
            return await self._provider.pay(request, profile, call.run_id, call.deadline, stream)
        key = cache_key(request, request_digest(request, profile), profile)
        if request.fresh:  # the stored answer was bad: take none, but leave the next one there
            return await self._pay_and_store(cache, key, request, profile, call.run_id, stream)
        stored = await cache.get(key)
        if stored is not None:
            return _stored(stored, "response_cache")
        pay = partial(self._pay_and_store, cache, key, request, profile, call.run_id)
        return await self._flights.join(key, stream, pay)

    async def _pay_and_store(
        self,
        cache: ResponseCache,
        key: CacheKey,
        request: LMRequest,
        profile: LMProfile,
        run_id: str,
        listener: Listener,
    ) -> LMResponse:
        # No deadline: others may wait for the same answer, and each waits within its own.
        response = await self._provider.pay(request, profile, run_id, None, listener)
        await cache.put(key, _encode(response))
        return response


def _stored(value: bytes, source: Literal["replay_log", "response_cache"]) -> LMResponse:
    return msgspec.structs.replace(_decode(value), source=source, usage=Usage())
