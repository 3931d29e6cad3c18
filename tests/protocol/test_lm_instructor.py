"""Validate and ask again, over any adapter."""

import json
from typing import Any

import pytest

from runner.engine.errors import InvalidConfig
from runner.engine.events import EventType
from runner.lm import errors
from runner.lm.types import LMProfile
from tests.fake_provider import DIALECTS, Dialect
from tests.lm_calls import Recorder, a_call, ask, gateway_of
from tests.protocol.test_lm_faults import calling, dialects

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "s": {"type": "string"}},
    "required": ["n"],
}
BAD, GOOD = '{"n": "one"}', '{"n": 1}'


def over(dialect: Dialect, **settings: Any) -> dict[str, Any]:
    inner = {"over": dialect.adapter, "settings": dialect.settings}
    return {"adapter": "instructor", "settings": inner | settings}


def scripted_instructor(*answers: Any, **settings: Any) -> LMProfile:
    script = {"over": "scripted", "settings": {"answers": list(answers)}}
    return LMProfile(
        name="checked",
        adapter="instructor",
        input_price=1.0,
        output_price=1.0,
        settings=script | settings,
    )


@dialects
async def test_a_bad_answer_is_shown_to_the_model_and_asked_for_again(dialect: Dialect) -> None:
    observer = Recorder()
    replies = (dialect.streamed(BAD), dialect.streamed(GOOD))
    async with calling(dialect, *replies, **over(dialect)) as (gateway, fake):
        response = await gateway.complete(ask(response_schema=SCHEMA), a_call(observer))
    assert response.text == GOOD
    assert response.usage.input_tokens == 14  # both were paid for
    again = json.dumps(fake.requests[1].body)
    assert "one" in again
    assert "is not of type 'integer'" in again
    (rejected,) = observer.lm_call["rejected"]
    assert rejected["response"] == BAD
    assert rejected["problem"].startswith("n: 'one' is not of type")


async def test_what_streamed_of_a_bad_answer_is_taken_back() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted_instructor(BAD, GOOD))
    await gateway.complete(ask(response_schema=SCHEMA), a_call(observer))
    assert observer.of(EventType.RETRACT) == [{"call": 1, "reason": "rejected"}]
    assert observer.text("n", call=2) == "1"


async def test_when_no_answer_is_good_it_is_an_unexpected_response_that_was_paid_for() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted_instructor(BAD, "no", reasks=1))
    with pytest.raises(errors.UnexpectedResponse, match=r"After 2 answers .* no JSON") as caught:
        await gateway.complete(ask(response_schema=SCHEMA), a_call(observer))
    assert caught.value.code == "unexpected_response"
    assert len(observer.lm_call["rejected"]) == 2
    assert observer.lm_call["usage"]["cost"] > 0


async def test_a_refusal_is_no_bad_answer() -> None:
    gateway = gateway_of(scripted_instructor({"error": "refusal", "message": "No."}, GOOD))
    with pytest.raises(errors.Refusal) as caught:
        await gateway.complete(ask(response_schema=SCHEMA), a_call())
    assert caught.value.code == "refusal"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("Sure! {}", "it is no JSON"),
        ("{}", "'n' is a required property"),
        ('{"n": 0}', "n: 0 is less than the minimum of 1"),
        ("[]", "is not of type 'object'"),
    ],
)
async def test_the_problem_says_what_breaks_the_schema(answer: str, problem: str) -> None:
    with pytest.raises(errors.UnexpectedResponse, match=problem):
        await gateway_of(scripted_instructor(answer, reasks=0)).complete(
            ask(response_schema=SCHEMA), a_call()
        )


async def test_json_in_a_code_fence_is_json() -> None:
    gateway = gateway_of(scripted_instructor(f"```json\n{GOOD}\n```"))
    assert "1" in (await gateway.complete(ask(response_schema=SCHEMA), a_call())).text


async def test_without_a_schema_the_answer_passes_through() -> None:
    gateway = gateway_of(scripted_instructor("anything"))
    assert (await gateway.complete(ask(), a_call())).text == "anything"


async def test_a_provider_that_takes_no_schema_is_told_in_words() -> None:
    chat = DIALECTS["chat_completions"]
    fields = over(chat) | {"structured": False}
    async with calling(chat, chat.streamed(GOOD), **fields) as (gateway, fake):
        await gateway.complete(ask(response_schema=SCHEMA), a_call())
    assert '"minimum":1' in fake.requests[0].body["messages"][0]["content"]


async def test_a_reference_out_of_the_schema_is_not_fetched() -> None:
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    gateway = gateway_of(scripted_instructor("{}"))
    with pytest.raises(errors.InvalidRequest, match=r"can't be checked .* Unresolvable"):
        await gateway.complete(ask(response_schema=schema), a_call())


async def test_settings_that_cannot_be_read_are_refused() -> None:
    profile = scripted_instructor(GOOD, over="instructor")
    gateway = gateway_of(profile)
    assert not gateway.health()[0].ok
    with pytest.raises(InvalidConfig, match="over"):
        await gateway.complete(ask(), a_call())
