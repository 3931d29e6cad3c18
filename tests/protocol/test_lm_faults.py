"""Every provider API and every adapter against every fault: what each comes to, and that no key gets out.
litellm, which is not installed here, has its own in test_lm_litellm.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import perf_counter
from typing import Any

import pytest

from runner.engine.errors import RunnerError
from runner.lm import errors
from runner.lm.adapters import sse
from runner.lm.gateway import Gateway
from runner.lm.local_model import Endpoint
from runner.lm.types import LMProfile
from tests.fake_provider import DIALECTS, Dialect, FakeProvider, Reply, event, failed, provider
from tests.lm_calls import Recorder, a_call, ask, gateway_of

KEY = "sk-canary-0123456789"
dialects = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
CHAT = DIALECTS["chat_completions"]
FACES = {
    **DIALECTS,
    "instructor": replace(CHAT, adapter="instructor", settings={"over": "openai_compatible"}),
    "local": replace(CHAT, adapter="local"),
}
faces = pytest.mark.parametrize("dialect", FACES.values(), ids=FACES)


def profile_for(dialect: Dialect, fake: FakeProvider, **fields: Any) -> LMProfile:
    given: dict[str, Any] = {
        "name": "fake",
        "model": "fake-1",
        "api_key": KEY,
        "adapter": dialect.adapter,
        "settings": dialect.settings,
        "base_url": fake.base_url,
        "retries": 0,
    }
    return LMProfile(**(given | fields))


@asynccontextmanager
async def calling(
    dialect: Dialect, *replies: Reply, **fields: Any
) -> AsyncIterator[tuple[Gateway, FakeProvider]]:
    async with provider(*replies) as fake:
        gateway = gateway_of(profile_for(dialect, fake, **fields))
        if dialect.adapter == "local":
            child = Child(Endpoint(base_url=fake.base_url, key=KEY))
            gateway.adapter("local").model = lambda profile: child  # type: ignore[attr-defined]
        try:
            yield gateway, fake
        finally:
            await gateway.aclose()


class Child:
    """In place of the embedded model's process: the provider of the test."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def running(self) -> Endpoint:
        return self._endpoint

    def wait(self, seconds: float) -> None: ...


async def failure_of(dialect: Dialect, reply: Reply, **fields: Any) -> str:
    """The code of what one attempt comes to; of the cause, where the gateway gave up."""
    async with calling(dialect, reply, **fields) as (gateway, _):
        with pytest.raises(RunnerError) as caught:
            await gateway.complete(ask(), a_call())
    assert KEY not in repr((caught.value.message, caught.value.details))
    return str(caught.value.details.get("cause", caught.value.code))


@faces
async def test_an_answer_streams_and_its_usage_is_read(dialect: Dialect) -> None:
    observer = Recorder()
    async with calling(dialect, dialect.streamed("Hel", "lo é")) as (gateway, fake):
        response = await gateway.complete(ask(), a_call(observer))
    assert (response.text, response.model, response.finish_reason) == ("Hello é", "fake-1", "stop")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 5)
    assert [piece.text for piece in observer.chunks] == ["Hel", "lo é"]
    (request,) = fake.requests
    assert request.path == dialect.path
    assert KEY in request.headers[dialect.key_header]


@faces
async def test_a_provider_that_does_not_stream_is_read_whole(dialect: Dialect) -> None:
    body = json.dumps(dialect.whole).encode()
    reply = Reply(content_type="application/json; charset=utf-8", parts=[body])
    async with calling(dialect, reply) as (gateway, _):
        response = await gateway.complete(ask(), a_call())
    assert (response.text, response.usage.output_tokens) == ("all", 5)


@faces
async def test_a_stream_may_be_cut_anywhere_by_the_network(dialect: Dialect) -> None:
    whole = b"".join(dialect.streamed("é\u2028", "x").parts).replace(b"\n", b"\r\n")
    reply = Reply(parts=[bytes([byte]) for byte in whole])
    async with calling(dialect, reply) as (gateway, _):
        assert (await gateway.complete(ask(), a_call())).text == "é\u2028x"


@faces
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (failed(401), "auth"),
        (failed(403), "auth"),
        (failed(402), "billing"),
        (failed(429), "rate_limit"),
        (failed(429, {"code": "insufficient_quota"}), "billing"),
        (failed(400, {"message": "Your credit balance is too low to go on."}), "billing"),
        (failed(408), "timeout"),
        (failed(500), "server"),
        (failed(503), "server"),
        (failed(529, {"type": "overloaded_error", "message": "busy"}), "server"),
        (failed(400), "invalid_request"),
        (failed(404, "no such model"), "invalid_request"),
        (failed(413, {"type": "request_too_large"}), "invalid_request"),
        (failed(400, {"code": "context_length_exceeded"}), "context_window_exceeded"),
        (failed(400, {"message": "prompt is too long: 9 > 8"}), "context_window_exceeded"),
        (failed(400, {"code": "content_filter"}), "refusal"),
        (Reply(status=502, content_type="text/html", parts=[b"<h1>Bad"]), "server"),
        (Reply(content_type="text/html", parts=[b"<h1>Hi"]), "unexpected_response"),
        (Reply(content_type="", parts=[b"data: x"]), "unexpected_response"),
        (Reply(parts=[b"data: {nonsense\n\n"]), "unexpected_response"),
        (Reply(parts=[b"data: \xff\xfe\n\n"]), "unexpected_response"),
        (Reply(content_type="application/json", parts=[b"{half"]), "unexpected_response"),
        (Reply(parts=[]), "transport"),
    ],
)
async def test_every_fault_has_its_error(dialect: Dialect, reply: Reply, code: str) -> None:
    assert await failure_of(dialect, reply) == code


