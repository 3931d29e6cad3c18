"""DSPy's chat format: every field under a marker of its own, `[[ ## name ## ]]`.

Written as dspy.ChatAdapter 3.4.1 writes it (dspy/adapters/chat_adapter.py).
"""

import re
from collections.abc import Iterable, Mapping
from textwrap import dedent
from typing import Any

from pipelines.graph.field import Field
from pipelines.graph.signature import Signature
from runner.lm.types import Message
from runner.native.formats.answers import read_fields
from runner.native.formats.format import Prompt, Task
from runner.native.formats.media import cut, marked
from runner.native.formats.wording import field_list, placeholder, requirement, value_text

MARKER = re.compile(r"\[\[ ## (\w+) ## \]\]")
COMPLETED = "[[ ## completed ## ]]"
FILLED_IN = "All interactions will be structured in the following way, with the appropriate values filled in."
INCOMPLETE = "This is an example of the task, though some input or output fields are not supplied."
NOT_SUPPLIED = "Not supplied for this particular example. "


def section(name: str, text: str) -> str:
    return f"[[ ## {name} ## ]]\n{text}"


def sections(fields: Iterable[Field], values: Mapping[str, Any]) -> str:
    """A section for every field that has a value."""
    return "\n\n".join(
        section(field.name, value_text(field.annotation, values[field.name]))
        for field in fields
        if field.name in values
    )


def with_marks(values: Mapping[str, Any], media: Mapping[str, Any]) -> dict[str, Any]:
    """The values with marks in the place of images, files and sounds."""
    return {
        **values,
        **{name: marked(values[name], media[name]) for name in media if name in values},
    }


class Chat:
    """Sections in, sections out."""

    name = "chat"

    def prompt(self, task: Task, inputs: Mapping[str, Any], *, structured: bool) -> Prompt:
        prepared = task.prepared.get(self.name)
        if prepared is None:
            prepared = task.prepared[self.name] = self.prepare(task)
        head, requirements = prepared
        if task.media:
            inputs = with_marks(inputs, task.media)
        asked = sections(task.signature.inputs.values(), inputs)
        text = f"{asked}\n\n{requirements}".strip()
        content = cut(text) if task.media else text
        return Prompt(messages=(*head, Message(role="user", content=content)))

    def read(self, task: Task, answer: str) -> dict[str, Any]:
        outputs = task.signature.outputs
        found: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in answer.splitlines():
            marker = MARKER.match(line.lstrip()) if "[[ ##" in line else None
            if marker is None:
                lines.append(line)
                continue
            # What follows a name's second marker is dropped: the first section counts.
            rest = line[marker.end() :].strip()
            lines = [rest] if rest else []
            if marker[1] in outputs:
                found.setdefault(marker[1], lines)
        texts = {name: "\n".join(text).strip() for name, text in found.items()}
        return read_fields(texts, outputs)

    def prepare(self, task: Task) -> tuple[tuple[Message, ...], str]:
        """The messages before the last one, and the last one's end."""
        signature = task.signature
        system = Message(role="system", content=self.system(signature))
        return (system, *self.demos(task)), self.requirements(signature)

    def system(self, signature: Signature) -> str:
        return (
            f"Your input fields are:\n{field_list(signature.inputs.values())}\n"
            f"Your output fields are:\n{field_list(signature.outputs.values())}\n"
            f"{self.structure(signature)}\n"
            f"In adhering to this structure, your objective is: {_objective(signature)}"
        )

    def structure(self, signature: Signature) -> str:
        return "\n\n".join(
            [
                FILLED_IN,
                placeholders(signature.inputs.values(), are_outputs=False),
                placeholders(signature.outputs.values(), are_outputs=True),
                COMPLETED,
            ]
        ).strip()

    def requirements(self, signature: Signature) -> str:
        wanted = ", then ".join(
            f"`[[ ## {field.name} ## ]]`{requirement(field.annotation)}"
            for field in signature.outputs.values()
        )
        return (
            f"Respond with the corresponding output fields, starting with the field {wanted}"
            f", and then ending with the marker for `{COMPLETED}`."
        )

    def answer(self, signature: Signature, outputs: Mapping[str, Any]) -> str:
        """The answer that a demo shows; a missing output is said to be missing."""
        written = {name: outputs.get(name, NOT_SUPPLIED) for name in signature.outputs}
        return f"{sections(signature.outputs.values(), written).strip()}\n\n{COMPLETED}\n"

    def demos(self, task: Task) -> list[Message]:
        """Two turns a demo, the incomplete ones first; those without an input or an output are of
        no use and left out."""
        signature = task.signature
        names = (*signature.inputs, *signature.outputs)
        complete, incomplete = [], []
        for demo in task.demos:
            if all(demo.get(name) is not None for name in names):
                complete.append(demo)
            elif any(n in demo for n in signature.inputs) and any(
                n in demo for n in signature.outputs
            ):
                incomplete.append(demo)
        turns: list[Message] = []
        for demo in incomplete:
            turns += self._turns(task, demo, INCOMPLETE)
        for demo in complete:
            turns += self._turns(task, demo, "")
        return turns

    def _turns(self, task: Task, demo: Mapping[str, Any], lead: str) -> list[Message]:
        inputs = with_marks(demo, task.media)
        asked = f"{lead}\n\n{sections(task.signature.inputs.values(), inputs)}".strip()
        return [
            Message(role="user", content=cut(asked)),
            Message(role="assistant", content=self.answer(task.signature, demo)),
        ]


def placeholders(fields: Iterable[Field], *, are_outputs: bool) -> str:
    return "\n\n".join(
        section(field.name, placeholder(field, is_output=are_outputs)) for field in fields
    ).strip()


def _objective(signature: Signature) -> str:
    return ("\n" + " " * 8).join(["", *dedent(signature.instructions).splitlines()])


CHAT = Chat()
