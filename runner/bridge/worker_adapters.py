"""DSPy's adapters as workers use them: they ask once more, tell the host what they could not read, and keep
what they write about a signature.

What they keep is by signature class: DSPy changes a signature by making another one, its instructions
apart, which are part of the key.
"""

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import dspy
import pydantic
from dspy.adapters import utils

from runner.bridge.worker_values import plain, type_adapter
from runner.lm.compact import MAX_DEMOS, prompt_text

FRESH: ContextVar[bool] = ContextVar("fresh", default=False)
"""Whether the request repeats one whose answer was bad, so that no stored answer will do."""

ANSWER: ContextVar[dict[str, Any] | None] = ContextVar("answer", default=None)
"""The schema of the answer that the compact words ask for."""

TOOL_ARGUMENTS = "next_tool_args"
"""ReAct's field for what a tool is called with."""

# DSPy makes one of pydantic's for each value that it writes or reads, a sixth of a step's time.
utils.TypeAdapter = type_adapter

_KEPT: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def _kept[T](signature: Any, what: Any, make: Callable[[], T]) -> T:
    found = _KEPT.get(signature)
    if found is None:
        found = _KEPT.setdefault(signature, {})
    key = (what, signature.__doc__)
    try:
        value: T = found[key]
    except KeyError:
        value = found[key] = make()
    return value


class _Keeping:
    """An adapter that writes what it says about a signature once, which takes DSPy a third of a millisecond,
    and reports answers that it can't read."""

    def format_system_message(self, signature: Any) -> str:
        write = super().format_system_message  # type: ignore[misc]
        text: str = _kept(signature, (type(self), "system"), lambda: write(signature))
        return text

    def user_message_output_requirements(self, signature: Any) -> str:
        write = super().user_message_output_requirements  # type: ignore[misc]
        text: str = _kept(signature, (type(self), "wanted"), lambda: write(signature))
        return text

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().parse(signature, completion)  # type: ignore[misc]
        except dspy.AdapterParseError:
            report = getattr(dspy.settings.lm, "report_unparsable", None)
            if report is not None:
                report()
            raise
        return found


class HostJSONAdapter(_Keeping, dspy.JSONAdapter):  # type: ignore[misc]  # DSPy is not typed
    """JSONAdapter that keeps the schema of the answer as well: a model of pydantic, made for each call."""

    def _prepare_response_format(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> None:
        prepare = super()._prepare_response_format

        def made() -> dict[str, Any]:
            found: dict[str, Any] = {}
            prepare(lm, found, signature)
            return found

        can = "response_format" in lm.supported_params, lm.supports_response_schema
        what = (type(self), "format", self.use_native_function_calling, can)
        lm_kwargs.update(_kept(signature, what, made))


class HostChatAdapter(_Keeping, dspy.ChatAdapter):  # type: ignore[misc]
    """ChatAdapter, whose fallback is the JSON adapter above."""

    def _make_json_adapter_fallback(self) -> Any:
        return HostJSONAdapter(
            use_native_function_calling=self.use_native_function_calling,
            parallel_tool_calls=self.parallel_tool_calls,
        )


class ReaskingJSONAdapter(HostJSONAdapter):
    """JSONAdapter with the one re-ask that ChatAdapter has in its fallback to JSON. The second request
    is equal to the first, so it asks the gateway for a fresh answer."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except dspy.AdapterParseError:
            token = FRESH.set(True)
            try:
                return super().__call__(*args, **kwargs)
            finally:
                FRESH.reset(token)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().acall(*args, **kwargs)
        except dspy.AdapterParseError:
            token = FRESH.set(True)
            try:
                return await super().acall(*args, **kwargs)
            finally:
                FRESH.reset(token)


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
        ANSWER.set(_schema_of(signature, self._tools))
        messages = []
        for demo in _whole(signature, demos)[:MAX_DEMOS]:
            messages.append({"role": "user", "content": _question(signature, demo)})
            answer = {name: plain(demo[name]) for name in signature.output_fields}
            written = json.dumps(answer, ensure_ascii=False)
            messages.append({"role": "assistant", "content": written})
        return [*messages, {"role": "user", "content": _question(signature, inputs)}]


def _schema_of(signature: Any, tools: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    schema: dict[str, Any] = _kept(signature, "answer", lambda: _answer_schema(signature))
    if tools and TOOL_ARGUMENTS in signature.output_fields:
        nothing = {"type": "object", "properties": {}}  # of ReAct's own `finish`
        arguments = {TOOL_ARGUMENTS: {"anyOf": [*tools, nothing]}}
        return {**schema, "properties": {**schema["properties"], **arguments}}
    return schema


def _answer_schema(signature: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: (field.annotation, ...) for name, field in signature.output_fields.items()
    }
    model: Any = pydantic.create_model("Answer", **fields)
    found: dict[str, Any] = model.model_json_schema()
    return found


def _whole(signature: Any, demos: list[Any]) -> list[Any]:
    return [demo for demo in demos if all(demo.get(name) is not None for name in signature.fields)]


def _question(signature: Any, values: Mapping[str, Any]) -> str:
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
    "chat": HostChatAdapter,
    "json": ReaskingJSONAdapter,
}


def adapter(name: str, tools: tuple[dict[str, Any], ...] = ()) -> Any:
    """The adapter that the host names for a call; `tools` are the schemas of what tools take."""
    return CompactAdapter(tools) if name == "compact" else _ADAPTERS[name]()
