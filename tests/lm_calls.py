"""Builders for tests of the gateway."""

from typing import Any

from pipelines.graph.graph import Node
from pipelines.graph.policy import StepPolicy
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.gateway import Gateway
from runner.lm.types import LMProfile, LMRequest, Message


class Recorder:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.events: list[tuple[EventType, dict[str, Any]]] = []

    def chunk(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        self.events.append((type_, data))

    def text(self, field: str = "text", call: int | None = None) -> str:
        """What streamed into a field, over all calls or in one."""
        chunks = [chunk for chunk in self.chunks if chunk.field == field]
        return "".join(chunk.text for chunk in chunks if call in (None, chunk.call))

    def of(self, type_: EventType) -> list[dict[str, Any]]:
        return [data for event, data in self.events if event is type_]

    @property
    def lm_call(self) -> dict[str, Any]:
        """The data of the one LM_CALL event."""
        (data,) = self.of(EventType.LM_CALL)
        return data


def a_call(observer: Recorder | None = None, **fields: Any) -> Call:
    given: dict[str, Any] = {
        "run_id": "run",
        "path": "step",
        "attempt": 1,
        "node": Node(id="step", kind="predict"),
        "config": None,
        "policy": StepPolicy(),
        "inputs": {},
        "observer": observer or Recorder(),
    }
    return Call(**(given | fields))


def ask(text: str = "hi", **fields: Any) -> LMRequest:
    return LMRequest(messages=(Message(role="user", content=text),), **fields)


def scripted(*answers: Any, profile: dict[str, Any] | None = None, **settings: Any) -> LMProfile:
    """A scripted profile `mock`; keywords are the script's."""
    fields: dict[str, Any] = {"name": "mock", "adapter": "scripted"} | (profile or {})
    return LMProfile(settings={"answers": list(answers), **settings}, **fields)


def gateway_of(*profiles: LMProfile, **options: Any) -> Gateway:
    """A gateway whose first profile is the default one, and that repeats at once."""
    by_name = {profile.name: profile for profile in profiles}
    return Gateway(by_name, default=profiles[0].name, **({"backoff": 0.0} | options))
