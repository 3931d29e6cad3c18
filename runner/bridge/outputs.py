"""What a module gave, by port and held to the node's signature: DSPy itself looks at types alone."""

import json
from collections.abc import Mapping
from typing import Any

from pipelines.graph.kinds import kind_named
from pipelines.graph.kinds.dspy_module import PREDICTIONS, DSPyModule
from pipelines.graph.kinds.kind import Body
from pipelines.graph.kinds.predict import Predict, with_reasoning
from pipelines.graph.signature import Field
from runner.engine.answers import AnswerError, fitting, unparsable
from runner.engine.errors import OutputNotProduced
from runner.engine.events import EventType
from runner.engine.executor import Call

MAX_ANSWER = 20_000  # characters


def by_port(call: Call, produced: Mapping[str, Any]) -> dict[str, Any]:
    """The node's outputs. Raises OutputNotProduced, and UnparsableAnswer for a value that its field
    refuses."""
    ports = kind_named(call.node.kind).outputs(call.config, Body())
    for port in ports:
        if port.name not in produced:
            raise OutputNotProduced(f"{call.node.title} did not produce '{port.name}'.")
    outputs = {port.name: produced[port.name] for port in ports}
    fields = _fields(call)
    if isinstance(call.config, DSPyModule) and call.config.module == "Parallel":
        return _each_fitting(call, outputs, fields)
    try:
        return _fitting(outputs, fields)
    except AnswerError as error:
        raise unparsable(_shown(outputs, fields), error, second=False) from None


def _fields(call: Call) -> Mapping[str, Field]:
    """The outputs that a language model was asked for; a module's further outputs are its own."""
    if not isinstance(call.config, Predict):
        return {}
    signature = call.config.parsed()
    asked = with_reasoning(signature) if call.node.kind == "chain_of_thought" else signature
    return asked.outputs


def _fitting(outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    return {
        name: fitting(fields[name], value) if name in fields else value
        for name, value in outputs.items()
    }


def _each_fitting(
    call: Call, outputs: dict[str, Any], fields: Mapping[str, Field]
) -> dict[str, Any]:
    """Parallel's predictions. One that is refused is null in its place, as Parallel has it for one that
    can't be read: the others were paid for."""
    predictions = list(outputs[PREDICTIONS])
    for index, prediction in enumerate(predictions):
        try:
            predictions[index] = None if prediction is None else _fitting(prediction, fields)
        except AnswerError as error:
            predictions[index] = None
            data = {"name": "refused", "prediction": index, "problem": error.problem}
            call.observer.event(EventType.TRACE, call, data)
    return {**outputs, PREDICTIONS: predictions}


def _shown(outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> str:
    """What the model's answer was read as. Which of its texts it came from, the module alone knows."""
    answer = {name: value for name, value in outputs.items() if name in fields}
    text = json.dumps(answer, ensure_ascii=False, default=str)[:MAX_ANSWER]
    return text.encode(errors="replace").decode()
