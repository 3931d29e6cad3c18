"""litellm, by a stand-in for its module: it is not installed with DSPex."""

import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from runner.engine.errors import MissingPackages
from runner.lm import errors
from runner.lm.types import LMProfile
from tests.fake_provider import DIALECTS, USAGE, Reply, chunk, event, failed
from tests.lm_calls import Recorder, a_call, ask, gateway_of
from tests.protocol.test_lm_faults import failure_of

KEY = "sk-canary-0123456789"


class Chunk:
    """As litellm gives it: a pydantic model."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return self._data


class Stream:
    """As litellm wraps a provider's: it has an end in any case, and keeps whether that was the provider's."""

    def __init__(self, deltas: list[str], finish: str | None) -> None:
        self.received_finish_reason = finish
        self._deltas = deltas

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        for delta in self._deltas:
            yield Chunk(chunk(delta))
        yield Chunk(chunk(finish="stop"))
        yield Chunk({"model": "fake-1", "choices": [], "usage": USAGE})


class Stand(ModuleType):
    """What the adapter uses of litellm."""

    aclient_session: Any = None
    finish: str | None = "stop"

    def __init__(self, outcome: list[str] | Exception) -> None:
        super().__init__("litellm")
        self.outcome = outcome
        self.asked: dict[str, Any] = {}

    async def acompletion(self, **arguments: Any) -> Stream:
        self.asked = arguments
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Stream(self.outcome, self.finish)


def profile_of(**fields: Any) -> LMProfile:
    given: dict[str, Any] = {"name": "far", "adapter": "litellm", "model": "bedrock/x"}
    return LMProfile(**(given | {"retries": 0} | fields))


def stand_in(monkeypatch: pytest.MonkeyPatch, outcome: list[str] | Exception) -> Stand:
    stand = Stand(outcome)
    monkeypatch.setitem(sys.modules, "litellm", stand)
    return stand


async def test_an_answer_streams_through_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand, observer = stand_in(monkeypatch, ["Hel", "lo"]), Recorder()
    profile = profile_of(api_key=KEY, base_url="http://127.0.0.1:9/v1", settings={"strict": False})
    response = await gateway_of(profile).complete(ask("hi", max_tokens=5), a_call(observer))
    assert (response.text, response.usage.output_tokens) == ("Hello", 5)
    assert (response.usage.cached_input_tokens, response.usage.reasoning_tokens) == (3, 2)
    assert [piece.text for piece in observer.chunks] == ["Hel", "lo"]
    assert (stand.asked["api_key"], stand.asked["api_base"]) == (KEY, "http://127.0.0.1:9/v1")
    assert (stand.asked["max_retries"], stand.asked["max_tokens"]) == (0, 5)


async def test_without_a_key_none_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = stand_in(monkeypatch, ["x"])
    await gateway_of(profile_of()).complete(ask(), a_call())
    assert stand.asked["api_key"] == "none"


@pytest.mark.parametrize("deltas", [["ha", "lf"], []])
async def test_a_stream_that_only_litellm_ended_was_cut(
    monkeypatch: pytest.MonkeyPatch, deltas: list[str]
) -> None:
    stand_in(monkeypatch, deltas).finish = None
    with pytest.raises(errors.Exhausted, match="was cut before its end") as caught:
        await gateway_of(profile_of()).complete(ask(), a_call())
    assert caught.value.details["cause"] == "transport"


async def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = stand_in(monkeypatch, ["x"])
    await gateway_of(profile_of()).complete(ask(), a_call())
    assert stand.aclient_session.follow_redirects is False


def failure(name: str, status: int, message: str = "no", **fields: Any) -> Exception:
    kind = type(name, (Exception,), {"status_code": status, **fields})
    error: Exception = kind(message)
    return error


def broken_off(code: int | None) -> Exception:
    """A stream that ended with an error, which litellm wraps twice."""
    error = failure(
        "MidStreamFallbackError", 500, original_exception=failure("APIConnectionError", 500)
    )
    error.__context__ = failure("APIError", 500, code=code)
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failure("AuthenticationError", 401), "auth"),
        (failure("RateLimitError", 429), "rate_limit"),
        (failure("ContextWindowExceededError", 400), "context_window_exceeded"),
        (failure("ContentPolicyViolationError", 400), "refusal"),
        (failure("BadRequestError", 400), "invalid_request"),
        (failure("ServiceUnavailableError", 503), "server"),
        (failure("Timeout", 408), "timeout"),
        (failure("APIConnectionError", 500), "transport"),
        (RuntimeError("boom"), "server"),
        (failure("RateLimitError", 429, body={"code": "insufficient_quota"}), "billing"),
        (
            failure("BadRequestError", 400, body={"code": "context_length_exceeded"}),
            "context_window_exceeded",
        ),
        (failure("BadRequestError", 400, code="content_filter"), "refusal"),
        (broken_off(None), "transport"),
        (broken_off(429), "rate_limit"),
    ],
)
async def test_its_errors_have_ours(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    stand_in(monkeypatch, error)
    with pytest.raises(errors.LMError) as caught:
        await gateway_of(profile_of()).complete(ask(), a_call())
    assert caught.value.details.get("cause", caught.value.code) == code


async def test_the_wait_that_a_provider_asks_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure("RateLimitError", 429)
    error.litellm_response_headers = {"retry-after": "7"}  # type: ignore[attr-defined]
    stand_in(monkeypatch, error)
    with pytest.raises(errors.Exhausted) as caught:
        await gateway_of(profile_of()).complete(ask(), a_call())
    assert caught.value.details["retry_after"] == 7.0


async def test_an_address_that_is_no_place_of_a_service_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = stand_in(monkeypatch, ["x"])
    profile = profile_of(base_url="http://0.0.0.0/v1")
    with pytest.raises(errors.AddressRefused, match="no place of a service"):
        await gateway_of(profile).complete(ask(), a_call())
    assert not stand.asked


@pytest.mark.skipif(importlib.util.find_spec("litellm") is not None, reason="it is installed")
async def test_where_it_is_missing_the_command_is_named() -> None:
    gateway = gateway_of(profile_of())
    assert "uv pip install" in gateway.health()[0].detail
    with pytest.raises(MissingPackages, match=r"uv pip install .* litellm"):
        await gateway.complete(ask(), a_call())


# litellm itself, where it is installed

CHAT = DIALECTS["chat_completions"]
LITELLM = replace(CHAT, adapter="litellm")
WHOLE = json.dumps(CHAT.whole).encode()


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed")
@pytest.mark.filterwarnings("default")  # its own, in the middle of an answer
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (failed(401), "auth"),
        (failed(402), "billing"),
        (failed(403), "auth"),
        (failed(429), "rate_limit"),
        (failed(429, {"code": "insufficient_quota"}), "billing"),
        (failed(408), "timeout"),
        (failed(500), "server"),
        (failed(503), "server"),
        (failed(529, {"type": "overloaded_error", "message": "busy"}), "server"),
        (failed(400), "invalid_request"),
        (failed(404, "no such model"), "invalid_request"),
        (failed(400, {"code": "context_length_exceeded"}), "context_window_exceeded"),
        (failed(400, {"code": "content_filter"}), "refusal"),
        (failed(307, "moved", location="http://127.0.0.1:9/"), "unexpected_response"),
        (Reply(status=502, content_type="text/html", parts=[b"<h1>Bad"]), "server"),
        (Reply(content_type="text/html", parts=[b"<h1>Hi"]), "transport"),
        (Reply(content_type="application/json", parts=[WHOLE]), "transport"),
        (Reply(parts=[b"data: {nonsense\n\n"]), "transport"),
        (Reply(parts=[]), "transport"),
        (Reply(parts=list(CHAT.streamed("half", "whole").parts)[:-3]), "transport"),
        (Reply(parts=list(CHAT.streamed("half", "whole").parts)[:-3], cut=True), "transport"),
        (Reply(parts=[*list(CHAT.streamed("x").parts)[:1], event(CHAT.error_event)]), "rate_limit"),
    ],
)
async def test_every_fault_has_its_error_with_litellm_itself(reply: Reply, code: str) -> None:
    fields = {"model": "openai/fake-1", "private_network": True}
    try:
        assert await failure_of(LITELLM, reply, **fields) == code
    finally:  # it keeps clients and connections, which belong to this test's event loop
        litellm = sys.modules[
            "litellm"
        ]  # which the adapter imported, with what it needs to stay here
        litellm.in_memory_llm_clients_cache.flush_cache()
        await litellm.aclient_session.aclose()
        litellm.aclient_session = None
