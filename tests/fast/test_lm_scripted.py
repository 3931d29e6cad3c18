"""The scripted adapter: answers by list, rule, example, demo and callable; deterministic failures."""

import asyncio

import pytest

from runner.engine.errors import InvalidConfig
from runner.lm.adapters.scripted import ScriptedAdapter
from runner.lm.errors import Exhausted, InvalidRequest, RateLimited, UnexpectedResponse
from runner.lm.types import LMProfile, LMRequest, LMResponse, Message
from tests.lm_calls import Recorder, a_call, ask, gateway_of, scripted


async def answers(profile: LMProfile, *texts: str) -> list[str]:
    gateway = gateway_of(profile)
    return [(await gateway.complete(ask(text), a_call())).text for text in texts]


async def test_answers_come_in_order_and_the_last_is_repeated() -> None:
    assert await answers(scripted("one", "two"), "a", "b", "c") == ["one", "two", "two"]


async def test_the_first_rule_that_matches_the_last_message_answers() -> None:
    rules = [{"match": "France", "answer": "Paris"}, {"pattern": r"\d\+\d", "answer": "a sum"}]
    profile = scripted("else", rules=rules)
    assert await answers(profile, "of France?", "what is 1+1", "hm") == ["Paris", "a sum", "else"]


async def test_the_example_that_is_most_like_the_message_answers() -> None:
    examples = [
        {"ask": "What is the capital of France?", "answer": "Paris"},
        {"ask": "What is the capital of Spain?", "answer": "Madrid"},
    ]
    asked = ("Spain's capital?", "capital of France, please", "what is?", "hm")
    assert await answers(scripted("else", examples=examples), *asked) == [
        *("Madrid", "Paris", "Paris"),  # of two that are as like the first
        "else",  # no word in common
    ]


async def test_a_demo_in_the_prompt_answers_its_own_input() -> None:
    def turn(role: str, content: str) -> Message:
        return Message(role=role, content=content)

    demo = turn("user", "[[ ## q ## ]]\n2+2"), turn("assistant", "four")
    gateway = gateway_of(scripted("else", follow_demos=True))
    for last, answer in (("[[ ## q ## ]]\n2+2\n\nRespond.", "four"), ("2+3", "else")):
        asked = LMRequest(messages=(*demo, turn("user", last)))
        assert (await gateway.complete(asked, a_call())).text == answer


async def test_delays_come_before_the_first_and_every_further_piece() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runner.lm.adapters.scripted.asyncio.sleep", sleep)
        await answers(scripted("abcd", delay=0.2, chunk_delay=0.1, chunk_size=2), "x")
    assert slept == [0.2, 0.1]


async def test_without_a_matching_rule_or_answer_it_says_so() -> None:
    with pytest.raises(InvalidRequest, match="no rule of its script matches"):
        await answers(scripted(rules=[{"match": "x", "answer": "y"}]), "hm")


async def test_a_hostile_pattern_runs_in_linear_time() -> None:
    profile = scripted("else", rules=[{"pattern": "(a+)+$", "answer": "never"}])
    assert await asyncio.wait_for(answers(profile, "a" * 5000 + "!"), 1) == ["else"]


async def test_a_callable_given_in_python_answers() -> None:
    def upper(request: LMRequest) -> str:
        return str(request.messages[-1].content).upper()

    profile = LMProfile(name="mock", adapter="scripted", settings={"answer": upper})
    assert await answers(profile, "quiet") == ["QUIET"]


async def test_it_streams_in_pieces_of_the_chunk_size() -> None:
    observer = Recorder()
    await gateway_of(scripted("abcdefg", chunk_size=3)).complete(ask(), a_call(observer))
    assert [chunk.text for chunk in observer.chunks] == ["abc", "def", "g"]


async def test_the_error_rate_is_the_same_every_time() -> None:
    async def failures() -> list[bool]:
        profile = scripted("ok", error_rate=0.5, seed=7, profile={"retries": 0})
        gateway = gateway_of(profile)
        results = await asyncio.gather(
            *(gateway.complete(ask(), a_call()) for _ in range(20)), return_exceptions=True
        )
        return [isinstance(result, Exhausted) for result in results]

    first = await failures()
    assert first == await failures()
    assert 4 < sum(first) < 16


async def test_it_fails_with_a_named_error() -> None:
    adapter = ScriptedAdapter()
    profile = scripted({"error": "rate_limit", "retry_after": 2.5})
    with pytest.raises(RateLimited) as caught:
        async for _ in adapter.stream(ask(), profile):
            pass
    assert caught.value.details == {"retry_after": 2.5}
    assert adapter.calls["mock"] == 1


async def test_an_unknown_error_name_is_shown() -> None:
    with pytest.raises(UnexpectedResponse, match="'tired'"):
        await answers(scripted({"error": "tired"}), "a")


async def test_it_counts_tokens() -> None:
    response: LMResponse = await gateway_of(scripted("four" * 4)).complete(ask(), a_call())
    assert (response.usage.input_tokens, response.usage.output_tokens) == (1, 5)


@pytest.mark.parametrize(
    "settings", [{"answer_s": []}, {"rules": [{"answer": "a", "pattern": "("}]}]
)
async def test_a_script_that_cannot_be_read_is_refused(settings: dict) -> None:
    profile = LMProfile(name="mock", adapter="scripted", settings=settings)
    gateway = gateway_of(profile)
    assert gateway.health()[0].ok is False
    with pytest.raises(InvalidConfig, match="script"):
        await gateway.complete(ask(), a_call())
