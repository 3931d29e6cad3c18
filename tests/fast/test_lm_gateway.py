"""The gateway: profiles, streaming, repeating, limits, and what it tells."""

import asyncio
import json

import pytest

from runner.engine.errors import InvalidConfig, StepTimeout
from runner.engine.events import EventType
from runner.lm.errors import AuthError, Exhausted, InvalidRequest
from runner.lm.gateway import Gateway
from runner.lm.retry import LONGEST_WAIT, wait_before_retry
from runner.lm.types import LMProfile, LMRequest, LMResponse
from tests.lm_calls import Recorder, a_call, ask, gateway_of, scripted

SERVER = {"error": "server", "message": "down"}


def deadline_in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_an_answer_streams_by_field_and_is_told_at_the_end() -> None:
    observer = Recorder()
    text = "[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"
    gateway = gateway_of(scripted(text, chunk_size=5))
    response = await gateway.complete(ask("6*7"), a_call(observer))
    assert response.text == text
    assert {chunk.field for chunk in observer.chunks} == {"answer"}
    assert observer.text("answer") == "42"
    told = observer.lm_call
    assert told["messages"] == [{"role": "user", "content": "6*7"}]
    assert (told["call"], told["attempts"], told["source"]) == (1, 1, "provider")
    assert told["response"] == text
    assert 0 <= told["first_token_s"] <= told["seconds"]
    json.dumps(told)


async def test_calls_of_an_attempt_are_numbered() -> None:
    observer = Recorder()
    gateway, call = gateway_of(scripted("a", "b")), a_call(observer)
    await gateway.complete(ask(), call)
    await gateway.complete(ask(), call)
    assert [(chunk.call, chunk.text) for chunk in observer.chunks] == [(1, "a"), (2, "b")]


async def test_an_unknown_profile_lists_those_there_are() -> None:
    gateway = gateway_of(scripted("a"))
    with pytest.raises(InvalidConfig, match=r"no LM profile 'gpt'. LM profiles: mock\."):
        await gateway.complete(ask(), a_call(), profile="gpt")


def test_an_unknown_default_profile_is_refused_at_once() -> None:
    with pytest.raises(InvalidConfig, match="LM profiles: none"):
        Gateway({}, default="local")


async def test_the_profile_fills_what_the_request_leaves_open() -> None:
    asked: list[LMRequest] = []

    def answer(request: LMRequest) -> str:
        asked.append(request)
        return "ok"

    profile = LMProfile(
        name="mock",
        adapter="scripted",
        temperature=0.5,
        max_tokens=9,
        settings={"answer": answer},
    )
    gateway = gateway_of(profile)
    await gateway.complete(ask(), a_call())
    await gateway.complete(ask(temperature=0.0), a_call())
    assert [(r.temperature, r.max_tokens) for r in asked] == [(0.5, 9), (0.0, 9)]


async def test_cost_follows_the_prices_of_the_profile() -> None:
    prices = {"input_price": 1_000_000.0, "output_price": 2_000_000.0}
    response = await gateway_of(scripted("abc", profile=prices)).complete(ask(), a_call())
    assert response.usage.cost == 1 * 1.0 + 1 * 2.0


async def test_an_outage_is_repeated_until_it_is_over() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted(SERVER, SERVER, "ok"))
    assert (await gateway.complete(ask(), a_call(observer))).text == "ok"
    assert observer.lm_call["attempts"] == 3
    assert not observer.of(EventType.RETRACT)  # nothing had streamed


async def test_what_streamed_before_a_failure_is_retracted() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted({"error": "transport", "text": "half"}, "whole"))
    await gateway.complete(ask(), a_call(observer))
    assert observer.of(EventType.RETRACT) == [{"call": 1, "reason": "transport"}]
    assert observer.text(call=1) == "half"
    assert observer.text(call=2) == "whole"
    assert observer.chunks[-1].offset == 0
    assert observer.lm_call["call"] == 2


async def test_it_gives_up_after_the_retries_of_the_profile() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted(SERVER, profile={"retries": 2}))
    with pytest.raises(Exhausted, match="failed after 3 attempts, the last with server: down") as e:
        await gateway.complete(ask(), a_call(observer))
    assert e.value.suspends and not e.value.retryable
    assert e.value.details == {"cause": "server", "attempts": 3}
    assert observer.lm_call["failure"]["code"] == "exhausted"


async def test_a_failure_takes_back_its_text_and_is_told_under_its_number() -> None:
    observer = Recorder()
    gateway = gateway_of(scripted({"error": "invalid_request", "text": "half"}))
    with pytest.raises(InvalidRequest):
        await gateway.complete(ask(), a_call(observer))
    assert observer.of(EventType.RETRACT) == [{"call": 1, "reason": "invalid_request"}]
    assert observer.lm_call["call"] == 1


