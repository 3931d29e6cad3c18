"""Anthropic's Messages API over HTTP with server-sent events."""

from typing import Any

import msgspec

from runner.lm.adapters.anthropic_request import (
    ANSWER_TOOL,
    Settings,
    answers_by_tool,
    request_body,
)
from runner.lm.adapters.http_adapter import HTTPAdapter
from runner.lm.adapters.wire import decoded, reported_error, settings_of
from runner.lm.errors import ContextWindowExceeded, Refusal, TransportError
from runner.lm.types import LMProfile, LMRequest, LMResponse, Usage

# In the words of chat completions.
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}


class Messages:
    """POST /messages, always streamed."""

    path = "/messages"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def headers(self, profile: LMProfile) -> dict[str, str]:
        key = {"x-api-key": profile.api_key} if profile.api_key else {}
        return {"anthropic-version": self._settings.version, **key}

    def body(self, request: LMRequest, profile: LMProfile) -> dict[str, Any]:
        self._by_tool = answers_by_tool(request, profile, self._settings)
        return request_body(request, profile, self._settings)

    def answer(self) -> "MessagesAnswer":
        return MessagesAnswer(by_tool=self._by_tool)


class AnthropicAdapter(HTTPAdapter):
    """Every provider that speaks the Messages API."""

    def wire(self, profile: LMProfile) -> Messages:
        return Messages(settings_of(profile, Settings))


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    model: str = ""
    content: list[_Block] = []
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_MESSAGE = msgspec.json.Decoder(_Message)
_dump = msgspec.json.Encoder().encode


class MessagesAnswer:
    """Puts a message together from its events. What the model thinks is not part of the answer.

    With `by_tool` the arguments of our own tool are the text; what the model says beside would spoil
    the JSON, and is the answer only if it does not call our tool.
    """

    def __init__(self, *, by_tool: bool) -> None:
        self._by_tool = by_tool
        self._text: list[str] = []
        self._beside: list[str] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._answering: int | None = None  # the index of the block of our own tool
        self._usage = _Usage()
        self._model = ""
        self._stop_reason = ""
        self._stopped = False

    def event(self, data: bytes) -> str:
        event = decoded(_EVENT, data, "event of the Messages API")
        if event.type == "error":
            raise reported_error(event.error)
        if event.message:
            self._model = event.message.model
            self._count(event.message.usage)
        self._count(event.usage)
        if event.type == "message_stop":
            self._stopped = True
        if event.content_block:
            return self._begin(event.index, event.content_block)
        return self._delta(event.index, event.delta) if event.delta else ""

    def whole(self, data: bytes) -> str:
        message = decoded(_MESSAGE, data, "message")
        self._model, self._stop_reason = message.model, message.stop_reason or ""
        self._count(message.usage)
        self._stopped = True
        added = []
        for index, block in enumerate(message.content):
            added.append(self._begin(index, block))
            if block.type == "tool_use":
                added.append(self._argument(index, _dump(block.input).decode()))
        return "".join(added)

    def _begin(self, index: int, block: _Block) -> str:
        if block.type == "tool_use":
            if self._by_tool and block.name == ANSWER_TOOL:
                self._answering = index
            else:
                function = {"name": block.name, "arguments": ""}
                self._tool_calls[index] = {"id": block.id, "type": "function", "function": function}
        return self._say(block.text) if block.type == "text" else ""

    def _delta(self, index: int, delta: _Delta) -> str:
        self._stop_reason = delta.stop_reason or self._stop_reason
        if delta.type == "text_delta":
            return self._say(delta.text)
        return self._argument(index, delta.partial_json)

    def _argument(self, index: int, text: str) -> str:
        if index == self._answering:
            return self._add(text)
        if text and index in self._tool_calls:
            self._tool_calls[index]["function"]["arguments"] += text
        return ""

    def _say(self, text: str) -> str:
        if not self._by_tool:
            return self._add(text)
        self._beside.append(text)
        return ""

    def _add(self, text: str) -> str:
        if text:
            self._text.append(text)
        return text

    def _count(self, usage: _Usage | None) -> None:
        """The counts are cumulative; a later event may leave some out."""
        if usage is None:
            return
        for name in usage.__struct_fields__:
            if (count := getattr(usage, name)) is not None:
                setattr(self._usage, name, count)

    def response(self) -> LMResponse:
        text = "".join(self._text or self._beside)
        if not self._stopped or not self._stop_reason:
            raise TransportError("The provider's stream was cut before its end.")
        if self._stop_reason == "refusal":
            raise Refusal("The model refused to answer.", answer=text)
        if self._stop_reason == "model_context_window_exceeded":
            raise ContextWindowExceeded(answer=text)
        finish = _FINISH_REASONS.get(self._stop_reason, self._stop_reason)
        answered = self._answering is not None and finish == "tool_calls"
        return LMResponse(
            text=text,
            model=self._model,
            finish_reason="stop" if answered else finish,
            usage=self._counted(),
            tool_calls=[self._tool_calls[index] for index in sorted(self._tool_calls)] or None,
        )

    def _counted(self) -> Usage:
        """`input_tokens` here leaves out what the provider's cache read or wrote; ours is all of them."""
        usage = self._usage
        read = usage.cache_read_input_tokens or 0
        written = usage.cache_creation_input_tokens or 0
        return Usage(
            input_tokens=(usage.input_tokens or 0) + read + written,
            output_tokens=usage.output_tokens or 0,
            cached_input_tokens=read,
        )
