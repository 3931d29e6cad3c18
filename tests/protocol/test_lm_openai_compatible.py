"""Chat completions over HTTP: what is sent, what is read, and every way it can fail."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runner.engine.errors import InvalidConfig, RunnerError
from runner.lm import errors
from runner.lm.adapters.openai_compatible import OpenAICompatibleAdapter
from runner.lm.gateway import Gateway
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message
from tests.fake_provider import FakeProvider, Reply, chunk, event, failed, provider, streamed
from tests.lm_calls import a_call, ask, gateway_of

KEY = "sk-canary-0123456789"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def profile_for(fake: FakeProvider, **fields: Any) -> LMProfile:
    given = {"name": "fake", "model": "fake-1", "api_key": KEY, "base_url": fake.base_url}
    return LMProfile(adapter="openai_compatible", **(given | fields))


@asynccontextmanager
async def calling(*replies: Reply, **fields: Any) -> AsyncIterator[tuple[Gateway, FakeProvider]]:
    """A gateway whose profile leads to a fake provider."""
    async with provider(*replies) as fake:
        gateway = gateway_of(profile_for(fake, **fields))
        try:
            yield gateway, fake
        finally:
            await gateway.aclose()


async def sent(request: LMRequest, **fields: Any) -> dict[str, Any]:
    """The body that the provider gets."""
    async with calling(**fields) as (gateway, fake):
        await gateway.complete(request, a_call())
        return fake.requests[0].body


async def one_attempt(reply: Reply, **fields: Any) -> LMResponse:
    """One attempt's answer or error, without the gateway around it."""
    async with provider(reply) as fake:
        adapter = OpenAICompatibleAdapter()
        try:
            async for part in adapter.stream(ask(), profile_for(fake, **fields)):
                if isinstance(part, LMResponse):
                    return part
        finally:
            await adapter.aclose()
    raise AssertionError("the stream had no end")


async def test_only_what_is_set_is_sent() -> None:
    assert await sent(ask("hi")) == {
        "model": "fake-1",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_every_setting_is_sent_under_its_name() -> None:
    request = ask(temperature=0.0, top_p=0.5, max_tokens=9, stop=("x",), seed=3, tool_choice="auto")
    body = await sent(request)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.0, 0.5, 9)
    assert (body["stop"], body["seed"], body["tool_choice"]) == (["x"], 3, "auto")


async def test_tools_and_their_turns_are_sent() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = (
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", content="", tool_call_id="1"),
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    body = await sent(LMRequest(messages=turns, tools=(tool,)))
    assert body["tools"] == [tool]
    assert body["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "", "tool_call_id": "1"},
    ]


@pytest.mark.parametrize(
    ("request_", "structured", "expected"),
    [
        ({"response_schema": SCHEMA}, True, "json_schema"),
        ({"response_schema": SCHEMA}, False, "json_object"),
        ({"json_object": True}, False, "json_object"),
    ],
)
async def test_a_schema_is_sent_where_it_can_be_held(
    request_: dict, structured: bool, expected: str
) -> None:
    form = (await sent(ask(**request_), structured=structured))["response_format"]
    assert form["type"] == expected
    if expected == "json_schema":
        assert form["json_schema"] == {"name": "answer", "strict": True, "schema": SCHEMA}


async def test_settings_rename_the_limit_and_add_to_the_body() -> None:
    settings = {"max_tokens_field": "max_completion_tokens", "extra": {"top_k": 4}}
    body = await sent(ask(max_tokens=3), settings=settings)
    assert (body["max_completion_tokens"], body["top_k"]) == (3, 4)
    assert "max_tokens" not in body


async def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="max_token"):
        await sent(ask(), settings={"max_token": 1})


async def test_tool_calls_are_put_together_from_their_pieces() -> None:
    def piece(index: int, arguments: str, **named: Any) -> dict[str, Any]:
        function = {"arguments": arguments} | ({"name": named["name"]} if named else {})
        return {"index": index, "function": function} | ({"id": named["id"]} if named else {})

    deltas = [
        chunk(tool_calls=[piece(0, "", id="a", name="f")]),
        chunk(tool_calls=[piece(1, "{}", id="b", name="g")]),
        chunk(tool_calls=[piece(0, '{"x"')]),
        chunk(tool_calls=[piece(0, ": 1}")], finish="tool_calls"),
    ]
    response = await one_attempt(Reply(parts=[event(delta) for delta in deltas]))
    assert response.tool_calls == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


