"""What is sent to Anthropic's Messages API. No I/O.

System turns go into a field of their own, turns of one role that follow each other are one turn, and
results of tools are content of a user's turn: so the API wants it.
"""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec

from runner.lm.adapters.wire import function_of
from runner.lm.answer_schema import closed
from runner.lm.types import LMProfile, LMRequest, Message

# The API wants a limit in every request. This one holds an answer of a few pages.
DEFAULT_MAX_TOKENS = 4096
ANSWER_TOOL = "answer"

# Since Claude 4.7 temperature and its like are refused; older names have the version behind the family
# (claude-3-opus), newer ones after it, and dates are no versions.
_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)")
_WITHOUT_SAMPLING = (4, 7)
_DATA_URL = re.compile(r"data:([\w.+/-]+);base64,(.*)", re.DOTALL)
# Keywords that the API does not take. Whoever asked checks the answer by the whole schema.
_NOT_TAKEN = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of an anthropic profile.

    `thinking` is `adaptive`, or a number of tokens for models before Claude 4.6; `effort` how much the
    model does. `schema_by` is how an answer is held to a JSON Schema: the API's own format, or a tool
    that the model must call, for models and gateways without the format. `sampling` says whether
    temperature and top_p are sent (None: by the model's name). `version` is the API's. `extra` is
    merged into every request as it is.
    """

    thinking: Literal["adaptive"] | int | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    schema_by: Literal["format", "tool"] = "format"
    sampling: bool | None = None
    version: str = "2023-06-01"
    extra: dict[str, Any] = {}


def takes_sampling(profile: LMProfile, settings: Settings) -> bool:
    if settings.sampling is not None:
        return settings.sampling
    version = _VERSION.search(profile.model)
    if version is None:
        return True
    return (int(version[1]), int(version[2] or 0)) < _WITHOUT_SAMPLING


def answers_by_tool(request: LMRequest, profile: LMProfile, settings: Settings) -> bool:
    """Whether the answer comes as the arguments of our own tool."""
    return (
        settings.schema_by == "tool" and request.response_schema is not None and profile.structured
    )


def request_body(request: LMRequest, profile: LMProfile, settings: Settings) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": profile.model,
        "max_tokens": _max_tokens(request, settings),
        "messages": _turns(request.messages),
        "stream": True,
    }
    optional = {
        "system": _system(request.messages) or None,
        "stop_sequences": list(request.stop) or None,
        "thinking": _thinking(settings),
        "output_config": _output_config(request, profile, settings),
        **_sampling(request, profile, settings),
        **_tools(request, profile, settings),
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    body.update(settings.extra)
    return body


def _max_tokens(request: LMRequest, settings: Settings) -> int:
    """What is asked for is for the answer: what is thought before comes on top."""
    limit = request.max_tokens or DEFAULT_MAX_TOKENS
    return limit + settings.thinking if isinstance(settings.thinking, int) else limit


def _thinking(settings: Settings) -> dict[str, Any] | None:
    if isinstance(settings.thinking, int):
        return {"type": "enabled", "budget_tokens": settings.thinking}
    return {"type": settings.thinking} if settings.thinking else None


def _sampling(request: LMRequest, profile: LMProfile, settings: Settings) -> dict[str, Any]:
    """One of the two at most, and none beside thinking."""
    if settings.thinking or not takes_sampling(profile, settings):
        return {}
    if request.temperature is not None:
        # Elsewhere it goes up to 2.
        return {"temperature": min(request.temperature, 1.0)}
    return {"top_p": request.top_p}


def _output_config(
    request: LMRequest, profile: LMProfile, settings: Settings
) -> dict[str, Any] | None:
    config: dict[str, Any] = {"effort": settings.effort} if settings.effort else {}
    if (
        request.response_schema is not None
        and profile.structured
        and settings.schema_by == "format"
    ):
        schema = taken(closed(request.response_schema))
        config["format"] = {"type": "json_schema", "schema": schema}
    return config or None


def _tools(request: LMRequest, profile: LMProfile, settings: Settings) -> dict[str, Any]:
    tools = [_tool(function_of(tool)) for tool in request.tools]
    choice = _tool_choice(request.tool_choice)
    if answers_by_tool(request, profile, settings):
        tools.append(
            {
                "name": ANSWER_TOOL,
                "description": "Give the answer.",
                "input_schema": closed(request.response_schema),
            }
        )
        choice = {"type": "auto"} if request.tools else {"type": "tool", "name": ANSWER_TOOL}
    if settings.thinking and choice and choice["type"] in ("tool", "any"):
        choice = {"type": "auto"}  # none can be forced on a model that thinks
    return {"tools": tools, "tool_choice": choice} if tools else {}


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    described = {key: function[key] for key in ("description", "strict") if function.get(key)}
    return {"name": function.get("name", ""), "input_schema": schema, **described}


def _tool_choice(choice: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """From the words of chat completions."""
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": function_of(dict(choice)).get("name", "")}
    kinds = {"auto": "auto", "required": "any", "none": "none"}
    return {"type": kinds[choice]} if choice in kinds else None


def _system(messages: tuple[Message, ...]) -> str:
    said = [_plain(message.content) for message in messages if _is_system(message)]
    return "\n\n".join(text for text in said if text)


def _is_system(message: Message) -> bool:
    return message.role in ("system", "developer")


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        if _is_system(message):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += _blocks(message)
        else:
            turns.append({"role": role, "content": _blocks(message)})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    content = message.content
    if message.role == "tool":
        result = {"tool_use_id": message.tool_call_id or "", "content": _plain(content)}
        return [{"type": "tool_result", **result}]
    # An empty text block is refused.
    parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
    blocks = [_block(part) for part in parts if isinstance(part, dict)]
    for call in message.tool_calls or ():
        function = function_of(call)
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id", ""),
                "name": function.get("name", ""),
                "input": _arguments(function.get("arguments")),
            }
        )
    return blocks


def _block(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the chat-completions API as a content block."""
    kind = part.get("type")
    if kind == "image_url":
        return {"type": "image", "source": _source(str((part.get("image_url") or {}).get("url")))}
    if kind == "file":
        return {"type": "document", "source": _document(part.get("file") or {})}
    return part


def _document(file: Mapping[str, Any]) -> dict[str, Any]:
    if file_id := file.get("file_id"):
        return {"type": "file", "file_id": file_id}
    source = _source(str(file.get("file_data", "")))
    if str(source.get("media_type", "")).startswith("text/"):  # only PDFs go as base64
        with suppress(ValueError):
            text = base64.b64decode(source["data"]).decode()
            return {"type": "text", "media_type": "text/plain", "data": text}
    return source


def _source(url: str) -> dict[str, Any]:
    if inline := _DATA_URL.fullmatch(url):
        return {"type": "base64", "media_type": inline[1], "data": inline[2]}
    return {"type": "url", "url": url}


def _plain(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def _arguments(text: Any) -> Any:
    """A tool's arguments, which a model writes as JSON text."""
    if not isinstance(text, str):
        return text or {}
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"arguments": text}


def taken(schema: Any) -> Any:
    """The schema without what the API does not take."""
    if isinstance(schema, list):
        return [taken(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):  # names of fields, no keywords
            inner[key] = {name: taken(item) for name, item in value.items()}
        elif key in ("enum", "const", "default", "examples"):
            inner[key] = value
        elif not (key in _NOT_TAKEN or (key == "minItems" and value > 1)):
            inner[key] = taken(value)
    return inner