@faces
async def test_an_error_inside_a_stream_is_the_providers(dialect: Dialect) -> None:
    parts = [*list(dialect.streamed("half").parts)[:2], event(dialect.error_event)]
    assert await failure_of(dialect, Reply(parts=parts)) == "rate_limit"


@faces
@pytest.mark.parametrize("cut", [True, False])
async def test_a_stream_that_ends_early_was_cut(dialect: Dialect, cut: bool) -> None:
    parts = list(dialect.streamed("half", "whole").parts)[:-3]
    assert await failure_of(dialect, Reply(parts=parts, cut=cut)) == "transport"


@faces
async def test_a_cut_stream_is_taken_back_and_repeated(dialect: Dialect) -> None:
    observer = Recorder()
    half = Reply(parts=list(dialect.streamed("half", "x").parts)[:-3], cut=True)
    whole = dialect.streamed("whole")
    async with calling(dialect, half, whole, retries=1) as (gateway, _):
        response = await gateway.complete(ask(), a_call(observer))
    assert response.text == observer.text(call=2) == "whole"
    assert observer.events[0][1] == {"call": 1, "reason": "transport"}


@faces
async def test_a_redirect_is_not_followed(dialect: Dialect) -> None:
    async with provider() as elsewhere:
        moved = failed(307, "moved", location=elsewhere.base_url)
        assert await failure_of(dialect, moved) == "unexpected_response"
    assert not elsewhere.requests


@faces
@pytest.mark.parametrize("parts", [[b"data: " + b"x" * 4000], [b"data: x\n"] * 800])
async def test_an_event_without_an_end_is_given_up(
    dialect: Dialect, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "LONGEST_EVENT", 2000)
    assert await failure_of(dialect, Reply(parts=parts)) == "unexpected_response"


@dialects
@pytest.mark.parametrize("how", ["seconds", "milliseconds", "date"])
async def test_the_wait_that_a_provider_asks_for_is_kept(dialect: Dialect, how: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    asked = {
        "seconds": {"retry_after": "0.05"},
        "milliseconds": {"retry_after_ms": "50"},
        "date": {"retry_after": later},
    }[how]
    shortest = 0.5 if how == "date" else 0.05
    replies = (failed(429, **asked), dialect.streamed("ok"))
    async with calling(dialect, *replies, retries=1) as (gateway, _):
        start = perf_counter()
        assert (await gateway.complete(ask(), a_call())).text == "ok"
    assert perf_counter() - start >= shortest


@faces
async def test_a_slow_drip_ends_at_the_timeout(dialect: Dialect) -> None:
    drip = dialect.streamed(*"abcdef" * 50, pause=0.01)
    async with calling(dialect, drip, timeout=0.06) as (gateway, fake):
        with pytest.raises(errors.Exhausted, match=r"did not answer within 0\.06 s"):
            await gateway.complete(ask(), a_call())
        await asyncio.wait_for(fake.disconnected.wait(), 0.1)


@faces
async def test_silence_ends_at_the_timeout_of_the_first_token(dialect: Dialect) -> None:
    silent = Reply(parts=[b": thinking\n\n"] * 100, pause=0.01)
    async with calling(dialect, silent, first_token_timeout=0.04) as (gateway, fake):
        with pytest.raises(errors.Exhausted, match=r"sent nothing within 0\.04 s"):
            await gateway.complete(ask(), a_call())
        await asyncio.wait_for(fake.disconnected.wait(), 0.1)


@faces
async def test_cancelling_closes_the_connection_within_100_ms(dialect: Dialect) -> None:
    observer = Recorder()
    drip = dialect.streamed(*"abcdef" * 50, pause=0.01)
    async with calling(dialect, drip) as (gateway, fake):
        task = asyncio.create_task(gateway.complete(ask(), a_call(observer)))
        while not observer.chunks:
            await asyncio.sleep(0.002)
        task.cancel()
        start = perf_counter()
        await asyncio.wait_for(fake.disconnected.wait(), 1)
        assert perf_counter() - start < 0.1
        with pytest.raises(asyncio.CancelledError):
            await task


@faces
async def test_a_key_that_a_provider_repeats_is_masked(dialect: Dialect) -> None:
    observer = Recorder()
    async with calling(dialect, dialect.streamed("key sk-canary-", "0123456789!")) as (gateway, _):
        response = await gateway.complete(ask(), a_call(observer))
    assert response.text == observer.text() == "key •••!"
    async with calling(dialect, failed(401, {"message": f"Wrong key {KEY}"})) as (gateway, _):
        with pytest.raises(errors.AuthError, match="Wrong key •••"):
            await gateway.complete(ask(), a_call(observer))
    assert KEY not in repr((observer.events, observer.chunks))
