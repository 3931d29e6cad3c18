"""A short format for small local models; `runner/lm/compact.py` has the words and the reasons."""

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pipelines.graph.field import Field
from pipelines.graph.signature import Signature
from runner.lm.compact import MAX_DEMOS, answer_schema, prompt_text
from runner.lm.types import Message
from runner.native.formats.answers import allows_none
from runner.native.formats.format import Prompt, Task
from runner.native.formats.json_object import read_object
from runner.native.formats.wording import description_of, value_text

PLAIN = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list[str]: "a list of short texts",
}


class Compact:
    """Instructions and values in one message; a JSON object out."""

    name = "compact"

    def prompt(self, task: Task, inputs: Mapping[str, Any], *, structured: bool) -> Prompt:
        prepared = task.prepared.get(self.name)
        if prepared is None:
            prepared = task.prepared[self.name] = _prepare(task)
        head, schema = prepared
        content = _asked(task.signature, inputs)
        messages = (*head, Message(role="user", content=content))
        if not structured:
            reminder = f"{content}\n\n{_shape(task.signature)}"
            messages = (*head, Message(role="user", content=reminder))
            return Prompt(messages=messages, json_object=True)
        return Prompt(messages=messages, schema=schema)

    def read(self, task: Task, answer: str) -> dict[str, Any]:
        return read_object(task.signature, answer)


def _prepare(task: Task) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The demos as turns, and the schema."""
    signature = task.signature
    turns: list[Message] = []
    for demo in _whole(task)[:MAX_DEMOS]:
        answer = {name: demo[name] for name in signature.outputs}
        turns.append(Message(role="user", content=_asked(signature, demo)))
        written = json.dumps(answer, ensure_ascii=False)
        turns.append(Message(role="assistant", content=written))
    return tuple(turns), answer_schema(signature.json_schema()["outputs"])


def _whole(task: Task) -> list[Mapping[str, Any]]:
    names = (*task.signature.inputs, *task.signature.outputs)
    return [demo for demo in task.demos if all(demo.get(name) is not None for name in names)]


def _asked(signature: Signature, values: Mapping[str, Any]) -> str:
    inputs = (
        (field.name, _line(field, values[field.name]))
        for field in signature.inputs.values()
        if field.name in values
    )
    outputs = {field.name: description_of(field) for field in signature.outputs.values()}
    return prompt_text(signature.instructions, outputs, inputs)


def _shape(signature: Signature) -> str:
    """For a model that can't be held to a schema: what the object must have."""
    wanted = "\n".join(
        f'"{field.name}": {_kind(field.annotation)}' for field in signature.outputs.values()
    )
    return f"Answer with one JSON object:\n{wanted}"


def _kind(annotation: Any) -> str:
    if annotation in PLAIN:
        return PLAIN[annotation]
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(json.dumps, get_args(annotation)))
    if allows_none(annotation):
        inner = [_kind(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join([*inner, "null"])
    if get_origin(annotation) is list:
        return f"a list, each {_kind(get_args(annotation)[0])}"
    return "an object" if get_origin(annotation) is dict else "a value"


def _line(field: Field, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value_text(field.annotation, value)


COMPACT = Compact()
