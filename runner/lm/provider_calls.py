"""Calls that reach a provider: attempts within the profile's limits and the run's budgets, repeated
after an outage, masked and accounted."""

import asyncio
import random
from collections.abc import AsyncGenerator

import msgspec

from runner.lm.adapters.adapter import Part
from runner.lm.adapters.catalogue import Adapters
from runner.lm.budget import OUTPUT_LIMIT, Ledger, input_estimate, spend_estimate
from runner.lm.call_stream import Listener
from runner.lm.errors import (
    OUTAGES,
    Exhausted,
    LMError,
    LMTimeout,
    RateLimited,
    UnexpectedResponse,
)
from runner.lm.limits import Limits
from runner.lm.masking import Masker, StreamMasker
from runner.lm.retry import LONGEST_WAIT, wait_before_retry
from runner.lm.throttle import Place, Throttles
from runner.lm.types import LMProfile, LMRequest, LMResponse, Rejected, Usage

CHARACTERS_PER_TOKEN = 4


class ProviderCalls:
    """Pays: everything here costs money. What is stored or shared never gets this far."""

    def __init__(
        self,
        *,
        adapters: Adapters,
        throttles: Throttles,
        ledger: Ledger,
        masker: Masker,
        limits: Limits,
        backoff: float,
    ) -> None:
        self._adapters = adapters
        self._throttles = throttles
        self._ledger = ledger
        self._masker = masker
        self._limits = limits
        self._backoff = backoff

    async def pay(
        self,
        request: LMRequest,
        profile: LMProfile,
        run_id: str,
        deadline: float | None,
        listener: Listener,
    ) -> LMResponse:
        """Ask the provider, and again after an outage as long as the profile allows."""
        asked = _with_defaults(request, profile)
        budgeted = self._ledger.limits(run_id)
        if budgeted and asked.max_tokens is None:
            asked = msgspec.structs.replace(asked, max_tokens=OUTPUT_LIMIT)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._in_place(asked, profile, run_id, listener, budgeted=budgeted)
            except OUTAGES as error:
                listener.retract(error.code)
                self._hold(error, profile)
                wait = self._wait(error, attempt, profile, deadline)
                if wait is None:
                    raise _exhausted(error, attempt, profile) from error
            await asyncio.sleep(wait)

    async def _in_place(
        self,
        request: LMRequest,
        profile: LMProfile,
        run_id: str,
        listener: Listener,
        *,
        budgeted: bool,
    ) -> LMResponse:
        """One attempt, when its turn has come and every budget has room for it."""
        counted = profile.tokens_per_minute is not None
        estimate = input_estimate(request) + (request.max_tokens or 0) if counted else 0
        async with self._throttles.of(profile).place(profile, estimate) as place:
            if not budgeted:
                return await self._attempt(request, profile, listener, place)
            reservation = self._ledger.reserve(run_id, spend_estimate(request, profile))
            heard = _Heard(listener)
            usage = Usage()
            try:
                response = await self._attempt(request, profile, heard, place)
                usage = response.usage
                return response
            finally:
                reservation.settle(usage if usage.input_tokens else heard.usage(request, profile))

    async def _attempt(
        self, request: LMRequest, profile: LMProfile, listener: Listener, place: Place
    ) -> LMResponse:
        listener.attempted(place.waited)
        limit = self._limits.until(asyncio.get_running_loop().time() + profile.timeout)
        try:
            with limit:
                response = await self._listen(request, profile, listener, place)
        except TimeoutError as error:
            if not limit.expired:
                raise
            message = f"LM profile '{profile.name}' did not answer within {profile.timeout:g} s."
            raise LMTimeout(message) from error
        except LMError as error:
            self._mask(error)
            raise
        place.tokens = response.usage.input_tokens + response.usage.output_tokens
        return response

    async def _listen(
        self, request: LMRequest, profile: LMProfile, listener: Listener, place: Place
    ) -> LMResponse:
        """Pass on what streams in, without keys, up to the answer."""
        mask = StreamMasker(self._masker) if self._masker.keys else None
        parts = self._adapters.named(profile.adapter).stream(request, profile)
        try:
            part = await self._first(parts, profile)
            while part is not None:
                if isinstance(part, str):
                    if delta := part if mask is None else mask.feed(part):
                        listener.delta(delta)
                    part = await anext(parts, None)
                    continue
                if mask is not None and (rest := mask.finish()):
                    listener.delta(rest)
                if isinstance(part, LMResponse):
                    return self._accounted(part, profile)
                listener.rejected(self._rejected(part, profile))
                place.asked_again()
                part = await anext(parts, None)
        finally:
            await parts.aclose()
        raise UnexpectedResponse(f"LM profile '{profile.name}': the stream had no end.")

    async def _first(self, parts: AsyncGenerator[Part, None], profile: LMProfile) -> Part | None:
        seconds = profile.first_token_timeout
        if seconds is None:
            return await anext(parts, None)
        limit = self._limits.until(asyncio.get_running_loop().time() + seconds)
        try:
            with limit:
                return await anext(parts, None)
        except TimeoutError as error:
            if not limit.expired:
                raise
            message = f"LM profile '{profile.name}' sent nothing within {seconds:g} s."
            raise LMTimeout(message) from error

    def _accounted(self, response: LMResponse, profile: LMProfile) -> LMResponse:
        """The answer with its cost, and without keys."""
        usage = response.usage
        if profile.input_price or profile.output_price:
            usage = msgspec.structs.replace(usage, cost=profile.cost(usage))
        elif not self._masker.keys:
            return response
        return msgspec.structs.replace(
            response,
            usage=usage,
            text=self._masker.text(response.text),
            tool_calls=self._masker.value(response.tool_calls),
        )

    def _rejected(self, rejected: Rejected, profile: LMProfile) -> Rejected:
        return Rejected(
            response=self._accounted(rejected.response, profile),
            problem=self._masker.text(rejected.problem),
        )

    def _mask(self, error: LMError) -> None:
        error.message = self._masker.text(error.message)
        error.details = self._masker.value(error.details)
        error.args = (error.message,)

    def _hold(self, error: LMError, profile: LMProfile) -> None:
        """The provider's wish counts for all who call it, not only for who was told."""
        seconds = error.details.get("retry_after")
        if isinstance(error, RateLimited) and seconds and seconds <= LONGEST_WAIT:
            now = asyncio.get_running_loop().time()
            self._throttles.of(profile).hold(now + seconds)

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


