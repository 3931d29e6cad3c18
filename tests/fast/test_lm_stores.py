"""The replay log and the response cache: nothing paid for is paid again."""

import asyncio
from typing import Any

import pytest

from pipelines.graph.policy import StepPolicy
from runner.engine.errors import StepTimeout
from runner.engine.events import EventType
from runner.lm.cache import CacheKey, MemoryResponseCache, request_digest
from runner.lm.errors import InvalidRequest
from runner.lm.gateway import Gateway
from runner.lm.replay import MemoryReplayLog, ReplayKey
from runner.lm.types import LMRequest
from tests.lm_calls import Recorder, a_call, ask, gateway_of, scripted


def paid(gateway: Gateway) -> int:
    count: int = gateway.adapter("scripted").calls["mock"]
    return count


async def texts(gateway: Gateway, *requests: LMRequest, **call: Any) -> list[str]:
    """The answers within one attempt."""
    attempt = a_call(**call)
    return [(await gateway.complete(request, attempt)).text for request in requests]


async def test_a_resumed_run_pays_nothing_for_what_was_answered() -> None:
    log = MemoryReplayLog()
    first = await texts(gateway_of(scripted("a", "b"), replay_log=log), ask("1"), ask("2"))
    resumed = gateway_of(scripted("other"), replay_log=log)
    assert await texts(resumed, ask("1"), ask("2"), ask("3")) == [*first, "other"]
    assert paid(resumed) == 1


async def test_equal_requests_of_an_attempt_replay_in_their_order() -> None:
    log = MemoryReplayLog()
    requests = (ask(), ask(fresh=True), ask())
    assert await texts(gateway_of(scripted("a", "b", "c"), replay_log=log), *requests) == [*"abc"]
    resumed = gateway_of(scripted("x"), replay_log=log)
    assert await texts(resumed, *requests) == [*"abc"]


@pytest.mark.parametrize("call", [{"run_id": "r2"}, {"path": "each[3]/step"}, {"attempt": 2}])
async def test_another_run_step_or_attempt_takes_no_answers(call: dict) -> None:
    gateway = gateway_of(scripted("a", "b"), replay_log=MemoryReplayLog())
    await texts(gateway, ask())
    assert await texts(gateway, ask(), **call) == ["b"]


@pytest.mark.parametrize("differs", [{"rollout_id": 1}, {"candidate": 1}, {"temperature": 1.0}])
@pytest.mark.parametrize("store", ["replay_log", "response_cache"])
async def test_answers_are_told_apart_by_rollout_and_candidate(differs: dict, store: str) -> None:
    stores = {"replay_log": MemoryReplayLog(), "response_cache": MemoryResponseCache()}
    gateway = gateway_of(scripted("a", "b"), **{store: stores[store]})
    assert await texts(gateway, ask(), ask(**differs)) == ["a", "b"]


async def test_an_answer_is_committed_before_its_caller_sees_it() -> None:
    order: list[str] = []

    class Slow(MemoryReplayLog):
        async def put(self, key: ReplayKey, value: bytes) -> None:
            await asyncio.sleep(0)
            order.append("committed")

    await texts(gateway_of(scripted("a"), replay_log=Slow()), ask())
    order.append("seen")
    assert order == ["committed", "seen"]


async def test_a_stored_answer_is_free_and_streams_whole() -> None:
    cache, observer = MemoryResponseCache(), Recorder()
    answer = '{"one": "1", "two": "2"}'
    gateway = gateway_of(scripted(answer, chunk_size=3), response_cache=cache)
    await gateway.complete(ask(), a_call())
    response = await gateway.complete(ask(), a_call(observer, run_id="other"))
    assert (response.source, response.usage.output_tokens) == ("response_cache", 0)
    assert [(chunk.field, chunk.text) for chunk in observer.chunks] == [("one", "1"), ("two", "2")]
    told = observer.lm_call
    assert (told["source"], told["attempts"], told["first_token_s"]) == ("response_cache", 0, None)


async def test_a_fresh_request_skips_the_cache_and_mends_it() -> None:
    gateway = gateway_of(scripted("bad", "good"), response_cache=MemoryResponseCache())
    assert await texts(gateway, ask(), ask(fresh=True), ask()) == ["bad", "good", "good"]


async def test_a_step_may_decline_the_cache() -> None:
    gateway = gateway_of(scripted("a", "b"), response_cache=MemoryResponseCache())
    assert await texts(gateway, ask(), ask(), policy=StepPolicy(cache=False)) == ["a", "b"]


async def test_a_changed_profile_takes_no_cached_answer_but_replays_its_run() -> None:
    stores = {"replay_log": MemoryReplayLog(), "response_cache": MemoryResponseCache()}
    await texts(gateway_of(scripted("a"), **stores), ask())
    changed = gateway_of(scripted("b", profile={"revision": 2, "temperature": 0.1}), **stores)
    assert await texts(changed, ask()) == ["a"]
    assert await texts(changed, ask(), run_id="other") == ["b"]


async def at_once(gateway: Gateway, observers: list[Recorder]) -> list[asyncio.Task]:
    """Equal calls under way."""
    tasks = [asyncio.create_task(gateway.complete(ask(), a_call(o))) for o in observers]
    await asyncio.sleep(0.001)
    return tasks


