"""A call that is over, as metrics and telemetry see it: figures and names, no text."""

from functools import lru_cache
from time import time
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from runner.engine.executor import Call
from runner.lm.types import LMProfile, LMRequest


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a gateway. `error` is a code, empty where it was answered; `ended` is seconds since
    the epoch. `first_token` is None where nothing streamed."""

    run_id: str
    step: str
    kind: str
    predictor: str
    profile: str
    adapter: str
    requested_model: str
    model: str
    server: str
    port: int | None
    source: Literal["provider", "response_cache", "replay_log"]
    finish_reason: str
    error: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: float
    attempts: int
    rejected: int
    seconds: float
    waited: float
    first_token: float | None
    ended: float
    temperature: float | None
    max_tokens: int | None


def record_of(
    data: dict[str, Any], request: LMRequest, profile: LMProfile, call: Call
) -> CallRecord:
    """The record of a call, from the data of its event."""
    usage, failure = data["usage"], data["failure"]
    server, port = _address(profile.base_url)
    return CallRecord(
        run_id=call.run_id,
        step=call.path,
        kind=call.node.kind,
        predictor=request.predictor,
        profile=profile.name,
        adapter=profile.adapter,
        requested_model=profile.model,
        model=data["model"],
        server=server,
        port=port,
        source=data["source"],
        finish_reason=data["finish_reason"],
        error=failure["code"] if failure else "",
        input_tokens=usage["input_tokens"],
        cached_input_tokens=usage["cached_input_tokens"],
        output_tokens=usage["output_tokens"],
        reasoning_tokens=usage["reasoning_tokens"],
        cost=usage["cost"],
        attempts=data["attempts"],
        rejected=len(data["rejected"]),
        seconds=data["seconds"],
        waited=data["waited_s"],
        first_token=data["first_token_s"],
        ended=time(),
        temperature=request.temperature,
        max_tokens=request.max_tokens,
    )


@lru_cache(maxsize=256)
def _address(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port
