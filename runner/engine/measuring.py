"""An attempt whose outcome goes to the router's figures."""

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.engine.figures import Subject
from runner.engine.router import Decision, Router


class Measured:
    """Measures what happens inside; `call` is the one to execute, whose LM calls are counted."""

    def __init__(self, router: Router, subject: Subject, decision: Decision, call: Call) -> None:
        self.call = replace(call, observer=self)
        self._router = router
        self._about = (subject, decision)
        self._observer = call.observer
        self._cost = 0.0
        self._stored = False

    def __enter__(self) -> Self:
        self._router.begin(*self._about)
        self._started = asyncio.get_running_loop().time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._router.end(
            *self._about,
            seconds=asyncio.get_running_loop().time() - self._started,
            error=error,
            cost=self._cost,
            timed=not self._stored,
        )
        del self.call  # which points back here

    # Observer

    def chunk(self, chunk: Chunk) -> None:
        self._observer.chunk(chunk)

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        if type_ is EventType.LM_CALL:
            self._cost += data["usage"]["cost"]
            self._stored = self._stored or data.get("source", "provider") != "provider"
        self._observer.event(type_, call, data)
