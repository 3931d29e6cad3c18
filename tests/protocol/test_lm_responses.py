"""OpenAI's Responses API, and what models that reason are sent by both of its APIs."""

from typing import Any

import pytest

from runner.lm import errors
from runner.lm.types import LMRequest, LMResponse, Message
from tests.fake_provider import DIALECTS, Reply, _named, a_response, responses_streamed
from tests.lm_calls import a_call, ask
from tests.protocol.test_lm_faults import calling

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
RESPONSES = DIALECTS["responses"]


async def sent(request: LMRequest, **fields: Any) -> dict[str, Any]:
    """The body that the provider gets."""
    fields["settings"] = {"api": "responses"} | fields.get("settings", {})
    async with calling(RESPONSES, responses_streamed("ok"), **fields) as (gateway, fake):
        await gateway.complete(request, a_call())
        return fake.requests[0].body


async def answered(output: list[Any], **fields: Any) -> LMResponse:
    kind = "response.incomplete" if "incomplete_details" in fields else "response.completed"
    end = _named({"type": kind, "response": a_response(output, **fields)})
    async with calling(RESPONSES, Reply(parts=[end])) as (gateway, _):
        return await gateway.complete(ask(), a_call())


async def test_only_what_is_set_is_sent() -> None:
    assert await sent(ask("hi")) == {
        "model": "fake-1",
        "input": [{"role": "user", "content": "hi"}],
        "stream": True,
        "store": False,
    }


async def test_a_schema_is_sent_where_it_can_be_held() -> None:
    text = (await sent(ask(response_schema=SCHEMA)))["text"]
    assert text == {
        "format": {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}
    }
    text = (await sent(ask(response_schema=SCHEMA), structured=False))["text"]
    assert text == {"format": {"type": "json_object"}}


async def test_turns_with_tools_are_items() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = (
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", content="42", tool_call_id="1"),
    )
    choice = {"type": "function", "function": {"name": "f"}}
    body = await sent(LMRequest(messages=turns, tools=(TOOL,), tool_choice=choice))
    assert body["input"] == [
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "42"},
    ]
    tool = {"type": "function", "strict": False, "name": "f", "parameters": {"type": "object"}}
    assert body["tools"] == [tool]
    assert body["tool_choice"] == {"type": "function", "name": "f"}


async def test_parts_are_written_as_this_api_has_them() -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
    ]
    body = await sent(LMRequest(messages=(Message(role="user", content=parts),)))
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,eA=="},
    ]


async def test_calls_of_tools_are_read() -> None:
    item = {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"x": 1}'}
    response = await answered([{"type": "reasoning", "summary": []}, item])
    function = {"name": "f", "arguments": '{"x": 1}'}
    assert response.tool_calls == [{"id": "1", "type": "function", "function": function}]
    assert (response.finish_reason, response.usage.cached_input_tokens) == ("tool_calls", 2)
    assert response.usage.reasoning_tokens == 1


async def test_an_answer_cut_at_the_limit_says_so() -> None:
    response = await answered(
        [], status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    assert response.finish_reason == "length"


@pytest.mark.parametrize(
    ("output", "fields", "expected"),
    [
        (
            [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}],
            {},
            errors.Refusal,
        ),
        ([], {"incomplete_details": {"reason": "content_filter"}}, errors.Refusal),
        (
            [],
            {"status": "failed", "error": {"code": "invalid_prompt", "message": "bad"}},
            errors.InvalidRequest,
        ),
    ],
)
async def test_what_is_no_answer_has_its_error(
    output: list[Any], fields: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await answered(output, **fields)


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5.1", "gpt-5-nano", "openai/o4-mini"])
async def test_a_model_that_reasons_gets_no_temperature(model: str) -> None:
    request = ask(temperature=0.2, top_p=0.9, max_tokens=9)
    body = await sent(request, model=model, settings={"reasoning_effort": "low"})
    assert "temperature" not in body and "top_p" not in body
    assert (body["max_output_tokens"], body["reasoning"]) == (9, {"effort": "low"})


@pytest.mark.parametrize(
    ("model", "settings", "reasons"),
    [
        ("gpt-5-mini", {}, True),
        ("gpt-5-chat-latest", {}, False),
        ("gpt-4o", {}, False),
        ("omni-1", {}, False),
        ("mine", {"reasoning": True}, True),
        ("o3", {"reasoning": False}, False),
    ],
)
async def test_chat_completions_follow_the_same_rules(
    model: str, settings: dict[str, Any], reasons: bool
) -> None:
    settings = {"api": "chat_completions", **settings}
    chat = DIALECTS["chat_completions"]
    async with calling(chat, chat.streamed("ok"), model=model, settings=settings) as (gateway, f):
        await gateway.complete(ask(temperature=0.0, max_tokens=9, stop=("x",)), a_call())
    body = f.requests[0].body
    assert ("temperature" not in body) is reasons
    assert ("stop" not in body) is reasons
    assert body["max_completion_tokens" if reasons else "max_tokens"] == 9


async def test_with_effort_none_a_model_samples_again() -> None:
    body = await sent(ask(temperature=0.5), model="gpt-5.1", settings={"reasoning_effort": "none"})
    assert (body["temperature"], body["reasoning"]) == (0.5, {"effort": "none"})