async def test_a_refused_key_is_not_repeated_and_suspends() -> None:
    gateway = gateway_of(scripted({"error": "auth"}))
    with pytest.raises(AuthError) as caught:
        await gateway.complete(ask(), a_call())
    assert caught.value.suspends
    assert gateway.adapter("scripted").calls["mock"] == 1


async def test_an_attempt_ends_at_the_timeout_of_the_profile() -> None:
    gateway = gateway_of(scripted("late", delay=5, profile={"timeout": 0.005, "retries": 1}))
    with pytest.raises(Exhausted, match=r"did not answer within 0\.005 s") as caught:
        await gateway.complete(ask(), a_call())
    assert caught.value.details["cause"] == "timeout"


async def test_the_deadline_ends_a_call_as_the_step_not_as_an_outage() -> None:
    gateway = gateway_of(scripted("late", delay=5))
    with pytest.raises(StepTimeout):
        await gateway.complete(ask(), a_call(deadline=deadline_in(0.005)))


async def test_it_does_not_wait_longer_than_the_deadline_leaves() -> None:
    gateway = gateway_of(scripted({"error": "rate_limit", "retry_after": 30}))
    with pytest.raises(Exhausted, match="after 1 attempt,"):
        await gateway.complete(ask(), a_call(deadline=deadline_in(1)))


async def test_no_more_calls_at_a_time_than_the_profile_allows() -> None:
    running, most = 0, 0

    async def one(gateway: Gateway) -> None:
        await gateway.complete(ask(), a_call())

    def answer(request: LMRequest) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        asyncio.get_running_loop().call_later(0.002, done)
        return "ok"

    def done() -> None:
        nonlocal running
        running -= 1

    settings = {"answer": answer, "delay": 0.003}
    gateway = gateway_of(LMProfile(name="m", adapter="scripted", concurrency=2, settings=settings))
    await asyncio.gather(*(one(gateway) for _ in range(6)))
    assert most == 2


async def test_cancelling_ends_the_call_at_once_and_frees_its_place() -> None:
    gateway = gateway_of(scripted("late", delay=5, profile={"concurrency": 1}))
    task = asyncio.create_task(gateway.complete(ask(), a_call()))
    await asyncio.sleep(0)
    waits = asyncio.create_task(gateway.complete(ask(), a_call()))
    await asyncio.sleep(0)
    for each in (task, waits):
        each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await each
    throttle = gateway.throttles.of(gateway.profile(None))
    assert throttle.running == 0


async def test_a_key_is_masked_wherever_it_comes_out() -> None:
    key = "sk-canary-0123456789"
    observer = Recorder()
    profile = {"api_key": key}
    gateway = gateway_of(scripted(f"it is {key}, yes", chunk_size=7, profile=profile))
    response = await gateway.complete(ask(f"what is {key}?"), a_call(observer))
    assert response.text == observer.text() == "it is •••, yes"
    assert key not in repr((observer.chunks, observer.events, gateway.profile(None)))


async def test_a_key_is_masked_in_errors() -> None:
    key = "sk-canary-0123456789"
    answer = {"error": "invalid_request", "message": f"bad key {key}"}
    observer = Recorder()
    with pytest.raises(InvalidRequest, match="bad key •••") as caught:
        await gateway_of(scripted(answer, profile={"api_key": key})).complete(
            ask(), a_call(observer)
        )
    assert key not in repr((caught.value, caught.value.message, observer.events))


async def test_tool_calls_come_through() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer = {"tool_calls": calls, "finish_reason": "tool_calls"}
    response: LMResponse = await gateway_of(scripted(answer)).complete(ask(), a_call())
    assert (response.tool_calls, response.finish_reason) == (calls, "tool_calls")


def waited(retry_after: float | None = None, attempt: int = 1, **other: float) -> float | None:
    from runner.lm.errors import RateLimited

    details = {} if retry_after is None else {"retry_after": retry_after}
    arguments = {"retries": 3, "backoff": 0.5, "remaining": None, "chance": 1.0} | other
    return wait_before_retry(RateLimited(**details), attempt=attempt, **arguments)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 0.5),
        ({"chance": 0.0}, 0.25),
        ({"attempt": 3}, 2.0),
        ({"attempt": 4}, None),
        ({"retry_after": 7.0}, 7.0),
        ({"retry_after": LONGEST_WAIT + 1}, None),
        ({"remaining": 0.4}, None),
    ],
)
def test_the_wait_doubles_is_jittered_and_honours_the_provider(
    given: dict, expected: float
) -> None:
    assert waited(**given) == expected
