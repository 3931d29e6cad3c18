"""The wire format of OpenAI's Responses API: what is sent, and what is read. No I/O.

Nothing is kept at the provider (`store: false`): every request carries its whole conversation, as with
the other APIs.
"""

from typing import Any

import msgspec

from runner.lm.adapters.openai_settings import Settings, bearer
from runner.lm.adapters.wire import decoded, function_of, reported_error
from runner.lm.errors import Refusal, TransportError
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message, Usage


class Responses:
    """POST /responses, always streamed."""

    path = "/responses"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def headers(self, profile: LMProfile) -> dict[str, str]:
        return bearer(profile)

    def body(self, request: LMRequest, profile: LMProfile) -> dict[str, Any]:
        settings = self._settings
        effort = settings.reasoning_effort
        body: dict[str, Any] = {
            "model": profile.model,
            "input": [item for message in request.messages for item in _items(message)],
            "stream": True,
            "store": False,
        }
        optional = settings.sampling(request, profile) | {
            "max_output_tokens": request.max_tokens,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "tool_choice": _tool_choice(request.tool_choice),
            "text": _text_format(request, profile, settings),
            "reasoning": {"effort": effort} if effort else None,
        }
        body.update((name, value) for name, value in optional.items() if value is not None)
        body.update(settings.extra)
        return body

    def answer(self) -> "ResponsesAnswer":
        return ResponsesAnswer()


def _items(message: Message) -> list[dict[str, Any]]:
    """A turn as input items: calls of tools and their results are items of their own."""
    if message.role == "tool":
        result = {"call_id": message.tool_call_id or "", "output": _plain(message.content)}
        return [{"type": "function_call_output", **result}]
    items: list[dict[str, Any]] = []
    if message.content or not message.tool_calls:
        items.append({"role": message.role, "content": _content(message)})
    for call in message.tool_calls or ():
        function = function_of(call)
        items.append(
            {
                "type": "function_call",
                "call_id": call.get("id", ""),
                "name": function.get("name", ""),
                "arguments": function.get("arguments", ""),
            }
        )
    return items


def _content(message: Message) -> str | list[dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    text_type = "output_text" if message.role == "assistant" else "input_text"
    return [_part(part, text_type) for part in message.content]


def _part(part: dict[str, Any], text_type: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": text_type, "text": part.get("text", "")}
    if kind == "image_url":
        image = part.get("image_url") or {}
        return {"type": "input_image", "image_url": image.get("url", "")} | (
            {"detail": image["detail"]} if "detail" in image else {}
        )
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    return part


def _plain(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Without the inner object that chat completions have. `strict` must be said: here it defaults to
    true, which a schema with optional parameters does not pass."""
    return {"type": "function", "strict": False, **function_of(tool)}


def _tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if isinstance(choice, dict) and "function" in choice:
        return {"type": "function", "name": function_of(choice).get("name", "")}
    return choice


def _text_format(
    request: LMRequest, profile: LMProfile, settings: Settings
) -> dict[str, Any] | None:
    if request.response_schema is not None and profile.structured:
        schema = {"name": "answer", "strict": settings.strict, "schema": request.response_schema}
        return {"format": {"type": "json_schema", **schema}}
    if request.json_object or request.response_schema is not None:
        return {"format": {"type": "json_object"}}
    return None


class _Content(msgspec.Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    content: list[_Content] | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    status: str = ""
    model: str = ""
    output: list[_Item] = []
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    response: _Response | None = None
    # The event `error` has these at the top; some providers nest them.
    code: Any = None
    message: str | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesAnswer:
    """Text comes by its deltas; everything else is read from the response that ends the stream."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._ended: _Response | None = None

    def event(self, data: bytes) -> str:
        if data == b"[DONE]":  # the API has none, gateways in front of it do
            return ""
        event = decoded(_EVENT, data, "event of the Responses API")
        if event.type == "error":
            raise reported_error(event.error or {"code": event.code, "message": event.message})
        if event.type in _ENDS:
            self._ended = event.response or _Response()
        if event.type == "response.output_text.delta" and isinstance(event.delta, str):
            self._text.append(event.delta)
            return event.delta
        return ""

    def whole(self, data: bytes) -> str:
        self._ended = decoded(_RESPONSE, data, "response")
        text = _texts(self._ended)
        self._text.append(text)
        return text

    def response(self) -> LMResponse:
        ended = self._ended
        if ended is None:
            raise TransportError("The provider's stream was cut before its end.")
        if ended.error:
            raise reported_error(ended.error)
        text = "".join(self._text)
        reason = (ended.incomplete_details or _Incomplete()).reason
        if refusal := _refusal(ended):
            raise Refusal(refusal, answer=text)
        if reason == "content_filter":
            raise Refusal("The provider's content filter stopped the answer.", answer=text)
        calls = [_called(item) for item in ended.output if item.type == "function_call"]
        return LMResponse(
            text=text,
            model=ended.model,
            finish_reason=_finish_reason(ended, reason, bool(calls)),
            usage=_usage(ended),
            tool_calls=calls or None,
        )


def _texts(response: _Response) -> str:
    parts = [part for item in response.output for part in item.content or ()]
    return "".join(part.text for part in parts if part.type == "output_text")


def _refusal(response: _Response) -> str:
    parts = [part for item in response.output for part in item.content or ()]
    return "".join(part.refusal for part in parts if part.type == "refusal")


def _finish_reason(response: _Response, reason: str | None, called: bool) -> str:
    """In the words of chat completions."""
    if response.status == "incomplete":
        return "length" if reason == "max_output_tokens" else (reason or "incomplete")
    return "tool_calls" if called else "stop"


def _called(item: _Item) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _usage(response: _Response) -> Usage:
    usage = response.usage or _Usage()
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=(usage.input_tokens_details or _Details()).cached_tokens or 0,
        reasoning_tokens=(usage.output_tokens_details or _Details()).reasoning_tokens or 0,
    )
