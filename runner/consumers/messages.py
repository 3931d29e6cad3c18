"""What a browser may send: see docs/reference/live.md. Anything else is answered with an error."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_MESSAGE = 4_096
"""Characters; the longest of those below has some 150."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubscribeRun(_Message):
    """Tell me about this run from the event after this one on; also what to send after a gap."""

    type: Literal["subscribe"]
    run: UUID
    after_seq: int = Field(default=0, ge=0, lt=2**31)


class SubscribeProject(_Message):
    """Tell me when a run of this project starts, ends or is stopped."""

    type: Literal["subscribe_project"]
    project: UUID


class SubscribeWorkers(_Message):
    """Tell me the figures of the pools."""

    type: Literal["subscribe_workers"]


class SubscribeDraft(_Message):
    """Tell me what is done to this pipeline's draft, and who has it open."""

    type: Literal["subscribe_draft"]
    pipeline: UUID


class Here(_Message):
    """This is the node that I have selected; null for none. Others see it, nothing is stored."""

    type: Literal["here"]
    pipeline: UUID
    node: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_-]{0,62}$")


class Unsubscribe(_Message):
    """Of a run, a project, a draft, or (none of them) the workers."""

    type: Literal["unsubscribe"]
    run: UUID | None = None
    project: UUID | None = None
    pipeline: UUID | None = None


class Cancel(_Message):
    """Stop this run."""

    type: Literal["cancel"]
    run: UUID


class Mark(_Message):
    """The answer to a mark: everything before it has arrived."""

    type: Literal["mark"]
    n: int = Field(ge=0)


type Message = (
    SubscribeRun
    | SubscribeProject
    | SubscribeWorkers
    | SubscribeDraft
    | Here
    | Unsubscribe
    | Cancel
    | Mark
)

_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def read_message(text: str) -> Message:
    """The message; ValueError with a sentence for the browser's log."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'message'}: {first['msg']}") from None
