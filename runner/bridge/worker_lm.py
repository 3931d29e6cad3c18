"""DSPy's language model in a worker: an engine that asks the host's gateway.

`dspy.LM(engine=…)` is DSPy's public seam for this: one attempt a call, no key, no network. Retries,
caches, budgets and streaming are the gateway's.
"""

import asyncio
import json
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import dspy
import msgspec
import pydantic
from dspy.utils.callback import BaseCallback

from runner.bridge.messages import UNPARSABLE
from runner.bridge.payloads import LMSettings
from runner.bridge.worker_loop import HostRefused, Step
from runner.bridge.worker_requests import lm15_error, lm15_response, plain_request
from runner.bridge.worker_values import plain
from runner.lm.compact import MAX_DEMOS, answer_schema, prompt_text
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
_FRESH: ContextVar[bool] = ContextVar("fresh", default=False)
_PREDICTOR: ContextVar[str] = ContextVar("predictor", default="")
_ANSWER: ContextVar[dict[str, Any] | None] = ContextVar("answer", default=None)

TOOL_ARGUMENTS = "next_tool_args"
"""ReAct's field for what a tool is called with."""

PATH_TAG = "_dspex_path"
"""On each predictor: its path in the module, which its copies keep (BestOfN runs only copies)."""


def tag_predictors(module: Any) -> None:
    """Write down each predictor's path, so that its calls can be told apart."""
    for path, predictor in module.named_predictors():
        setattr(predictor, PATH_TAG, path)


class MarkLMCalls(BaseCallback):  # type: ignore[misc]  # DSPy is not typed
    """Keeps what DSPy's canonical request leaves out: without rollout id and candidate, a gateway that
    stores answers would give BestOfN one answer N times. And tells the host which answers could not be
    read, because it has shown them to people already. And keeps which predictor asks."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if isinstance(instance, dspy.Predict):
            self._before[call_id] = _PREDICTOR.get()
            # One that a module makes while it runs has no path: Refine's is known by its signature.
            _PREDICTOR.set(getattr(instance, PATH_TAG, None) or instance.signature.__name__)

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        if call_id in self._before:
            _PREDICTOR.set(self._before.pop(call_id))

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        settings = {**instance.kwargs, **(inputs.get("kwargs") or {})}
        _LM_CALL.set(_LMCall(settings.get("rollout_id")))

    def on_adapter_parse_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        call = _LM_CALL.get()
        if isinstance(exception, dspy.AdapterParseError) and call is not None:
            dspy.settings.lm.engine.report_unparsable(call.request)


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
            fresh=_FRESH.get(),
            predictor=_PREDICTOR.get(),
        )
        call.candidates += 1
        wanted = asked.response_schema or (_ANSWER.get() if asked.json_object else None)
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


class ReaskingJSONAdapter(dspy.JSONAdapter):  # type: ignore[misc]  # DSPy is not typed
    """JSONAdapter with the one re-ask that ChatAdapter has in its fallback to JSON. The second request
    is equal to the first, so it asks the gateway for a fresh answer."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except dspy.AdapterParseError:
            token = _FRESH.set(True)
            try:
                return super().__call__(*args, **kwargs)
            finally:
                _FRESH.reset(token)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().acall(*args, **kwargs)
        except dspy.AdapterParseError:
            token = _FRESH.set(True)
            try:
                return await super().acall(*args, **kwargs)
            finally:
                _FRESH.reset(token)


class CompactAdapter(ReaskingJSONAdapter):
    """JSONAdapter with the compact prompt, for models that would echo DSPy's own.

    DSPy asks for any JSON at all where an output is a free object, as the arguments of ReAct's tools are;
    a small model then writes one that has nothing to do with the question. So the schema is ours, and the
    arguments are those of one of the `tools` (JSON Schemas).
    """

    def __init__(self, tools: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__()
        self._tools = tools

    def format(self, signature: Any, demos: list[Any], inputs: dict[str, Any]) -> list[Any]:
        _ANSWER.set(_schema_of(signature, self._tools))
        messages = []
        for demo in _whole(signature, demos)[:MAX_DEMOS]:
            messages.append({"role": "user", "content": _question(signature, demo)})
            answer = {name: plain(demo[name]) for name in signature.output_fields}
            written = json.dumps(answer, ensure_ascii=False)
            messages.append({"role": "assistant", "content": written})
        return [*messages, {"role": "user", "content": _question(signature, inputs)}]


def _schema_of(signature: Any, tools: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: (field.annotation, ...) for name, field in signature.output_fields.items()
    }
    model: Any = pydantic.create_model("Answer", **fields)
    schema: dict[str, Any] = model.model_json_schema()
    if tools and TOOL_ARGUMENTS in fields:
        nothing = {"type": "object", "properties": {}}  # of ReAct's own `finish`
        schema["properties"][TOOL_ARGUMENTS] = {"anyOf": [*tools, nothing]}
    return schema


def _whole(signature: Any, demos: list[Any]) -> list[Any]:
    return [demo for demo in demos if all(demo.get(name) is not None for name in signature.fields)]


def _question(signature: Any, values: Any) -> str:
    outputs = {
        name: "" if description == f"${{{name}}}" else description
        for name, field in signature.output_fields.items()
        for description in [field.json_schema_extra["desc"]]
    }
    given = ((name, _text(values[name])) for name in signature.input_fields if name in values)
    return prompt_text(signature.instructions, outputs, given)


def _text(value: Any) -> str:
    value = plain(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_ADAPTERS = {
    "chat": dspy.ChatAdapter,
    "json": ReaskingJSONAdapter,
}


def adapter(name: str, tools: tuple[dict[str, Any], ...] = ()) -> Any:
    """The adapter that the host names for a call; `tools` are the schemas of what tools take."""
    return CompactAdapter(tools) if name == "compact" else _ADAPTERS[name]()


def language_model(step: Step, node: str, settings: LMSettings, options: dict[str, Any]) -> Any:
    """A `dspy.LM` for one step. `options` are the module's own of LM_SETTINGS."""
    engine = HostEngine(step, node, settings)
    config = {"temperature": settings.temperature, "max_tokens": settings.max_tokens, **options}
    return dspy.LM(
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
