"""What metrics and telemetry are told of a call."""

import contextlib
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runner.lm.cache import MemoryResponseCache
from runner.lm.call_record import CallRecord
from runner.lm.errors import AuthError
from runner.lm.metrics import Metrics, gauge_text
from runner.lm.telemetry import request_of, span_of, trace_id_of
from tests.lm_calls import a_call, ask, gateway_of, scripted

RUN = "0197f0c0-0000-7000-8000-000000000001"


async def records(*answers: Any, times: int = 1, **profile: Any) -> list[CallRecord]:
    told: list[CallRecord] = []
    fields = {"model": "small", "output_price": 1_000_000.0, **profile}
    gateway = gateway_of(
        scripted(*answers, profile=fields),
        tell=[told.append],
        response_cache=MemoryResponseCache(),
    )
    for _ in range(times):
        with contextlib.suppress(AuthError):
            await gateway.complete(ask(max_tokens=9), a_call(run_id=RUN, path="each[3]/ask"))
    return told


def figures(metrics: Metrics) -> dict[str, float]:
    """Sample name with its labels to value, where it is not 0."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket"))
    }


async def test_every_call_is_told_once_with_its_source() -> None:
    told = await records("four" * 3, times=2)
    assert [(call.source, call.output_tokens) for call in told] == [
        ("provider", 4),
        ("response_cache", 0),
    ]
    assert told[0].step == "each[3]/ask"


async def test_metrics_count_calls_tokens_cost_and_repetitions() -> None:
    metrics = Metrics()
    for call in await records({"error": "server"}, "four" * 3, times=2):
        metrics.record(call)
    found = figures(metrics)
    who = "('adapter', 'scripted'), {}('model', 'small'), ('profile', 'mock')"
    assert found[f"dspex_lm_tokens_total[{who.format("('kind', 'output'), ")}]"] == 4
    assert found[f"dspex_lm_cost_dollars_total[{who.format('')}]"] == 4
    assert found[f"dspex_lm_repeated_attempts_total[{who.format('')}]"] == 1
    assert found[f"dspex_lm_call_seconds_count[{who.format('')}]"] == 1
    assert len([name for name in found if name.startswith("dspex_lm_calls_total")]) == 2


async def test_a_failed_call_is_counted_under_its_code() -> None:
    metrics = Metrics()
    for call in await records({"error": "auth"}):
        metrics.record(call)
    assert any("('error', 'auth')" in name for name in figures(metrics))


def test_what_is_looked_up_has_the_same_format() -> None:
    (family,) = text_string_to_metric_families(
        gauge_text("dspex_runs", "Runs.", "status", {"queued": 2}).decode()
    )
    assert [(s.labels, s.value) for s in family.samples] == [({"status": "queued"}, 2.0)]


async def test_a_call_is_a_span_by_the_conventions() -> None:
    (call,) = await records("four" * 3)
    span = span_of(call)
    values = {each["key"]: each["value"] for each in span["attributes"]}
    assert span["traceId"] == RUN.replace("-", "")
    assert (span["name"], span["kind"]) == ("chat small", 3)
    assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 0
    assert values["gen_ai.operation.name"] == {"stringValue": "chat"}
    assert values["gen_ai.request.model"] == {"stringValue": "small"}
    assert values["gen_ai.usage.output_tokens"] == {"intValue": "4"}
    assert values["gen_ai.response.finish_reasons"] == {
        "arrayValue": {"values": [{"stringValue": "stop"}]}
    }
    assert values["dspex.lm.cost_dollars"] == {"doubleValue": 4.0}
    assert "status" not in span and "error.type" not in values
    assert request_of([span])["resourceSpans"][0]["scopeSpans"][0]["spans"] == [span]


async def test_a_failed_call_is_a_failed_span_without_what_was_said() -> None:
    (call,) = await records({"error": "auth", "message": "Wrong key sk-canary"})
    span = span_of(call)
    assert span["status"] == {"code": 2}
    assert {"key": "error.type", "value": {"stringValue": "auth"}} in span["attributes"]
    assert "canary" not in repr(span)


@pytest.mark.parametrize("run_id", ["run", "", RUN])
def test_every_run_has_a_trace_id(run_id: str) -> None:
    assert len(bytes.fromhex(trace_id_of(run_id))) == 16
    assert trace_id_of(run_id) == trace_id_of(run_id)
