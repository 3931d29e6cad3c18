"""Structured output by asking again: an answer that breaks its JSON Schema is shown to the model with
what is wrong, over any other adapter.

For providers that can't hold an answer to a schema, or don't hold it well. A request without a schema
passes through.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.adapter import Adapter, Part
from runner.lm.adapters.wire import settings_of
from runner.lm.errors import UnexpectedResponse
from runner.lm.schema_check import problems_of, read_json
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message, Rejected, Usage

SHOWN_PROBLEMS = 5


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of an instructor profile: the adapter that speaks to the provider with its own
    `settings`, and how often the model is asked again after an answer that breaks the schema."""

    over: Literal["openai_compatible", "anthropic", "litellm", "local", "scripted"] = (
        "openai_compatible"
    )
    reasks: Annotated[int, msgspec.Meta(ge=0, le=5)] = 1
    settings: dict[str, Any] = {}


class InstructorAdapter:
    """Asks through another adapter, checks, and asks again."""

    def __init__(self, adapter: Callable[[str], Adapter]) -> None:
        self._adapter = adapter

    async def stream(self, request: LMRequest, profile: LMProfile) -> AsyncGenerator[Part, None]:
        settings = settings_of(profile, Settings)
        inner = _inner(profile, settings)
        usage, asked = Usage(), _asked(request, profile)
        for reasks_left in range(settings.reasks, -1, -1):
            answer: LMResponse | None = None
            async with aclosing(self._adapter(settings.over).stream(asked, inner)) as parts:
                async for part in parts:
                    if isinstance(part, LMResponse):
                        answer = part
                    else:
                        yield part
            if answer is None:
                return  # the gateway says that the stream had no end
            usage += answer.usage
            # Off the event loop: a schema and an answer may both be large.
            problems = await asyncio.to_thread(_problems, answer, request)
            if not problems:
                yield msgspec.structs.replace(answer, usage=usage)
                return
            problem = "; ".join(problems[:SHOWN_PROBLEMS])
            yield Rejected(response=answer, problem=problem)
            if not reasks_left:
                times = _times(settings.reasks + 1)
                message = f"After {times} the answer still breaks its schema: {problem}."
                raise UnexpectedResponse(message, answer=answer.text)
            asked = _again(asked, answer, problem)

    def health(self, profile: LMProfile) -> tuple[bool, str]:
        try:
            settings = settings_of(profile, Settings)
        except InvalidConfig as error:
            return False, error.message
        return self._adapter(settings.over).health(_inner(profile, settings))

    async def aclose(self) -> None:
        """The adapters below are not its own."""


def _inner(profile: LMProfile, settings: Settings) -> LMProfile:
    return msgspec.structs.replace(profile, adapter=settings.over, settings=settings.settings)


def _asked(request: LMRequest, profile: LMProfile) -> LMRequest:
    """The request; with the schema in words, where the provider does not take one."""
    if request.response_schema is None or profile.structured:
        return request
    schema = msgspec.json.encode(request.response_schema).decode()
    told = Message(
        role="system", content=f"Answer with one JSON object by this JSON Schema:\n{schema}"
    )
    return msgspec.structs.replace(request, messages=(told, *request.messages))


def _problems(answer: LMResponse, request: LMRequest) -> list[str]:
    """What keeps an answer from being accepted. A call of tools is an answer of another kind."""
    if request.response_schema is None or answer.tool_calls:
        return []
    try:
        value = read_json(answer.text)
    except ValueError as error:
        cut = " It was cut at the limit of tokens." if answer.finish_reason == "length" else ""
        return [f"it is no JSON ({error}).{cut}"]
    return problems_of(value, request.response_schema)


def _again(request: LMRequest, answer: LMResponse, problem: str) -> LMRequest:
    turns = (
        Message(role="assistant", content=answer.text or "(nothing)"),
        Message(
            role="user",
            content=f"That can't be used: {problem}. Answer again, with the whole corrected JSON "
            "object and nothing else.",
        ),
    )
    return msgspec.structs.replace(request, messages=(*request.messages, *turns))


def _times(number: int) -> str:
    return "1 answer" if number == 1 else f"{number} answers"
