"""What a format is: how a task is written for a model and how its answer is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.graph.signature import Signature
from runner.lm.types import Message
from runner.native.formats.media import media_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is sent. `schema` holds the answer to a JSON Schema, `json_object` to any JSON object."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    json_object: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Task:
    """A signature with its demos. `prepared` keeps what a format derives from both: everything but
    the inputs, made once. `media` has the annotations of inputs with images, files or sounds in them."""

    signature: Signature
    demos: Sequence[Mapping[str, Any]] = ()
    prepared: dict[str, Any] = field(default_factory=dict)
    media: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        found = media_fields(self.signature.inputs.values())
        object.__setattr__(self, "media", found)


class Format(Protocol):
    """How a task is written and its answer is read. Stateless."""

    name: str

    def prompt(self, task: Task, inputs: Mapping[str, Any], *, structured: bool) -> Prompt:
        """The request for these inputs; `structured`: the model can be held to a schema."""
        ...

    def read(self, task: Task, answer: str) -> dict[str, Any]:
        """Typed outputs in the signature's order, JSON values; an AnswerError when they aren't
        there."""
        ...
