"""predict and chain_of_thought: typed fields in, typed fields out, through a language model."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.graph.field import FieldError
from pipelines.graph.kinds.predict import Predict, with_reasoning
from pipelines.graph.signature import Signature
from runner.engine.answers import MAX_PROBLEM, AnswerError, unparsable
from runner.engine.errors import InvalidConfig, InvalidInput
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.lm.types import LMProfile, LMRequest, LMResponse
from runner.native.formats import COMPACT, FORMATS, JSON, Format, Prompt, Task
from runner.native.formats.media import carries, marked

PREPARED = 512  # tasks kept


class Gateway(Protocol):
    """What native needs of the gateway: runner/lm has the real one, the tests a fake."""

    def profile(self, name: str | None) -> LMProfile: ...

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """`config` is kept so that its id stays its own."""

    config: Predict
    task: Task


class Predictor:
    """Asks a model for a signature's outputs. Everything but the inputs is prepared once a config."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._prepared: OrderedDict[tuple[int, bool], _Prepared] = OrderedDict()

    async def predict(self, call: Call) -> Mapping[str, Any]:
        return await self._run(call, self._task(call.config, reasoning=False))

    async def chain_of_thought(self, call: Call) -> Mapping[str, Any]:
        return await self._run(call, self._task(call.config, reasoning=True))

    async def _run(self, call: Call, task: Task) -> Mapping[str, Any]:
        config: Predict = call.config
        profile = self._gateway.profile(config.lm)
        inputs = checked_inputs(task.signature, call.inputs)
        format_ = FORMATS[profile.format]
        if task.media:
            _check_media(task, inputs, format_, profile)
        prompt = format_.prompt(task, inputs, structured=profile.structured)
        answer, outputs = await self._ask(call, task, format_, prompt, fresh=False)
        if isinstance(outputs, AnswerError):
            # DSPy's ChatAdapter falls back to JSON in the same way; once, whoever runs the predictor.
            reason = str(outputs)[:MAX_PROBLEM]
            call.observer.event(
                EventType.RETRACT, call, {"call": call.lm_calls[0], "reason": reason}
            )
            prompt = JSON.prompt(task, inputs, structured=profile.structured)
            answer, outputs = await self._ask(call, task, JSON, prompt, fresh=True)
        if isinstance(outputs, AnswerError):
            raise unparsable(answer, outputs, second=True)
        return outputs

    async def _ask(
        self, call: Call, task: Task, format_: Format, prompt: Prompt, *, fresh: bool
    ) -> tuple[str, dict[str, Any] | AnswerError]:
        config: Predict = call.config
        request = LMRequest(
            messages=prompt.messages,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            response_schema=prompt.schema,
            json_object=prompt.json_object,
            fresh=fresh,
        )
        response = await self._gateway.complete(request, call, profile=config.lm)
        try:
            return response.text, format_.read(task, response.text)
        except AnswerError as error:
            return response.text, error

    def _task(self, config: Predict, *, reasoning: bool) -> Task:
        key = (id(config), reasoning)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
            return prepared.task
        task = _task_of(config, reasoning=reasoning)
        self._prepared[key] = _Prepared(config=config, task=task)
        if len(self._prepared) > PREPARED:
            self._prepared.popitem(last=False)
        return task


def _task_of(config: Predict, *, reasoning: bool) -> Task:
    try:
        signature = config.parsed()
        if reasoning:
            signature = with_reasoning(signature)
    except ValueError as error:
        raise InvalidConfig(str(error)) from None
    if not signature.outputs:
        raise InvalidConfig(
            f"The signature '{config.signature}' has no output: add one after '->'."
        )
    return Task(signature=signature, demos=config.demos)


def checked_inputs(signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The signature's inputs as their types; InvalidInput names every one missing or wrong."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, field in signature.inputs.items():
        if name not in inputs:
            problems.append(f"input field '{name}': is required")
            continue
        try:
            values[name] = field.check(inputs[name])
        except FieldError as error:
            problems.append(f"input field '{name}': {error}")
    if problems:
        raise InvalidInput("; ".join(problems) + ("" if problems[-1].endswith(".") else "."))
    return values


def _check_media(
    task: Task, inputs: Mapping[str, Any], format_: Format, profile: LMProfile
) -> None:
    if format_ is COMPACT:
        raise InvalidConfig(
            f"LM profile '{profile.name}' asks in the format compact, which has texts only: "
            f"'{next(iter(task.media))}' can't be shown to it. Choose another LM profile."
        )
    for name, annotation in task.media.items():
        try:
            marked(inputs[name], annotation)
        except ValueError as error:
            raise InvalidInput(f"input field '{name}': {error}") from None


def native_signature(config: Predict) -> bool:
    """Whether the formats here can carry every field: of DSPy's own types, images, files and sounds
    that go in."""
    try:
        signature = config.parsed()
    except ValueError:
        return False
    if any("dspy." in field.type for field in signature.outputs.values()):
        return False
    return all(carries(field.annotation) for field in signature.inputs.values())