class _Heard:
    """A listener that counts what streams through it: a provider counts that too, when a call breaks off
    or is cancelled."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._characters = 0
        self._rejected = Usage()

    def usage(self, request: LMRequest, profile: LMProfile) -> Usage:
        """What an attempt without an answer will have cost."""
        if not self._characters:
            return self._rejected
        usage = Usage(
            input_tokens=input_estimate(request),
            output_tokens=self._characters // CHARACTERS_PER_TOKEN + 1,
        )
        return self._rejected + msgspec.structs.replace(usage, cost=profile.cost(usage))

    def attempted(self, waited: float) -> None:
        self._listener.attempted(waited)

    def delta(self, text: str) -> None:
        self._characters += len(text)
        self._listener.delta(text)

    def retract(self, reason: str) -> None:
        self._listener.retract(reason)

    def rejected(self, rejected: Rejected) -> None:
        self._characters = 0
        self._rejected += rejected.response.usage
        self._listener.rejected(rejected)


def _with_defaults(request: LMRequest, profile: LMProfile) -> LMRequest:
    """The request with the profile's settings where it leaves them open."""
    temperature = profile.temperature if request.temperature is None else request.temperature
    max_tokens = profile.max_tokens if request.max_tokens is None else request.max_tokens
    if temperature == request.temperature and max_tokens == request.max_tokens:
        return request
    return msgspec.structs.replace(request, temperature=temperature, max_tokens=max_tokens)


def _exhausted(error: LMError, attempts: int, profile: LMProfile) -> Exhausted:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return Exhausted(
        f"LM profile '{profile.name}' failed after {tries}, the last with {error.code}: {error.message}",
        **error.details | {"cause": error.code, "attempts": attempts},
    )
