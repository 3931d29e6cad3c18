"""LM calls as OpenTelemetry spans, sent to a collector as OTLP over HTTP in its JSON form.

Names are those of the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). What was said is not sent: the
conventions leave that to an opt-in, and here it is in the trace of the run. Spans are a by-product: when
the collector is slow or gone, the oldest are dropped, and nobody waits.
"""

import asyncio
import hashlib
import logging
import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import msgspec

from runner.lm.call_record import CallRecord

logger = logging.getLogger(__name__)

INTERVAL = 2.0
BATCH = 500
KEPT = 5_000
TIMEOUT = 10.0
_CLIENT = 3
_ERROR = 2
# The API that is spoken, in the words of the conventions; ours are our own.
_PROVIDERS = {
    "openai_compatible": "openai",
    "anthropic": "anthropic",
    "litellm": "litellm",
    "local": "dspex.local",
    "scripted": "dspex.scripted",
}


class SpanExporter:
    """Sends the spans of one process every few seconds. `endpoint` is the collector's base, as in
    OTEL_EXPORTER_OTLP_ENDPOINT: http://127.0.0.1:4318."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str] | None = None, *, interval: float = INTERVAL
    ) -> None:
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._interval = interval
        self._waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None
        self._failed = False
        self._client: httpx.AsyncClient | None = None

    def record(self, call: CallRecord) -> None:
        """Take a call that is over, on the event loop."""
        self._waiting.append(span_of(call))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._later())

    async def aclose(self) -> None:
        """Send what is left, once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._send_all()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _later(self) -> None:
        await asyncio.sleep(self._interval)
        await self._send_all()

    async def _send_all(self) -> None:
        while self._waiting:
            count = min(BATCH, len(self._waiting))
            spans = [self._waiting.popleft() for _ in range(count)]
            if not await self._send(spans):
                return  # these are lost; the rest waits for the next call

    async def _send(self, spans: list[dict[str, Any]]) -> bool:
        if self._client is None:
            # Reading the certificates takes too long for the event loop.
            context = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
            self._client = httpx.AsyncClient(verify=context, trust_env=False, timeout=TIMEOUT)
        body = msgspec.json.encode(request_of(spans))
        try:
            response = await self._client.post(self._url, content=body, headers=self._headers)
            response.raise_for_status()
        except httpx.HTTPError as error:
            if not self._failed:  # once, not every few seconds
                logger.warning("Spans can't be sent to %s: %s", self._url, type(error).__name__)
            self._failed = True
            return False
        self._failed = False
        return True


def request_of(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """An ExportTraceServiceRequest."""
    resource = {"attributes": _attributes({"service.name": "dspex"})}
    scope = {"scope": {"name": "dspex.gateway"}, "spans": spans}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def span_of(call: CallRecord) -> dict[str, Any]:
    """One call as a span; all of a run are one trace."""
    end = int(call.ended * 1e9)
    span = {
        "traceId": trace_id_of(call.run_id),
        "spanId": secrets.token_hex(8),
        "name": f"chat {call.requested_model or call.model}",
        "kind": _CLIENT,
        "startTimeUnixNano": str(end - int(call.seconds * 1e9)),
        "endTimeUnixNano": str(end),
        "attributes": _attributes(_values(call)),
    }
    return span | ({"status": {"code": _ERROR}} if call.error else {})


def trace_id_of(run_id: str) -> str:
    """The run's id, which is 128 bits; of another kind of id its hash."""
    try:
        return UUID(run_id).hex
    except ValueError:
        return hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()


def _values(call: CallRecord) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(call.adapter, call.adapter),
        "gen_ai.request.model": call.requested_model,
        "gen_ai.request.temperature": call.temperature,
        "gen_ai.request.max_tokens": call.max_tokens,
        "gen_ai.response.model": call.model,
        "gen_ai.response.finish_reasons": [call.finish_reason] if call.finish_reason else None,
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.cached_input_tokens or None,
        "server.address": call.server,
        "server.port": call.port,
        "error.type": call.error,
        "dspex.run.id": call.run_id,
        "dspex.step.path": call.step,
        "dspex.node.kind": call.kind,
        "dspex.predictor": call.predictor,
        "dspex.lm_profile": call.profile,
        "dspex.lm.source": call.source,
        "dspex.lm.attempts": call.attempts,
        "dspex.lm.cost_dollars": call.cost or None,
        "dspex.lm.reasoning_tokens": call.reasoning_tokens or None,
        "dspex.lm.first_token_seconds": call.first_token,
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": _any_value(value)}
        for key, value in values.items()
        if value is not None and value != ""
    ]


def _any_value(value: Any) -> dict[str, Any]:
    """In the JSON form of protobuf, where a 64-bit number is a text."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": str(value)}
