"""Anthropic's Messages API: what is sent, and what is read."""

from typing import Any

import pytest

from runner.engine.errors import InvalidConfig
from runner.lm import errors
from runner.lm.types import LMRequest, LMResponse, Message
from tests.fake_provider import DIALECTS, Reply, block, messages_streamed
from tests.lm_calls import Recorder, a_call, ask
from tests.protocol.test_lm_faults import calling

MESSAGES = DIALECTS["messages"]
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "minimum": {"type": "string"}},
}


async def sent(request: LMRequest, **fields: Any) -> dict[str, Any]:
    async with calling(MESSAGES, messages_streamed("ok"), **fields) as (gateway, fake):
        await gateway.complete(request, a_call())
        assert fake.requests[0].headers["anthropic-version"] == "2023-06-01"
        return fake.requests[0].body


async def answered(reply: Reply, request: LMRequest | None = None, **fields: Any) -> LMResponse:
    async with calling(MESSAGES, reply, **fields) as (gateway, _):
        return await gateway.complete(request or ask(), a_call())


def said(role: Any, content: Any = "", **fields: Any) -> Message:
    return Message(role=role, content=content, **fields)


async def test_only_what_is_set_is_sent_beside_the_limit_that_must_be() -> None:
    assert await sent(ask("hi")) == {
        "model": "fake-1",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
    }


async def test_system_turns_go_into_their_field_and_turns_of_one_role_join() -> None:
    turns = (said("system", "Be brief."), said("user", "a"), said("user", "b"))
    body = await sent(LMRequest(messages=(*turns, said("developer", "Be kind."))))
    assert body["system"] == "Be brief.\n\nBe kind."
    (turn,) = body["messages"]
    assert [part["text"] for part in turn["content"]] == ["a", "b"]


async def test_tools_and_their_turns_are_sent() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    turns = (
        said("user", "go"),
        said("assistant", tool_calls=calls),
        said("tool", "42", tool_call_id="1"),
    )
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
    body = await sent(LMRequest(messages=turns, tools=(tool,), tool_choice="required"))
    assert body["tools"] == [{"name": "f", "description": "d", "input_schema": SCHEMA}]
    assert body["tool_choice"] == {"type": "any"}
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "1", "content": "42"}
    ]


async def test_an_image_is_a_source() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}]
    body = await sent(LMRequest(messages=(said("user", parts),)))
    source = {"type": "base64", "media_type": "image/png", "data": "eA=="}
    assert body["messages"][0]["content"] == [{"type": "image", "source": source}]


async def test_a_document_is_a_source_of_its_kind() -> None:
    parts = [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,eA=="}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxiCg=="}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]
    body = await sent(LMRequest(messages=(said("user", parts),)))
    assert [each["source"] for each in body["messages"][0]["content"]] == [
        {"type": "base64", "media_type": "application/pdf", "data": "eA=="},
        {"type": "text", "media_type": "text/plain", "data": "a,b\n"},
        {"type": "file", "file_id": "file_1"},
    ]


async def test_a_schema_goes_without_what_the_api_does_not_take() -> None:
    body = await sent(ask(response_schema=SCHEMA))
    properties = {"n": {"type": "integer"}, "minimum": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["n", "minimum"]}
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": schema | {"additionalProperties": False},
    }
    assert "output_config" not in await sent(ask(response_schema=SCHEMA), structured=False)


async def test_a_schema_by_tool_streams_its_arguments_as_the_answer() -> None:
    observer, settings = Recorder(), {"schema_by": "tool"}
    start = {"type": "tool_use", "id": "1", "name": "answer", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in ('{"n"', ": 1}")]
    reply = messages_streamed(stop="tool_use", blocks=block(0, start, *deltas))
    async with calling(MESSAGES, reply, settings=settings) as (gateway, fake):
        response = await gateway.complete(ask(response_schema=SCHEMA), a_call(observer))
    assert (response.text, response.finish_reason) == ('{"n": 1}', "stop")
    assert response.tool_calls is None
    assert observer.text("n") == "1"
    assert fake.requests[0].body["tool_choice"] == {"type": "tool", "name": "answer"}


@pytest.mark.parametrize("calls", [True, False])
async def test_what_is_said_beside_our_own_tool_is_the_answer_without_it(calls: bool) -> None:
    observer = Recorder()
    start = {"type": "tool_use", "id": "1", "name": "answer", "input": {}}
    said = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Sure."})
    by_tool = block(1, start, {"type": "input_json_delta", "partial_json": '{"n": 1}'})
    reply = messages_streamed(stop="tool_use", blocks=[*said, *(by_tool if calls else [])])
    async with calling(MESSAGES, reply, settings={"schema_by": "tool"}) as (gateway, _):
        response = await gateway.complete(ask(response_schema=SCHEMA), a_call(observer))
    assert response.text == ('{"n": 1}' if calls else "Sure.")
    assert [each.text for each in observer.chunks] == (["1"] if calls else [])


async def test_calls_of_tools_are_put_together_from_their_pieces() -> None:
    start = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", '{"x"', ": 1}")]
    response = await answered(
        messages_streamed("so", stop="tool_use", blocks=block(0, start, *deltas))
    )
    function = {"name": "f", "arguments": '{"x": 1}'}
    assert response.tool_calls == [{"id": "1", "type": "function", "function": function}]
    assert (response.text, response.finish_reason) == ("so", "tool_calls")


async def test_thoughts_are_no_part_of_the_answer() -> None:
    thought = {"type": "thinking_delta", "thinking": "hm"}
    signed = {"type": "signature_delta", "signature": "x"}
    blocks = block(0, {"type": "thinking", "thinking": ""}, thought, signed)
    assert (await answered(messages_streamed("42", blocks=blocks))).text == "42"


async def test_tokens_of_the_providers_cache_count_as_input() -> None:
    usage = (await answered(messages_streamed("x"))).usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (7, 2, 5)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("refusal", errors.Refusal),
        ("model_context_window_exceeded", errors.ContextWindowExceeded),
    ],
)
async def test_an_end_without_an_answer_has_its_error(stop: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        await answered(messages_streamed("half", stop=stop))


@pytest.mark.parametrize(
    ("model", "sampled"),
    [
        ("claude-3-opus-20240229", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-6", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-5", False),
        ("claude-haiku-5-5", False),
        ("other", True),
    ],
)
async def test_newer_models_get_no_temperature(model: str, sampled: bool) -> None:
    body = await sent(ask(temperature=0.0, top_p=0.5), model=model)
    assert ("temperature" in body) is sampled
    assert "top_p" not in body  # never both


async def test_thinking_adds_to_the_limit_and_takes_the_temperature_away() -> None:
    settings = {"thinking": 2000, "effort": "low"}
    body = await sent(ask(temperature=1.5, max_tokens=100), settings=settings)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert (body["max_tokens"], body["output_config"]) == (2100, {"effort": "low"})
    assert "temperature" not in body
    assert (await sent(ask(temperature=1.5)))["temperature"] == 1.0


async def test_no_tool_is_forced_on_a_model_that_thinks() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    body = await sent(ask(tools=(tool,), tool_choice="required"), settings={"thinking": "adaptive"})
    assert body["tool_choice"] == {"type": "auto"}
    by_tool = {"thinking": 1024, "schema_by": "tool"}
    assert (await sent(ask(response_schema=SCHEMA), settings=by_tool))["tool_choice"] == {
        "type": "auto"
    }


async def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="thinks"):
        await sent(ask(), settings={"thinks": True})
