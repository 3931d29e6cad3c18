"""DSPy in real workers, for tests: a gateway that answers from a script, an observer that keeps, and a house
in which nodes run."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.policy import StepPolicy
from runner.bridge.executor import DSPyExecutor
from runner.bridge.pool import Pool
from runner.bridge.pools import OnePool
from runner.bridge.references import RunScope
from runner.bridge.tools import HostTool
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.lm.types import LMProfile, LMRequest, LMResponse


def chat(**fields: Any) -> str:
    """An answer in DSPy's chat format."""
    parts = [
        f"[[ ## {name} ## ]]\n{value if isinstance(value, str) else json.dumps(value)}\n"
        for name, value in fields.items()
    ]
    return "\n".join([*parts, "[[ ## completed ## ]]"])


class ScriptedGateway:
    """Answers from `script`: texts, exceptions to raise, or functions of the request; the last one
    again and again. Streams each text as one chunk."""

    def __init__(self, *script: Any, **profile: Any) -> None:
        self.script = list(script)
        self.requests: list[LMRequest] = []
        self.cancelled = 0
        self._profile = LMProfile(name="test", adapter="scripted", **profile)

    def profile(self, name: str | None) -> LMProfile:
        return self._profile

    async def complete(
        self, request: LMRequest, call: Call, *, profile: str | None = None
    ) -> LMResponse:
        number = call.next_lm_call()
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            if callable(answer):
                answer = await answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        chunk = Chunk(
            run_id=call.run_id,
            step=call.path,
            attempt=1,
            call=number,
            field="",
            offset=0,
            text=answer,
        )
        call.observer.chunk(chunk)
        return LMResponse(text=answer, model="scripted")


class Observer:
    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.events: list[tuple[EventType, dict[str, Any]]] = []

    def chunk(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        self.events.append((type_, data))

    def of(self, type_: EventType) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found is type_]


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


ADD = HostTool.of(add)


class House:
    """Runs nodes of the dspy_module kind, one after the other."""

    def __init__(self, pool: Pool, name: str) -> None:
        self.pool = pool
        self.name = name
        self.observer = Observer()
        self.scope = RunScope(tools={"add": ADD})
        self.native = FakeExecutor(otherwise=lambda call: {"score": 0.25, "passed": False})

    async def run(self, gateway: ScriptedGateway, inputs: Mapping[str, Any], **config: Any) -> Any:
        config = {"signature": "question -> answer", **config}
        call = Call(
            run_id=self.name,
            path="n1",
            attempt=1,
            node=Node(id="n1", kind="dspy_module", config=config),
            config=kind_named("dspy_module").config(**config),
            policy=StepPolicy(),
            inputs=inputs,
            observer=self.observer,
        )
        executor = DSPyExecutor(OnePool(self.pool), gateway, native=self.native)
        executor.scopes[self.name] = self.scope
        return await executor.execute(call)

    def traces(self, name: str) -> list[dict[str, Any]]:
        return [data for data in self.observer.of(EventType.TRACE) if data["name"] == name]
