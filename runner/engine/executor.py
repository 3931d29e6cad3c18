"""The seam between the engine and the backends that run a node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.graph.graph import Backend, Node
from pipelines.graph.policy import StepPolicy
from runner.engine.events import Chunk, EventType


class Observer(Protocol):
    """Hears what happens inside an attempt, in order, on the engine's event loop."""

    def chunk(self, chunk: Chunk) -> None: ...

    def event(self, type_: EventType, call: "Call", data: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt at one node, as a backend and the gateway see it.

    `config` is the node's config as its kind's pydantic model. `inputs` maps port to value; every
    value is JSON. `deadline` is in the event loop's time; None means no limit.
    """

    run_id: str
    path: str
    attempt: int
    node: Node
    config: Any
    policy: StepPolicy
    inputs: Mapping[str, Any]
    observer: Observer
    deadline: float | None = None
    # Numbers the LM calls of this attempt; the gateway alone writes it.
    lm_calls: list[int] = field(default_factory=lambda: [0])
    # Where the tool calls of this attempt are recorded, as its present worker makes them.
    tool_calls: list[str] = field(default_factory=list)

    def next_lm_call(self) -> int:
        self.lm_calls[0] += 1
        return self.lm_calls[0]


class Executor(Protocol):
    """Runs nodes on one backend. Cancelling the task stops the work; nothing outlives it."""

    backend: Backend

    @property
    def warm(self) -> bool:
        """Whether a call would start at once; the router explores nothing that must be started first."""
        ...

    def can(self, node: Node, config: Any) -> bool:
        """Whether this backend has an implementation for the node. Pure and quick."""
        ...

    async def execute(self, call: Call) -> Mapping[str, Any]:
        """Outputs by port name, JSON values; a RunnerError when it fails."""
        ...
