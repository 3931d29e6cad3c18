"""A backend for tests and benches: nodes run plain functions, chosen by node id."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.graph.graph import Backend, Node
from runner.engine.executor import Call

type Work = Callable[[Call], Any]


class FakeExecutor:
    """Runs `work[node id]`, or `otherwise`, with the call; a coroutine is awaited. Counts its calls."""

    warm = True

    def __init__(
        self,
        work: Mapping[str, Work] | None = None,
        *,
        backend: Backend = "native",
        otherwise: Work = lambda call: {},
        able: Callable[[Node], bool] = lambda node: True,
    ) -> None:
        self.work = work or {}
        self.backend = backend
        self.otherwise = otherwise
        self.able = able
        self.calls: list[Call] = []

    def can(self, node: Node, config: Any) -> bool:
        return self.able(node)

    async def execute(self, call: Call) -> Mapping[str, Any]:
        self.calls.append(call)
        outputs = self.work.get(call.node.id, self.otherwise)(call)
        if inspect.isawaitable(outputs):
            outputs = await outputs
        result: Mapping[str, Any] = outputs
        return result
