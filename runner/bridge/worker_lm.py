"""DSPy's language model in a worker: an engine that asks the host's gateway.

`dspy.LM(engine=…)` is DSPy's public seam for this: one attempt a call, no key, no network. Retries,
caches, budgets and streaming are the gateway's.
"""

import asyncio
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import dspy
import msgspec

from runner.bridge.messages import UNPARSABLE
from runner.bridge.payloads import LMSettings
from runner.bridge.worker_adapters import ANSWER, FRESH
from runner.bridge.worker_loop import HostRefused, Step
from runner.bridge.worker_requests import lm15_error, lm15_response, plain_request
from runner.lm.compact import answer_schema
from runner.lm.types import LMResponse

# Opaque on purpose: DSPy reads a model's family from its name (a `gpt-5` may not have temperature 0).
MODEL = "host/lm"

# What can be set for every call of a module. They go on the LM and never into a predictor's config:
# BestOfN and Refine raise the LM's temperature, which a predictor's own would undo.
LM_SETTINGS = frozenset({"n", "temperature", "top_p", "max_tokens", "stop", "seed"})


@dataclass(slots=True)
class _LMCall:
    """One call of the LM by a module. It makes several requests when it asks for n candidates."""

    rollout_id: int | None
    candidates: int = 0
    request: int = 0  # the number of the last one


_LM_CALL: ContextVar[_LMCall | None] = ContextVar("lm_call", default=None)

PATH_TAG = "_dspex_path"
"""On each predictor: its path in the module, which its copies keep (BestOfN runs only copies)."""


def tag_predictors(module: Any) -> None:
    """Write down each predictor's path, so that its calls can be told apart."""
    for path, predictor in module.named_predictors():
        setattr(predictor, PATH_TAG, path)


def _predictor() -> str:
    """Which predictor asks. One that a module makes while it runs has no path: Refine's is known by its
    signature."""
    for module in reversed(dspy.settings.caller_modules or ()):
        if isinstance(module, dspy.Predict):
            return getattr(module, PATH_TAG, None) or str(module.signature.__name__)
    return ""


class HostLM(dspy.LM):  # type: ignore[misc]  # DSPy is not typed
    """Keeps what DSPy's canonical request leaves out: without rollout id and candidate, a gateway that
    stores answers would give BestOfN one answer N times.

    DSPy's callbacks would tell as much, for a fifth of a step's time: a single one makes DSPy bind the
    arguments of all that it calls.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _LM_CALL.set(_LMCall({**self.kwargs, **kwargs}.get("rollout_id")))
        return super().__call__(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        _LM_CALL.set(_LMCall({**self.kwargs, **kwargs}.get("rollout_id")))
        return await super().acall(*args, **kwargs)

    def report_unparsable(self) -> None:
        """Tell the host that the last answer could not be read: it has shown it to people already."""
        call = _LM_CALL.get()
        if call is not None:
            self.engine.report_unparsable(call.request)


class HostEngine:
    """Asks the host. Belongs to one step: a thread that outlives it is stopped at its next call."""

    supports_function_calling = False
    supports_reasoning = False

    def __init__(self, step: Step, node: str, settings: LMSettings) -> None:
        self.supports_response_schema = settings.structured
        params = {"temperature", "max_tokens", "top_p", "stop", "seed"}
        self.supported_params = params | ({"response_format"} if settings.structured else set())
        self._compact = settings.adapter == "compact"
        self._step = step
        self._node = node

    def complete(self, request: Any) -> Any:
        try:
            return lm15_response(self._ask(request).result(), MODEL)
        except HostRefused as refused:
            raise lm15_error(refused.failure) from refused

    async def acomplete(self, request: Any) -> Any:
        try:
            return lm15_response(await asyncio.wrap_future(self._ask(request)), MODEL)
        except HostRefused as refused:
            raise lm15_error(refused.failure) from refused

    def report_unparsable(self, request: int) -> None:
        """Tell the host that an answer is not part of the result."""
        self._step.trace(UNPARSABLE, {"request": request})

    def _ask(self, request: Any) -> Future[LMResponse]:
        call = _LM_CALL.get() or _LMCall(None)
        asked = plain_request(
            request,
            rollout_id=call.rollout_id,
            candidate=call.candidates,
            fresh=FRESH.get(),
            predictor=_predictor(),
        )
        call.candidates += 1
        wanted = asked.response_schema or (ANSWER.get() if asked.json_object else None)
        if self._compact and wanted:
            schema = answer_schema(wanted)
            asked = msgspec.structs.replace(asked, response_schema=schema, json_object=False)
        call.request, future = self._step.ask_lm(asked, self._node)
        return future

    def close(self) -> None:
        """Nothing is held."""

    def __deepcopy__(self, memo: Any) -> "HostEngine":
        return self  # optimizers copy modules whole; a copy asks the same host

    def __reduce__(self) -> Any:
        return (_current_engine, ())


class AsyncHostEngine:
    """The engine as DSPy's async side wants it; the same requests over the same socket."""

    def __init__(self, engine: HostEngine) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:
        return await self._engine.acomplete(request)

    async def aclose(self) -> None:
        """Nothing is held."""

    def __deepcopy__(self, memo: Any) -> "AsyncHostEngine":
        return self

    def __reduce__(self) -> Any:
        return (_current_async_engine, ())


def language_model(step: Step, node: str, settings: LMSettings, options: dict[str, Any]) -> Any:
    """The LM of one step. `options` are the module's own of LM_SETTINGS."""
    engine = HostEngine(step, node, settings)
    config = {"temperature": settings.temperature, "max_tokens": settings.max_tokens, **options}
    return HostLM(
        MODEL,
        engine=engine,
        async_engine=AsyncHostEngine(engine),
        num_retries=0,
        cache=False,
        **{name: value for name, value in config.items() if value is not None},
    )


def _current_engine() -> Any:
    return dspy.settings.lm.engine


def _current_async_engine() -> Any:
    return AsyncHostEngine(_current_engine())
