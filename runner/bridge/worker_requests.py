"""DSPy's canonical LM request and response (lm15) as this project's plain ones, and back.

The one file that knows lm15's shapes. It reads the public classes of `dspy.lm15`; their serializer is
private. `tests/integration/test_dspy_contract.py` holds it to what the installed DSPy has: a part,
setting or field that is new there fails that test instead of being dropped here.
"""

from typing import Any

import msgspec
from dspy import lm15

from runner.engine.errors import Failure
from runner.lm.types import LMRequest, LMResponse, Message

# Settings of lm15 that a request of ours can't carry. `cache` and `probabilities` are hints to
# providers, `store`, `user_id` and `service_tier` are the profile's affair; the others change an
# answer, so a module that sets one is told instead of being answered as if it had not.
IGNORED = frozenset({"cache", "probabilities", "store", "user_id", "service_tier"})
REFUSED = frozenset(
    {"top_k", "reasoning", "frequency_penalty", "presence_penalty", "logprobs", "extensions"}
)

_FINISH = {
    "tool_calls": "tool_call",
    "tool_call": "tool_call",
    "length": "length",
    "content_filter": "content_filter",
}
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/wav": "wav"}


def plain_request(
    request: Any,
    *,
    rollout_id: int | None = None,
    candidate: int = 0,
    fresh: bool = False,
    predictor: str = "",
) -> LMRequest:
    """A `dspy.lm15.Request` as ours. `UnsupportedFeatureError` for what ours can't say."""
    config = request.config
    refused = sorted(name for name in REFUSED if getattr(config, name) not in (None, ()))
    if refused:
        raise lm15.UnsupportedFeatureError(f"The gateway does not carry {', '.join(refused)}.")
    format_ = config.response_format or {}
    return LMRequest(
        messages=(*_system(request.system), *(_message(message) for message in request.messages)),
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        stop=tuple(config.stop),
        seed=config.seed,
        response_schema=_schema(format_),
        json_object=format_.get("type") == "json_object",
        tools=tuple(_tool(tool) for tool in request.tools),
        tool_choice=_tool_choice(config.tool_choice),
        rollout_id=rollout_id,
        candidate=candidate,
        fresh=fresh,
        predictor=predictor,
    )


def lm15_response(response: LMResponse, model: str) -> Any:
    """Our response as a `dspy.lm15.Response`. A stored answer's usage is zero, as it cost nothing."""
    parts: list[Any] = [lm15.TextPart(response.text)] if response.text else []
    parts += [_tool_call_part(call) for call in response.tool_calls or ()]
    usage = lm15.Usage(
        input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens
    )
    return lm15.Response(
        id=None,
        model=response.model or model,
        message=lm15.Message(role="assistant", parts=tuple(parts or [lm15.TextPart("")])),
        finish_reason=_FINISH.get(response.finish_reason, "stop"),
        usage=usage,
    )


def lm15_error(failure: Failure) -> Any:
    """What DSPy hears of a failure that a module may handle: too long a prompt, or a bad request."""
    if failure.code == "context_window_exceeded":
        return lm15.ContextLengthError(failure.message)
    return lm15.InvalidRequestError(failure.message, provider_code=failure.code)


def _system(system: Any) -> tuple[Message, ...]:
    if system is None:
        return ()
    content = system if isinstance(system, str) else _content(system)
    return (Message(role="system", content=content),)


def _message(message: Any) -> Message:
    results = [part for part in message.parts if isinstance(part, lm15.ToolResultPart)]
    if results:
        # lm15 allows several results in one turn, the chat API has one turn each; DSPy sends one.
        (result,) = results
        return Message(role="tool", content=_content(result.content), tool_call_id=result.id)
    calls = [_tool_call(part) for part in message.parts if isinstance(part, lm15.ToolCallPart)]
    rest = [part for part in message.parts if not isinstance(part, lm15.ToolCallPart)]
    return Message(
        role=message.role, content=_content(rest) if rest else "", tool_calls=calls or None
    )


def _content(parts: Any) -> str | list[dict[str, Any]]:
    """Text where all is text, else parts in the shape of the chat-completions API."""
    shown = [part for part in parts if not isinstance(part, lm15.ThinkingPart)]
    if len(shown) == 1 and isinstance(shown[0], lm15.TextPart):
        return str(shown[0].text)
    return [_part(part) for part in shown]


def _part(part: Any) -> dict[str, Any]:
    match part:
        case lm15.TextPart():
            return {"type": "text", "text": part.text}
        case lm15.ImagePart():
            image = {"url": _url(part)}
            return {
                "type": "image_url",
                "image_url": image | ({"detail": part.detail} if part.detail else {}),
            }
        case lm15.AudioPart() if part.data is not None:
            format_ = _AUDIO_FORMATS.get(part.media_type, part.media_type.rpartition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": format_}}
        case lm15.DocumentPart() if part.file_id is not None:
            return {"type": "file", "file": {"file_id": part.file_id}}
        case lm15.DocumentPart():
            return {"type": "file", "file": {"file_data": _url(part)}}
        case lm15.RefusalPart():
            return {"type": "refusal", "refusal": part.text}
    raise lm15.UnsupportedFeatureError(f"The gateway does not carry {part.type} parts.")


def _url(part: Any) -> str:
    if part.url is not None:
        return str(part.url)
    if part.data is None:
        raise lm15.UnsupportedFeatureError(f"A {part.type} part needs a URL or its data.")
    return f"data:{part.media_type};base64,{part.data}"


def _schema(format_: dict[str, Any]) -> dict[str, Any] | None:
    if format_.get("type") != "json_schema":
        return None
    schema = format_.get("schema") or format_.get("json_schema", {}).get("schema")
    return dict(schema) if schema is not None else None


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, lm15.FunctionTool):
        raise lm15.UnsupportedFeatureError(
            f"The gateway does not carry the built-in tool {tool.name}."
        )
    function = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.allowed:
        return {"type": "function", "function": {"name": choice.allowed[0]}}
    return str(choice.mode)


def _tool_call(part: Any) -> dict[str, Any]:
    arguments = _encode(part.input)
    return {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": arguments},
    }


def _tool_call_part(call: dict[str, Any]) -> Any:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    parsed = _decode(arguments) if isinstance(arguments, str) else arguments
    return lm15.ToolCallPart(
        id=call.get("id") or function["name"], name=function["name"], input=parsed
    )


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _decode(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise lm15.ProviderError(
            f"The model's tool arguments are not a JSON object: {error}."
        ) from None
