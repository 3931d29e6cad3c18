"""The wire format of the chat-completions API: what is sent, and what is read. No I/O."""

import re
from typing import Any, Literal
from urllib.parse import urlsplit

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
    TransportError,
    UnexpectedResponse,
)
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message, Usage

# What OpenAI itself wants instead of `max_tokens`, which everybody else still takes.
_OPENAI_HOSTS = frozenset({"api.openai.com"})
_EXCERPT = 500


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of an openai_compatible profile.

    `max_tokens_field` is the name the provider gives the limit; `strict` is sent with a JSON Schema;
    `extra` is merged into every request as it is.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    strict: bool = True
    extra: dict[str, Any] = {}


def settings_of(profile: LMProfile) -> Settings:
    try:
        return msgspec.convert(profile.settings, Settings)
    except msgspec.ValidationError as error:
        message = f"The settings of LM profile '{profile.name}' can't be read: {error}."
        raise InvalidConfig(message) from error


def request_body(request: LMRequest, profile: LMProfile, settings: Settings) -> dict[str, Any]:
    """The JSON of a streamed chat completion."""
    body: dict[str, Any] = {
        "model": profile.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        _max_tokens_field(profile, settings): request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "tools": list(request.tools) or None,
        "tool_choice": request.tool_choice,
        "response_format": _response_format(request, profile, settings),
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    body.update(settings.extra)
    return body


def _message(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = msgspec.to_builtins(message)
    if "content" not in sent:  # empty text is the default, and is required on the wire
        sent["content"] = None if message.tool_calls else ""
    return sent


def _max_tokens_field(profile: LMProfile, settings: Settings) -> str:
    if settings.max_tokens_field:
        return settings.max_tokens_field
    openai = urlsplit(profile.base_url).hostname in _OPENAI_HOSTS
    return "max_completion_tokens" if openai else "max_tokens"


def _response_format(
    request: LMRequest, profile: LMProfile, settings: Settings
) -> dict[str, Any] | None:
    """A schema where the provider can hold to one, else any JSON object."""
    if request.response_schema is not None and profile.structured:
        schema = {"name": "answer", "strict": settings.strict, "schema": request.response_schema}
        return {"type": "json_schema", "json_schema": schema}
    if request.json_object or request.response_schema is not None:
        return {"type": "json_object"}
    return None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # when the provider did not stream
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class ChatAnswer:
    """Puts an answer together from the chunks of a stream, or from one whole completion."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._usage = Usage()
        self._model = ""
        self._finish_reason = ""

    def feed(self, data: bytes) -> str:
        """Take one chunk; the text that it adds. Raises what the provider reports inside the stream."""
        try:
            chunk = _decode_chunk(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnexpectedResponse(
                f"The provider sent something that is no chat completion: {excerpt(data)}"
            ) from error
        if chunk.error:
            raise reported_error(chunk.error)
        self._model = chunk.model or self._model
        if chunk.usage:
            self._usage = Usage(
                input_tokens=chunk.usage.prompt_tokens or 0,
                output_tokens=chunk.usage.completion_tokens or 0,
            )
        return "".join([self._choice(choice) for choice in chunk.choices[:1]])

    def _choice(self, choice: _Choice) -> str:
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta or choice.message or _Delta()
        for index, part in enumerate(delta.tool_calls or ()):
            self._tool_call(part, part.index if choice.delta else index)
        if delta.refusal:
            self._refusal.append(delta.refusal)
        if delta.content:
            self._text.append(delta.content)
        return delta.content or ""

    def _tool_call(self, part: _ToolCall, index: int) -> None:
        function = {"name": "", "arguments": ""}
        call = self._tool_calls.setdefault(
            index, {"id": "", "type": "function", "function": function}
        )
        call["id"] = part.id or call["id"]
        call["function"]["name"] += part.function.name or ""
        call["function"]["arguments"] += part.function.arguments or ""

    def response(self) -> LMResponse:
        """The whole answer. Raises when the stream was cut, or the model refused."""
        text = "".join(self._text)
        if not self._finish_reason:
            raise TransportError("The provider's stream was cut before its end.")
        if self._refusal or self._finish_reason == "content_filter":
            reason = "".join(self._refusal) or "The provider's content filter stopped the answer."
            raise Refusal(reason, answer=text)
        return LMResponse(
            text=text,
            model=self._model,
            finish_reason=self._finish_reason,
            usage=self._usage,
            tool_calls=[self._tool_calls[index] for index in sorted(self._tool_calls)] or None,
        )


_BILLING = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_CONTEXT = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# Providers without a code of their own say it in words.
_CONTEXT_WORDS = re.compile(
    r"context (length|window|size)|maximum context|prompt is too long", re.I
)


def reported_error(error: Any, status: int = 0, retry_after: float | None = None) -> LMError:
    """The typed error for a provider's error object and HTTP status (0: inside a stream)."""
    if not isinstance(error, dict):
        error = {"message": str(error)}
    message = excerpt(str(error.get("message") or ""))
    names = {str(error.get(key)) for key in ("code", "type")}
    code = error.get("code")
    status = status or (code if isinstance(code, int) else 500)
    said = f"The provider answered {status}: {message}" if message else f"HTTP status {status}."
    details = {} if retry_after is None else {"retry_after": retry_after}
    if names & _BILLING:
        return BillingError(said)
    if names & _CONTEXT or (400 <= status < 500 and _CONTEXT_WORDS.search(message)):
        return ContextWindowExceeded(said)
    if "content_filter" in names or "content_policy_violation" in names:
        return Refusal(said)
    if "rate_limit_exceeded" in names:
        return RateLimited(said, **details)
    return _by_status(status)(said, **details)


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


def excerpt(text: str | bytes) -> str:
    """The beginning of what a provider sent, for a message."""
    shown = text if isinstance(text, str) else text[: 4 * _EXCERPT].decode("utf-8", "replace")
    return shown if len(shown) <= _EXCERPT else shown[:_EXCERPT] + "…"
