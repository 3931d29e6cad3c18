"""litellm, by a stand-in for its module: it is not installed with DSPex."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from runner.engine.errors import MissingPackages
from runner.lm import errors
from runner.lm.types import LMProfile
from tests.fake_provider import USAGE, chunk
from tests.lm_calls import Recorder, a_call, ask, gateway_of

KEY = "sk-canary-0123456789"


class Chunk:
    """As litellm gives it: a pydantic model."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return self._data


class Stand(ModuleType):
    """What the adapter uses of litellm."""

    def __init__(self, outcome: list[str] | Exception) -> None:
        super().__init__("litellm")
        self.outcome = outcome
        self.asked: dict[str, Any] = {}

    async def acompletion(self, **arguments: Any) -> AsyncIterator[Chunk]:
        self.asked = arguments
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self._stream(self.outcome)

    async def _stream(self, deltas: list[str]) -> AsyncIterator[Chunk]:
        for delta in deltas:
            yield Chunk(chunk(delta))
        yield Chunk(chunk(finish="stop"))
        yield Chunk({"model": "fake-1", "choices": [], "usage": USAGE})


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


def failure(name: str, status: int, message: str = "no") -> Exception:
    kind = type(name, (Exception,), {"status_code": status})
    error: Exception = kind(message)
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
