"""Steps that wait for a person.

While other steps go on, a wait stays in memory. When nothing else is left to do the run is parked: it
ends as `waiting`, holds neither worker nor place, and survives any restart. With the answer it is
started again from what it recorded, finds the answer under the step's path, and goes on.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from pipelines.graph.kinds.approve import VALUE, Approve
from runner.engine.errors import InvalidInput
from runner.engine.stopping import Stops
from runner.engine.stops import Parked


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person said to an approve step. `value` replaces the one that was shown; `by` names the
    person. `decision` is about a step in doubt (`runner.engine.doubts`): happened, again or failed;
    with `happened`, `value` is what came of it."""

    approved: bool
    comment: str = ""
    by: str = ""
    value: Any = msgspec.UNSET
    decision: str = ""


class RunControl:
    """What can be told to a run while it goes on, from its event loop. `answers` are by step path:
    those given before are taken without asking again. `stops` ends steps and items by path."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers = dict(answers or {})
        self.stops = Stops()
        self.parked = False
        self._asked: dict[str, asyncio.Future[Answer]] = {}

    @property
    def asks(self) -> bool:
        """Whether a step waits, and none of them has its answer."""
        return bool(self._asked) and not any(future.done() for future in self._asked.values())

    def answer(self, path: str, answer: Answer) -> None:
        """Answer a step, whether it asks already or will. The first answer counts."""
        given = self.answers.setdefault(path, answer)
        future = self._asked.get(path)
        if future is not None and not future.done():
            future.set_result(given)

    async def wait(self, path: str) -> Answer:
        """The answer to this step. Raises Parked when the run gives its place up."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[path] = future
        try:
            return await future
        finally:
            del self._asked[path]

    def park(self) -> None:
        """End all waits."""
        self.parked = True
        for future in self._asked.values():
            future.set_exception(Parked())


def answered(config: Approve, shown: Any, answer: Answer) -> dict[str, Any]:
    """The outputs of an approve step: one of `approved` and `rejected` is live."""
    value = shown
    if answer.value is not msgspec.UNSET:
        check_editable(config)
        value = answer.value
    return {"approved" if answer.approved else "rejected": value, "comment": answer.comment}


def check_editable(config: Approve) -> None:
    """Raise InvalidInput when the value may not be changed."""
    if not config.editable:
        raise InvalidInput(
            f"The answer changes '{VALUE}', but this step does not let its value be edited."
        )
