"""What the wire formats of providers have in common: their seam, their settings and their errors. No I/O."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Protocol

import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.errors import (
    AuthError,
    BillingError,
    ContextWindowExceeded,
    InvalidRequest,
    LMError,
    LMTimeout,
    RateLimited,
    Refusal,
    ServerError,
    UnexpectedResponse,
)
from runner.lm.types import LMProfile, LMRequest, LMResponse

_EXCERPT = 500


class Answer(Protocol):
    """Puts an answer together from what the provider sends."""

    def event(self, data: bytes) -> str:
        """Take the data of one server-sent event; the text that it adds. Raises what it reports."""
        ...

    def whole(self, data: bytes) -> str:
        """Take the one JSON body of a provider that did not stream."""
        ...

    def response(self) -> LMResponse:
        """The whole answer. Raises when the stream was cut, or the model refused."""
        ...


class Wire(Protocol):
    """One provider API: what is sent for a request, and how its answer is read."""

    path: str
    """What follows the base URL."""

    def headers(self, profile: LMProfile) -> dict[str, str]: ...

    def body(self, request: LMRequest, profile: LMProfile) -> dict[str, Any]: ...

    def answer(self) -> Answer: ...


def settings_of[S: msgspec.Struct](profile: LMProfile, kind: type[S]) -> S:
    """The adapter's own settings of the profile; InvalidConfig names what is wrong with them."""
    try:
        return msgspec.convert(profile.settings, kind)
    except msgspec.ValidationError as error:
        message = f"The settings of LM profile '{profile.name}' can't be read: {error}."
        raise InvalidConfig(message) from error


def decoded[T](decode: "msgspec.json.Decoder[T]", data: bytes, expected: str) -> T:
    """What the provider sent, as the type that this API has at this place."""
    try:
        return decode.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedResponse(
            f"The provider sent something that is no {expected}: {excerpt(data)}"
        ) from error


def function_of(tool: dict[str, Any]) -> dict[str, Any]:
    """The name, description and parameters of a tool in the shape of the chat-completions API."""
    function = tool.get("function", tool)
    return function if isinstance(function, dict) else {}


_BILLING = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
        "billing_error",
    }
)
_CONTEXT = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_REFUSED = frozenset(
    {"content_filter", "content_policy_violation", "image_content_policy_violation"}
)
# An error inside a stream has no status; by these names it has one. OpenAI's and Anthropic's.
_STATUS_OF = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "authentication_error": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "timeout_error": 408,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
}
# Providers without a code of their own say it in words.
_CONTEXT_WORDS = re.compile(
    r"context (length|window|size)|maximum context|prompt is too long", re.I
)
_BILLING_WORDS = re.compile(r"credit balance is too low", re.I)


def reported_error(error: Any, status: int = 0, retry_after: float | None = None) -> LMError:
    """The typed error for a provider's error object and HTTP status (0: inside a stream)."""
    if not isinstance(error, dict):
        error = {"message": str(error)}
    # vLLM and other servers of one's own say it in `detail`.
    message = excerpt(str(error.get("message") or error.get("detail") or ""))
    names = {str(error.get(key)) for key in ("code", "type")}
    status = status or _status(error, names)
    said = f"The provider answered {status}: {message}" if message else f"HTTP status {status}."
    details = {} if retry_after is None else {"retry_after": retry_after}
    client_error = 400 <= status < 500
    if names & _BILLING or (client_error and _BILLING_WORDS.search(message)):
        return BillingError(said)
    if names & _CONTEXT or (client_error and _CONTEXT_WORDS.search(message)):
        return ContextWindowExceeded(said)
    if names & _REFUSED:
        return Refusal(said)
    if "rate_limit_exceeded" in names:
        return RateLimited(said, **details)
    return _by_status(status)(said, **details)


def _status(error: dict[str, Any], names: set[str]) -> int:
    code = str(error.get("code"))
    if code.isdecimal():
        return int(code)
    return next((_STATUS_OF[name] for name in sorted(names) if name in _STATUS_OF), 500)


def _by_status(status: int) -> type[LMError]:
    known: dict[int, type[LMError]] = {
        401: AuthError,
        402: BillingError,
        403: AuthError,
        408: LMTimeout,
        429: RateLimited,
    }
    if status in known:
        return known[status]
    if status >= 500:
        return ServerError
    return InvalidRequest if status >= 400 else UnexpectedResponse


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a provider asks to wait: from `retry-after`, which holds seconds or a date, or from
    OpenAI's finer `retry-after-ms`."""
    try:
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1000)
    except ValueError:
        pass
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def excerpt(text: str | bytes) -> str:
    """The beginning of what a provider sent, for a message."""
    shown = text if isinstance(text, str) else text[: 4 * _EXCERPT].decode("utf-8", "replace")
    return shown if len(shown) <= _EXCERPT else shown[:_EXCERPT] + "…"
