"""Steps and tools that may be done once only are under way when somebody dies."""

from collections.abc import Callable
from typing import Any

from runner.engine.events import RunStatus
from runner.models import Run
from runner.services import answer_step, decide_step
from tests.faults.deaths import kill_workers
from tests.faults.stage import Stage
from tests.faults.world import runner

SENT = {"status": 200, "body": "sent", "headers": {}}
TOOL = "s0/send[1]"
LET = "s0/send_if_let[1]"


def kill_in_request(decision: str) -> Callable[[Stage], None]:
    def case(stage: Stage) -> None:
        run = _killed_as_it_sends(stage, "http once")
        stage.start(runner)
        suspended = stage.check_doubt(run, "send")
        stage.check_sent(1)
        _decide(stage, suspended, decision, "send", SENT)
        stage.check(run, *([RunStatus.FAILED] if decision == "failed" else []))
        stage.check_sent(2 if decision == "again" else 1)

    return case


def kill_in_idempotent_request(stage: Stage) -> None:
    run = _killed_as_it_sends(stage, "http")
    stage.start(runner)
    stage.check(run)
    stage.check_sent(2)


def kill_in_tool(decision: str) -> Callable[[Stage], None]:
    """The agent goes on with what a person says, also when that is that the call failed."""

    def case(stage: Stage) -> None:
        run = _killed_as_it_sends(stage, "tool")
        stage.start(runner)
        suspended = stage.check_doubt(run, TOOL)
        stage.check_sent(1)
        _decide(stage, suspended, decision, TOOL, {"result": "sent"})
        stage.check(run)
        stage.check_sent(2 if decision == "again" else 1)

    return case


def kill_twice_in_tool(stage: Stage) -> None:
    """What somebody wanted done again is asked about again when that dies too."""
    run = _killed_as_it_sends(stage, "tool")
    second = stage.start(runner)
    _decide(stage, stage.check_doubt(run, TOOL), "again", TOOL)
    stage.world.wait("second request to the site", lambda: stage.model.sent() == 2)
    second.kill()
    stage.killed()
    stage.start(runner)
    _decide(stage, stage.check_doubt(run, TOOL), "happened", TOOL, {"result": "sent"})
    stage.check(run)
    stage.check_sent(2)


def kill_in_approved_tool(stage: Stage) -> None:
    """The person who let it be called is not asked that again, but what came of it."""
    first = stage.start(runner)
    run = stage.begin("tool let", delay=0.5)
    stage.world.ended(run, RunStatus.WAITING)
    answer_step(run=run, user=stage.world.user, path=LET, approved=True)
    stage.sent()
    first.kill()
    stage.killed()
    stage.start(runner)
    _decide(stage, stage.check_doubt(run, LET), "happened", LET, {"result": "sent"})
    stage.check(run)
    stage.check_sent(1)


def kill_worker_in_tool(stage: Stage) -> None:
    """The tool runs in the host and comes to its end there; the next worker hears what came of it."""
    host = stage.start(runner)
    run = stage.begin("tool", delay=0.5)
    stage.sent()
    stage.kept, stage.before = stage.world.kept(), len(stage.model.seen())
    kill_workers(host)
    stage.model.next_life()
    stage.check(run)
    stage.check_sent(1)


def _killed_as_it_sends(stage: Stage, what: str) -> Run:
    first = stage.start(runner)
    run = stage.begin(what, delay=0.5)
    stage.sent()
    first.kill()
    stage.killed()
    return run


def _decide(stage: Stage, run: Run, decision: Any, path: str, outputs: Any = None) -> None:
    happened = outputs if decision == "happened" else None
    user = stage.world.user
    decide_step(run=run, user=user, path=path, decision=decision, outputs=happened)


def kill_while_waiting(stage: Stage) -> None:
    first, run = stage.start(runner), stage.begin("approve")
    stage.world.ended(run, RunStatus.WAITING)
    first.kill()
    stage.killed()
    stage.start(runner)
    answer_step(run=run, user=stage.world.user, path="ask", approved=True)
    stage.check(run)
