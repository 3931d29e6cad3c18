"""One LM call as its observer sees it: chunks by field, a retraction, and what it came to."""

import asyncio
from typing import Any, Protocol

import msgspec

from runner.engine.errors import RunnerError
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.masking import Masker
from runner.lm.splitter import Piece, StreamSplitter
from runner.lm.types import LMProfile, LMRequest, LMResponse


class Listener(Protocol):
    """Hears a provider's answer while it comes."""

    def delta(self, text: str) -> None: ...

    def retract(self, reason: str) -> None:
        """What was streamed so far is not part of the answer; another attempt may follow."""
        ...

    def attempted(self) -> None:
        """An attempt begins."""
        ...


class CallStream:
    """Numbers the call, turns deltas into chunks and writes the LM_CALL event at the end.

    After a retraction the next attempt has a new number, so that a chunk of it which overtakes the
    (durable, hence slower) retraction is not dropped with the text it retracts.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._splitter = StreamSplitter()
        self._streamed = self._retracted = False
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._first_token: float | None = None
        self.number = call.next_lm_call()
        self.attempts = 0

    def attempted(self) -> None:
        self.attempts += 1
        if self._retracted:
            self.number = self._call.next_lm_call()
            self._retracted = False

    def delta(self, text: str) -> None:
        if self._first_token is None:
            self._first_token = self._loop.time() - self._start
        self._send(self._splitter.feed(text))

    def retract(self, reason: str) -> None:
        if self._streamed:
            data = {"call": self.number, "reason": reason}
            self._call.observer.event(EventType.RETRACT, self._call, data)
            self._retracted = True
        self._streamed = False
        self._first_token = None
        self._splitter = StreamSplitter()

    def _send(self, pieces: list[Piece]) -> None:
        call = self._call
        for field, offset, text in pieces:
            self._streamed = True
            chunk = Chunk(
                run_id=call.run_id,
                step=call.path,
                attempt=call.attempt,
                call=self.number,
                field=field,
                offset=offset,
                text=text,
            )
            call.observer.chunk(chunk)

    def answered(
        self, request: LMRequest, profile: LMProfile, masker: Masker, response: LMResponse
    ) -> None:
        """The answer is whole: send what was held back, and the event."""
        if response.source != "provider" and not self._streamed:
            self._send(self._splitter.feed(response.text))
        self._send(self._splitter.finish())
        self._event(request, profile, masker, response, failure=None)

    def failed(
        self, request: LMRequest, profile: LMProfile, masker: Masker, error: RunnerError
    ) -> None:
        self.retract(error.code)
        failure = {"code": error.code, "message": error.message}
        self._event(request, profile, masker, LMResponse(text="", finish_reason=""), failure)

    def _event(
        self,
        request: LMRequest,
        profile: LMProfile,
        masker: Masker,
        response: LMResponse,
        failure: dict[str, str] | None,
    ) -> None:
        seconds = self._loop.time() - self._start
        usage, first = response.usage, self._first_token
        data: dict[str, Any] = {
            "call": self.number,
            "profile": profile.name,
            "adapter": profile.adapter,
            "model": response.model or profile.model,
            "messages": masker.value(
                [msgspec.to_builtins(message) for message in request.messages]
            ),
            "response": response.text,
            "tool_calls": response.tool_calls,
            "finish_reason": response.finish_reason,
            "usage": {
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cost": usage.cost,
            },
            "source": response.source,
            "attempts": self.attempts,
            "seconds": seconds,
            "first_token_s": first,
            "tokens_per_s": _rate(usage.output_tokens, first, seconds),
            "failure": failure,
        }
        self._call.observer.event(EventType.LM_CALL, self._call, data)


def _rate(tokens: int, first_token: float | None, seconds: float) -> float | None:
    """Tokens a second after the first one; None where there is nothing to measure."""
    if first_token is None or tokens < 2 or seconds <= first_token:
        return None
    return (tokens - 1) / (seconds - first_token)
