"""One LM call as its observer sees it: chunks by field, a retraction, and what it came to."""

import asyncio
from typing import Any, Protocol

import msgspec

from runner.engine.errors import RunnerError
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.masking import Masker
from runner.lm.splitter import Piece, StreamSplitter
from runner.lm.types import LMProfile, LMRequest, LMResponse, Rejected, Usage


class Listener(Protocol):
    """Hears a provider's answer while it comes."""

    def delta(self, text: str) -> None: ...

    def retract(self, reason: str) -> None:
        """What was streamed so far is not part of the answer; another attempt may follow."""
        ...

    def attempted(self, waited: float) -> None:
        """An attempt begins, after so many seconds in line."""
        ...

    def rejected(self, rejected: Rejected) -> None:
        """What was streamed is an answer that was not accepted; the model is asked again."""
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
        self._waited = 0.0
        self._rejected: list[dict[str, Any]] = []
        self._rejected_usage = Usage()

    def attempted(self, waited: float) -> None:
        self.attempts += 1
        self._waited += waited
        self._renumber()

    def rejected(self, rejected: Rejected) -> None:
        self.retract("rejected")
        self._renumber()
        response = rejected.response
        self._rejected_usage += response.usage
        self._rejected.append(
            {
                "response": response.text,
                "problem": rejected.problem,
                "usage": _counts(response.usage),
            }
        )

    def _renumber(self) -> None:
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
    ) -> dict[str, Any]:
        """The answer is whole: send what was held back, and the event, whose data is given back."""
        if response.source != "provider" and not self._streamed:
            self._send(self._splitter.feed(response.text))
        self._send(self._splitter.finish())
        return self._event(request, profile, masker, response, failure=None)

    def failed(
        self, request: LMRequest, profile: LMProfile, masker: Masker, error: RunnerError
    ) -> dict[str, Any]:
        self.retract(error.code)
        failure = {"code": error.code, "message": error.message}
        # Answers that were not accepted were paid for all the same.
        nothing = LMResponse(text="", finish_reason="", usage=self._rejected_usage)
        return self._event(request, profile, masker, nothing, failure)

    def _event(
        self,
        request: LMRequest,
        profile: LMProfile,
        masker: Masker,
        response: LMResponse,
        failure: dict[str, str] | None,
    ) -> dict[str, Any]:
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
            "usage": _counts(usage),
            "source": response.source,
            "attempts": self.attempts,
            "rejected": self._rejected,
            "parent": self._call.path.rpartition("/")[0],
            "predictor": request.predictor,
            "seconds": seconds,
            "waited_s": self._waited,
            "first_token_s": first,
            "tokens_per_s": _rate(usage.output_tokens, first, seconds),
            "failure": failure,
        }
        self._call.observer.event(EventType.LM_CALL, self._call, data)
        return data


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": usage.cost,
    }


def _rate(tokens: int, first_token: float | None, seconds: float) -> float | None:
    """Tokens a second after the first one; None where there is nothing to measure."""
    if first_token is None or tokens < 2 or seconds <= first_token:
        return None
    return (tokens - 1) / (seconds - first_token)
