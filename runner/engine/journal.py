"""What must be durable before what.

A step's result is committed before anything that depends on it starts, so a run that is taken up
again after a crash never repeats what it recorded. The engine appends events in order and awaits
`commit` at those points; how many commits share one transaction is the journal's affair.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from runner.engine.events import Event


class Journal(Protocol):
    """Keeps the events of runs. Two implementations: memory (here) and the database (runner.recorder)."""

    def append(self, event: Event) -> None:
        """Take the next event of a run. Must not block; order per run is the caller's."""
        ...

    async def check(self, outputs: Mapping[str, Any]) -> None:
        """Raise ValueTooLarge for outputs of a step that are larger than is kept. What is not kept must
        not be gone on with."""
        ...

    async def commit(self) -> None:
        """Return when everything appended so far is durable."""
        ...


class MemoryJournal:
    """Keeps events in a list, for runs that end with the process."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        self.events.append(event)

    async def check(self, outputs: Mapping[str, Any]) -> None:
        return None

    async def commit(self) -> None:
        return None
