"""What a worker may ask of its host while it does a call."""

from collections.abc import Callable
from typing import Protocol

from runner.bridge.messages import (
    ChunkMessage,
    LMRequestMessage,
    LMResponseMessage,
    ToolChunkMessage,
    ToolFlowMessage,
    ToolRequestMessage,
    ToolResponseMessage,
    TraceMessage,
)
from runner.engine.errors import WorkerLost


class CallHandler(Protocol):
    """What a worker may ask for or report while it does a call. Called on the event loop, in order;
    an `answer` may be given at any time, also to a worker that is gone."""

    def lm_request(
        self, number: int, message: LMRequestMessage, answer: Callable[[LMResponseMessage], None]
    ) -> None: ...

    def tool_request(
        self,
        number: int,
        message: ToolRequestMessage,
        answer: Callable[[ToolResponseMessage | ToolChunkMessage], None],
    ) -> None: ...

    def tool_flow(self, number: int, message: ToolFlowMessage) -> None: ...

    def chunk(self, message: ChunkMessage) -> None: ...

    def trace(self, message: TraceMessage) -> None: ...

    def given_up(self) -> None:
        """Nobody waits for the call any more. The worker is told, and may take a while to hear."""
        ...

    def lost(self, error: WorkerLost) -> None:
        """The worker ended; the call will be done anew by another."""
        ...
