"""Steps that nobody repeats by themselves and that were under way when something died.

Whether a mail was sent before the process that sent it was killed, no journal can say. So a person does:
it happened, and this came of it; do it again; or it failed. While other steps go on the question waits in
memory, and when nothing else is left to do the run is suspended with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from runner.engine.errors import Failure, RunnerError
from runner.engine.events import EventType
from runner.engine.resuming import Begun
from runner.engine.waits import Answer, RunControl


class NeedsDecision(RunnerError):
    """Nobody knows whether a step with side effects has happened. A person has to decide."""

    code = "needs_decision"
    suspends = True


class DecidedAsFailed(RunnerError):
    """A person decided that this step failed."""

    code = "decided_as_failed"


class Run(Protocol):
    """What of a run this needs: `runner.engine.execute.Execution`."""

    control: RunControl
    busy: int
    journal: Any

    def emit(self, type_: EventType, step: str = "", attempt: int = 0, **data: Any) -> float: ...

    def rest_soon(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What of one run is in doubt. `asked` has the questions that nobody has answered, by path."""

    run: Run
    asked: dict[str, str] = field(default_factory=dict)

    async def settled(self, path: str, kind: str, begun: Begun) -> Mapping[str, Any] | None:
        """What came of the step, as a person says; None: do it again. DecidedAsFailed."""
        key = decision_key(path, begun.number)
        answer = self.run.control.answers.get(key) or await self._ask(path, key, kind, begun)
        self.run.emit(
            EventType.STEP_ANSWERED,
            path,
            approved=answer.decision != "failed",
            decision=answer.decision,
            comment=answer.comment,
            by=answer.by,
            kind=kind,
            begun=begun.number,
            begun_at=begun.at,
        )
        if answer.decision == "again":
            return None
        if answer.decision == "failed":
            said = f" They said: {answer.comment}" if answer.comment else ""
            raise DecidedAsFailed(f"{answer.by or 'A person'} decided that it failed.{said}")
        outputs: Mapping[str, Any] = answer.value
        return outputs

    def failure(self) -> tuple[str, Failure] | None:
        """A path and why the run is suspended, while something is in doubt."""
        if not self.asked:
            return None
        path, question = next(iter(self.asked.items()))
        more = len(self.asked) - 1
        text = f"{question} So are {more} more." if more else question
        details = {"steps": list(self.asked)}
        return path, Failure(code=NeedsDecision.code, message=text, details=details)

    async def _ask(self, path: str, key: str, kind: str, begun: Begun) -> Answer:
        run = self.run
        question = (
            f"'{path}' was under way when its process ended, begun at {_clock(begun.at)}. "
            "It is not repeated by itself: did it happen?"
        )
        run.emit(
            EventType.STEP_WAITING,
            path,
            question=question,
            editable=False,
            kind=kind,
            begun=begun.number,
            begun_at=begun.at,
        )
        await run.journal.commit()
        self.asked[path] = f"It is not known whether '{path}' happened."
        run.busy -= 1
        try:
            run.rest_soon()
            answer = await run.control.wait(key)
            del self.asked[path]
            return answer
        finally:
            run.busy += 1


def decision_key(path: str, number: str) -> str:
    """Where the answer about one beginning of a step is kept, beside those to steps that ask."""
    return f"{path}@{number}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
