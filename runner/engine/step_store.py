"""Where recorded outputs of steps are looked for, by the step's identity."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec

from runner.engine.events import Event, EventType

PINNED = "pinned"
"""In place of a run's id: a person said what the outputs are."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs that stand for a step's own. `origin` is the run in which it ran, or PINNED; `identity`
    the one they were found by."""

    origin: str
    outputs: Mapping[str, Any]
    identity: str = ""


class StepStore(Protocol):
    """Two implementations: memory (here) and the database (runner.recorder)."""

    async def find(self, identities: Collection[str], base: str) -> Taken | None:
        """The newest outputs recorded under any of these, in the run `base` unless that is empty."""
        ...


class MemoryStepStore:
    """Keeps what the events of runs tell, for as long as the process."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[str, Taken]] = {}

    def take(self, event: Event) -> None:
        """Keep what an event tells of a step that may be taken."""
        if event.type is EventType.STEP_SUCCEEDED and (key := event.data.get("identity")):
            origin = event.data.get("taken_from") or event.run_id
            taken = Taken(origin=origin, outputs=event.data["outputs"], identity=key)
            runs = self._steps.setdefault(key, {})
            runs.pop(event.run_id, None)
            runs[event.run_id] = taken

    async def find(self, identities: Collection[str], base: str) -> Taken | None:
        for key in identities:
            runs = self._steps.get(key, {})
            if base:
                if base in runs:
                    return runs[base]
            elif runs:
                return next(reversed(runs.values()))
        return None
