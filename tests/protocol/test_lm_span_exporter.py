"""Spans on their way to a collector."""

import asyncio
import logging

import pytest

from runner.lm.telemetry import SpanExporter
from tests.fake_provider import FakeProvider, Reply, provider
from tests.lm_calls import a_call, ask, gateway_of, scripted

OK = Reply(content_type="application/json", parts=[b"{}"])


def spans_in(fake: FakeProvider) -> list[int]:
    """Spans of each request."""
    return [len(r.body["resourceSpans"][0]["scopeSpans"][0]["spans"]) for r in fake.requests]


async def test_spans_are_sent_together_after_a_while_and_at_the_end() -> None:
    async with provider(OK) as fake:
        endpoint = fake.base_url.removesuffix("/v1")
        exporter = SpanExporter(endpoint, {"x-key": "secret"}, interval=0.02)
        gateway = gateway_of(scripted("ok"), tell=[exporter.record])
        for _ in range(3):
            await gateway.complete(ask(), a_call())
        async with asyncio.timeout(10):
            while not fake.requests:
                await asyncio.sleep(0.005)
        assert spans_in(fake) == [3]
        await gateway.complete(ask(), a_call())
        await exporter.aclose()
    assert spans_in(fake) == [3, 1]
    assert fake.requests[0].path == "/v1/traces"
    assert fake.requests[0].headers["x-key"] == "secret"


async def test_a_collector_that_is_gone_is_reported_once_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with provider(OK) as fake:
        endpoint = fake.base_url.removesuffix("/v1")
    exporter = SpanExporter(endpoint, interval=0.01)
    gateway = gateway_of(scripted("ok"), tell=[exporter.record])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert (await gateway.complete(ask(), a_call())).text == "ok"
            await exporter.aclose()
    assert len(caplog.records) == 1
