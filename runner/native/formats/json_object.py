"""DSPy's JSON format: sections in, one JSON object out.

Written as dspy.JSONAdapter 3.4.1 writes it (dspy/adapters/json_adapter.py). Where the model can be
held to a schema, it is; an output with free keys asks for any JSON object, as in DSPy.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipelines.graph.signature import Signature
from runner.engine.answers import AnswerError
from runner.lm.answer_schema import closed, has_open_object
from runner.native.formats.answers import first_object, loads, read_fields
from runner.native.formats.chat import FILLED_IN, NOT_SUPPLIED, Chat, placeholders
from runner.native.formats.format import Prompt, Task
from runner.native.formats.wording import placeholder, requirement


class JSONObject(Chat):
    """DSPy's JSONAdapter is a ChatAdapter with other outputs, and so is this."""

    name = "json"

    def prompt(self, task: Task, inputs: Mapping[str, Any], *, structured: bool) -> Prompt:
        messages = super().prompt(task, inputs, structured=structured).messages
        schema = task.prepared.get("json schema")
        if schema is None:
            schema = task.prepared["json schema"] = closed(task.signature.json_schema()["outputs"])
        if not structured or has_open_object(schema):
            return Prompt(messages=messages, json_object=True)
        return Prompt(messages=messages, schema=schema)

    def read(self, task: Task, answer: str) -> dict[str, Any]:
        return read_object(task.signature, answer)

    def structure(self, signature: Signature) -> str:
        outputs = {
            field.name: placeholder(field, is_output=True) for field in signature.outputs.values()
        }
        return "\n\n".join(
            [
                FILLED_IN,
                "Inputs will have the following structure:",
                placeholders(signature.inputs.values(), are_outputs=False),
                "Outputs will be a JSON object with the following fields.",
                _written(outputs),
            ]
        ).strip()

    def requirements(self, signature: Signature) -> str:
        wanted = ", then ".join(
            f"`{field.name}`{requirement(field.annotation)}" for field in signature.outputs.values()
        )
        return f"Respond with a JSON object in the following order of fields: {wanted}."

    def answer(self, signature: Signature, outputs: Mapping[str, Any]) -> str:
        return _written({name: outputs.get(name, NOT_SUPPLIED) for name in signature.outputs})


def read_object(signature: Signature, answer: str) -> dict[str, Any]:
    """Typed outputs from an answer that is, or holds, a JSON object."""
    found = loads(answer)
    if not isinstance(found, dict):
        part = first_object(answer)
        found = loads(part) if part else None
    if not isinstance(found, dict):
        raise AnswerError("The answer is not a JSON object.", tuple(signature.outputs))
    return read_fields(found, signature.outputs)


def _written(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False)


JSON = JSONObject()