def slow(**options: Any) -> Gateway:
    profile = scripted("answer", delay=0.002, chunk_delay=0.002, chunk_size=3, **options)
    return gateway_of(profile, response_cache=MemoryResponseCache())


async def test_equal_calls_at_the_same_time_are_paid_once() -> None:
    gateway, observers = slow(), [Recorder() for _ in range(8)]
    responses = await asyncio.gather(*await at_once(gateway, observers))
    assert paid(gateway) == 1
    assert sorted(r.source for r in responses) == ["provider"] + 7 * ["response_cache"]
    assert [o.text() for o in observers] == 8 * ["answer"]
    assert sum(o.lm_call["usage"]["output_tokens"] for o in observers) == 2


async def test_who_joins_late_hears_what_was_said() -> None:
    gateway, first, late = slow(), Recorder(), Recorder()
    (task,) = await at_once(gateway, [first])
    while not first.chunks:
        await asyncio.sleep(0.0005)
    response = await gateway.complete(ask(), a_call(late))
    await task
    assert (response.source, late.text()) == ("response_cache", "answer")
    assert len(late.chunks) == len(first.chunks) == 2


async def test_the_deadline_of_one_does_not_end_the_call_of_another() -> None:
    gateway = slow()
    now = asyncio.get_running_loop().time()
    hasty = asyncio.create_task(gateway.complete(ask(), a_call(deadline=now + 0.001)))
    patient = asyncio.create_task(gateway.complete(ask(), a_call()))
    with pytest.raises(StepTimeout):
        await hasty
    assert (await patient).source == "provider"


@pytest.mark.parametrize("leaver", [0, 1])
async def test_who_leaves_a_shared_call_does_not_end_it(leaver: int) -> None:
    gateway = slow()
    tasks = await at_once(gateway, [Recorder() for _ in range(3)])
    tasks.pop(leaver).cancel()
    responses = await asyncio.gather(*tasks)
    assert [r.text for r in responses] == ["answer", "answer"]
    assert sum(r.source == "provider" for r in responses) == 1
    assert paid(gateway) == 1


async def test_a_shared_call_ends_when_all_have_left() -> None:
    gateway = slow()
    tasks = await at_once(gateway, [Recorder(), Recorder()])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1
    assert (await gateway.complete(ask(), a_call())).text == "answer"
    assert paid(gateway) == 2


async def test_a_failure_reaches_all_who_share_the_call_and_is_not_stored() -> None:
    failing = scripted({"error": "invalid_request"}, "ok", delay=0.002)
    gateway = gateway_of(failing, response_cache=MemoryResponseCache())
    results = await asyncio.gather(
        *await at_once(gateway, [Recorder(), Recorder()]), return_exceptions=True
    )
    assert [type(result) for result in results] == [InvalidRequest, InvalidRequest]
    assert await texts(gateway, ask()) == ["ok"]


async def test_a_retraction_reaches_all_who_share_the_call() -> None:
    failing = scripted({"error": "server", "text": "half"}, "whole", delay=0.002)
    gateway = gateway_of(failing, response_cache=MemoryResponseCache())
    observers = [Recorder(), Recorder()]
    await asyncio.gather(*await at_once(gateway, observers))
    assert [len(o.of(EventType.RETRACT)) for o in observers] == [1, 1]
    assert [o.text(call=2) for o in observers] == ["whole", "whole"]


async def test_closing_the_gateway_ends_shared_calls() -> None:
    gateway = slow()
    (task,) = await at_once(gateway, [Recorder()])
    await gateway.aclose()
    with pytest.raises(Exception, match="gateway was closed"):
        await task


def key(number: int) -> CacheKey:
    return CacheKey(profile="p", revision=1, request=str(number), rollout_id=None, candidate=0)


async def test_the_memory_cache_keeps_what_was_used_last() -> None:
    cache = MemoryResponseCache(answers=2)
    await cache.put(key(1), b"1")
    await cache.put(key(2), b"2")
    await cache.get(key(1))
    await cache.put(key(3), b"3")
    assert [await cache.get(key(n)) for n in (1, 2, 3)] == [b"1", None, b"3"]


async def test_the_memory_cache_is_bounded_in_bytes() -> None:
    cache = MemoryResponseCache(size=10)
    await cache.put(key(1), b"12345678")
    await cache.put(key(1), b"123456")
    await cache.put(key(2), b"12345")
    assert (len(cache), cache.bytes) == (1, 5)


async def test_a_forgotten_run_has_no_answers() -> None:
    log = MemoryReplayLog()
    await texts(gateway_of(scripted("a"), replay_log=log), ask())
    log.forget("run")
    assert await texts(gateway_of(scripted("b"), replay_log=log), ask()) == ["b"]


def test_the_order_of_schema_properties_makes_another_request() -> None:
    profile = scripted("a")
    forms = [{"a": {}, "b": {}}, {"b": {}, "a": {}}]
    digests = {request_digest(ask(response_schema={"properties": f}), profile) for f in forms}
    assert len(digests) == 2
