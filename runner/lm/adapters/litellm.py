"""The providers that only litellm reaches. It is imported when a profile names it, never before.

litellm is not installed with DSPex (docs/design.md says why). Its own retries, caches, callbacks and
fallbacks stay off: the gateway has them. It speaks HTTP itself, so what `runner/lm/network.py` checks of
a connection is here checked of the address beforehand, and not pinned; redirects are not followed where it
uses OpenAI's client.
"""

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runner.engine.errors import InvalidConfig, MissingPackages
from runner.lm.adapters.adapter import Part
from runner.lm.adapters.chat_completions import ChatAnswer, ChatCompletions
from runner.lm.adapters.openai_settings import Settings as OpenAISettings
from runner.lm.adapters.wire import reported_error, retry_after, settings_of
from runner.lm.errors import (
    AddressRefused,
    AuthError,
    BillingError,
    ContextWindowExceeded,
    LMError,
    LMTimeout,
    RateLimited,
    Refusal,
    TransportError,
)
from runner.lm.network import problem_of, resolve
from runner.lm.types import LMProfile, LMRequest

COMMAND = ".venv/bin/uv pip install --no-config --constraint requirements.lock litellm"
# Sent where the profile has no key, so that litellm does not look for one in the environment.
NO_KEY = "none"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a litellm profile: as those of chat completions, which litellm translates."""

    strict: bool = True
    reasoning_effort: str | None = None
    extra: dict[str, Any] = {}


class LiteLLMAdapter:
    """Calls `litellm.acompletion`, always streamed. The profile's model has litellm's prefix."""

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        litellm = await asyncio.to_thread(_litellm)  # its import takes seconds
        await _check_address(profile)
        arguments = _arguments(request, profile)
        answer = ChatAnswer()
        stream = None
        try:
            stream = await litellm.acompletion(**arguments)
            async for chunk in stream:
                if text := answer.whole(msgspec.json.encode(chunk.model_dump(exclude_none=True))):
                    yield text
        except LMError:
            raise
        except Exception as error:  # litellm's own, which derive from OpenAI's client
            raise error_of(error) from error
        finally:
            if stream is not None and hasattr(stream, "aclose"):
                await stream.aclose()
        # litellm ends every stream as if the provider had: also one that was cut, or was no stream at all.
        if getattr(stream, "received_finish_reason", "") is None:
            raise TransportError(
                "The provider's stream was cut before its end, or was no stream of an answer."
            )
        yield answer.response()

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            settings_of(profile, Settings)
            _find()
        except (InvalidConfig, MissingPackages) as error:
            return False, error.message
        return (True, "Set up for litellm.") if profile.model else (False, "No model is named.")

    async def aclose(self) -> None:
        """litellm keeps its connections to itself."""


def _find() -> None:
    if "litellm" not in sys.modules and importlib.util.find_spec("litellm") is None:
        raise MissingPackages(f"The package litellm is not installed. This brings it: {COMMAND}")


def _litellm() -> Any:
    _find()
    # Else its import asks a code host for lists that come with it.
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"):
        os.environ.setdefault(name, "true")
    import httpx  # litellm brings it
    import litellm  # type: ignore[import-not-found]

    litellm.telemetry = False
    litellm.drop_params = True  # what a model does not take is left out, as the other adapters do
    litellm.num_retries = 0
    litellm.suppress_debug_info = True
    if getattr(litellm, "aclient_session", None) is None:
        litellm.aclient_session = httpx.AsyncClient(follow_redirects=False, trust_env=False)
    return litellm


async def _check_address(profile: LMProfile) -> None:
    if not profile.base_url:
        return
    parts = urlsplit(profile.base_url)
    host = parts.hostname or ""
    try:
        addresses = await resolve(host, parts.port or 443)
    except OSError as error:
        raise TransportError(f"'{host}' was not found: {error}") from error
    if problem := problem_of(host, addresses, private_network=profile.private_network):
        raise AddressRefused(problem)


def _arguments(request: LMRequest, profile: LMProfile) -> dict[str, Any]:
    settings = settings_of(profile, Settings)
    wire = ChatCompletions(
        OpenAISettings(
            max_tokens_field="max_tokens",
            strict=settings.strict,
            reasoning=False,  # litellm knows what each model takes
        )
    )
    body = wire.body(request, profile)
    if settings.reasoning_effort:
        body["reasoning_effort"] = settings.reasoning_effort
    return (
        body
        | settings.extra
        | {
            "api_key": profile.api_key or NO_KEY,
            "timeout": profile.timeout,
            "max_retries": 0,
            **({"api_base": profile.base_url} if profile.base_url else {}),
        }
    )


# By the names of litellm's exceptions, so that its classes need not be there to read this.
_BY_NAME: dict[str, type[LMError]] = {
    "AuthenticationError": AuthError,
    "PermissionDeniedError": AuthError,
    "ContextWindowExceededError": ContextWindowExceeded,
    "ContentPolicyViolationError": Refusal,
    "Timeout": LMTimeout,
    "APIConnectionError": TransportError,
}


def error_of(error: Exception) -> LMError:
    """The typed error for one of litellm's."""
    message = str(getattr(error, "message", error))
    if isinstance(inner := getattr(error, "original_exception", None), Exception):
        # A stream that broke off. What the provider said in it is one level below.
        code = getattr(error.__context__, "code", None)
        return (
            error_of(inner) if code is None else reported_error(_said(error.__context__, message))
        )
    status = getattr(error, "status_code", None)
    found = reported_error(_said(error, message), status if isinstance(status, int) else 500)
    if not isinstance(found, BillingError | ContextWindowExceeded | Refusal):
        for kind in type(error).__mro__:
            if known := _BY_NAME.get(kind.__name__):
                return known(message)
    seconds = retry_after(getattr(error, "litellm_response_headers", None) or {})
    if isinstance(found, RateLimited) and seconds is not None:
        found.details["retry_after"] = seconds
    return found


def _said(error: object, message: str) -> dict[str, Any]:
    """The provider's own error object, where litellm kept it."""
    body = getattr(error, "body", None)
    said = body if isinstance(body, dict) else {"code": getattr(error, "code", None)}
    return {**said, "message": message}
