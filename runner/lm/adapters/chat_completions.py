"""The wire format of the chat-completions API: what is sent, and what is read. No I/O."""

from operator import itemgetter
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runner.lm.adapters.openai_settings import Settings, bearer
from runner.lm.adapters.wire import decoded, reported_error
from runner.lm.errors import Refusal, TransportError
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message, Usage

# What OpenAI itself wants instead of `max_tokens`, which everybody else still takes.
_OPENAI_HOSTS = frozenset({"api.openai.com"})


class ChatCompletions:
    """POST /chat/completions, always streamed."""

    path = "/chat/completions"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def headers(self, profile: LMProfile) -> dict[str, str]:
        return bearer(profile)

    def body(self, request: LMRequest, profile: LMProfile) -> dict[str, Any]:
        settings = self._settings
        reasons = settings.reasons(profile)
        body: dict[str, Any] = {
            "model": profile.model,
            "messages": [_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        optional = settings.sampling(request, profile) | {
            _max_tokens_field(profile, settings): request.max_tokens,
            "stop": None if reasons else list(request.stop) or None,
            "seed": request.seed,
            "tools": list(request.tools) or None,
            "tool_choice": request.tool_choice,
            "response_format": _response_format(request, profile, settings),
            "reasoning_effort": settings.reasoning_effort,
        }
        body.update((name, value) for name, value in optional.items() if value is not None)
        body.update(settings.extra)
        return body

    def answer(self) -> "ChatAnswer":
        return ChatAnswer()


def _message(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = msgspec.to_builtins(message)
    if "content" not in sent:  # empty text is the default, and is required on the wire
        sent["content"] = None if message.tool_calls else ""
    return sent


def _max_tokens_field(profile: LMProfile, settings: Settings) -> str:
    if settings.max_tokens_field:
        return settings.max_tokens_field
    openai = urlsplit(profile.base_url).hostname in _OPENAI_HOSTS
    return "max_completion_tokens" if openai or settings.reasons(profile) else "max_tokens"


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


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None  # parts beside what the model thought: Mistral's
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None  # when the provider did not stream
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_DONE = b"[DONE]"


class ChatAnswer:
    """Puts an answer together from the chunks of a stream, or from one whole completion."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._called: list[tuple[int, dict[str, Any]]] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}  # the last of each index
        self._usage = Usage()
        self._model = ""
        self._finish_reason = ""
        self._ended = False  # some servers give no reason, and end their stream all the same

    def event(self, data: bytes) -> str:
        if data == _DONE:
            self._ended = True
            return ""
        return self.whole(data)

    def whole(self, data: bytes) -> str:
        chunk = decoded(_CHUNK, data, "chat completion")
        if chunk.error:
            raise reported_error(chunk.error)
        self._model = chunk.model or self._model
        if chunk.usage:
            details = chunk.usage.prompt_tokens_details or _Details()
            written = chunk.usage.completion_tokens_details or _Details()
            self._usage = Usage(
                input_tokens=chunk.usage.prompt_tokens or 0,
                output_tokens=chunk.usage.completion_tokens or 0,
                cached_input_tokens=details.cached_tokens or 0,
                reasoning_tokens=written.reasoning_tokens or 0,
            )
        return "".join([self._choice(choice) for choice in chunk.choices[:1]])

    def _choice(self, choice: _Choice) -> str:
        self._finish_reason = choice.finish_reason or self._finish_reason
        self._ended = self._ended or choice.message is not None
        delta = choice.delta or choice.message or _Delta()
        for index, part in enumerate(delta.tool_calls or ()):
            self._tool_call(part, part.index if choice.delta else index)
        if delta.refusal:
            self._refusal.append(delta.refusal)
        content = delta.content or ""
        if not isinstance(content, str):
            content = "".join(each.text for each in content if each.type == "text")
        if content:
            self._text.append(content)
        return content

    def _tool_call(self, part: _ToolCall, index: int) -> None:
        call = self._tool_calls.get(index)
        # Some servers give every call the index 0: another id is another call.
        if call is None or (part.id and call["id"] not in ("", part.id)):
            function = {"name": "", "arguments": ""}
            call = self._tool_calls[index] = {"id": "", "type": "function", "function": function}
            self._called.append((index, call))
        call["id"] = part.id or call["id"]
        call["function"]["name"] += part.function.name or ""
        call["function"]["arguments"] += part.function.arguments or ""

    def response(self) -> LMResponse:
        text = "".join(self._text)
        if not self._finish_reason and not self._ended:
            raise TransportError("The provider's stream was cut before its end.")
        if self._refusal or self._finish_reason == "content_filter":
            reason = "".join(self._refusal) or "The provider's content filter stopped the answer."
            raise Refusal(reason, answer=text)
        return LMResponse(
            text=text,
            model=self._model,
            finish_reason=self._finish_reason or "stop",
            usage=self._usage,
            tool_calls=[call for _, call in sorted(self._called, key=itemgetter(0))] or None,
        )