async def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    def piece(arguments: str, **named: str) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": named["name"]} if named else {})}
        return {"index": 0, "function": function, **({"id": named["id"]} if named else {})}

    pieces = [
        piece('{"x"', id="a", name="f"),
        piece(": 1}"),
        piece("{", id="b", name="g"),
        piece("}"),
    ]
    deltas = [*(chunk(tool_calls=[each]) for each in pieces), chunk(finish="tool_calls")]
    response = await one_attempt(Reply(parts=[event(delta) for delta in deltas]))
    assert response.tool_calls is not None
    assert [call["function"] for call in response.tool_calls] == [
        {"name": "f", "arguments": '{"x": 1}'},
        {"name": "g", "arguments": "{}"},
    ]


@pytest.mark.parametrize("streams", [True, False])
async def test_a_server_that_gives_no_reason_for_its_end_has_ended(streams: bool) -> None:
    whole = {"choices": [{"message": {"content": "42"}}]}
    reply = (
        Reply(parts=[event(chunk("42")), event("[DONE]")])
        if streams
        else Reply(content_type="application/json", parts=[json.dumps(whole).encode()])
    )
    response = await one_attempt(reply)
    assert (response.text, response.finish_reason) == ("42", "stop")


async def test_an_answer_in_parts_is_its_texts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thought, {"type": "text", "text": "42"}]
    deltas = [chunk(content=parts), chunk(content="!", finish="stop")]  # type: ignore[arg-type]
    response = await one_attempt(Reply(parts=[event(delta) for delta in deltas]))
    assert response.text == "42!"


async def test_an_error_is_told_in_the_words_of_the_server() -> None:
    reply = Reply(
        status=404, content_type="application/json", parts=[b'{"detail": "no model x here"}']
    )
    with pytest.raises(errors.InvalidRequest, match="404: no model x here"):
        await one_attempt(reply)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(parts=[event({"error": {"message": "slow", "code": "429"}})]), errors.RateLimited),
        (failed(400, {"type": "exceed_context_size_error"}), errors.ContextWindowExceeded),
        (Reply(parts=[b'data: {"choices": 7}\n\n']), errors.UnexpectedResponse),
        (Reply(parts=[event({"error": "broken"})]), errors.ServerError),
        (Reply(parts=[event(chunk(refusal="No.", finish="stop"))]), errors.Refusal),
        (streamed("x", finish="content_filter"), errors.Refusal),
    ],
)
async def test_every_failure_has_its_error(reply: Reply, expected: type[RunnerError]) -> None:
    with pytest.raises(expected) as caught:
        await one_attempt(reply)
    assert type(caught.value) is expected
    assert KEY not in caught.value.message


async def test_nobody_there_is_a_transport_error() -> None:
    async with provider() as fake:
        profile = profile_for(fake)
    adapter = OpenAICompatibleAdapter()
    with pytest.raises(errors.TransportError, match="Connect call failed"):
        await anext(adapter.stream(ask(), profile))
    await adapter.aclose()


@pytest.mark.parametrize("base_url", ["", "ftp://x/v1", "http://", "http://\x00/"])
async def test_an_unusable_base_url_is_a_matter_of_configuration(base_url: str) -> None:
    profile = LMProfile(name="x", adapter="openai_compatible", model="m", base_url=base_url)
    gateway = gateway_of(profile)
    assert not gateway.health()[0].ok
    with pytest.raises(InvalidConfig, match="base URL"):
        await gateway.complete(ask(), a_call())
    await gateway.aclose()


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "é"])
async def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    async with calling(api_key=key) as (gateway, _):
        with pytest.raises(InvalidConfig, match="Enter it again") as caught:
            await gateway.complete(ask(), a_call())
    assert KEY not in caught.value.message


async def test_connections_are_used_again() -> None:
    async with calling() as (gateway, fake):
        for _ in range(3):
            await gateway.complete(ask(), a_call())
        assert (len(fake.requests), fake.connections) == (3, 1)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert await sent(ask())
