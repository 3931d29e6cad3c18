"""A run that is taken up again: it goes on in the attempt that it was in, and never does twice what may
be done once only without a person's word."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from pipelines.graph.graph import Graph
from runner.engine.doubts import decision_key
from runner.engine.errors import WorkerLost
from runner.engine.events import Event, EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.resuming import TELLS, Begun, Earlier, earlier
from runner.engine.waits import Answer, RunControl
from tests.fast.test_engine import Flaky, NoMoney, fails, plus, run
from tests.graphs import chain, edges, interface, node

NEVER = {"retry": "never"}


def left(events: Iterable[Event]) -> Earlier:
    """What the next runner reads of these events, through JSON as the database has them."""
    known = [event for event in events if event.type in TELLS]
    return earlier(
        (e.type, e.step, e.at, msgspec.json.decode(msgspec.json.encode(e.data))) for e in known
    )


async def events_of(graph: Any, *backends: FakeExecutor, **options: Any) -> list[Event]:
    journal = MemoryJournal()
    execution = Execution(
        plan(graph),
        run_id="r",
        executors=backends or [FakeExecutor(otherwise=plus)],
        journal=journal,
        on_chunk=lambda chunk: None,
        **options,
    )
    await execution.run({"x": 1})
    return journal.events


def killed(events: list[Event], after: EventType, *, times: int = 1) -> Earlier:
    """What is left when the runner dies right after an event of this type."""
    for place, event in enumerate(events):
        times -= event.type is after
        if not times:
            return left(events[: place + 1])
    raise AssertionError(f"There is no {after}.")


async def test_it_goes_on_in_the_attempt_and_on_the_backend_that_it_was_in() -> None:
    answers = iter([fails, fails, plus])
    native = FakeExecutor(otherwise=lambda call: next(answers)(call))
    graph = chain(1, policy={"retries": 3, "backoff": 0.001, "backend": "native"})
    events = await events_of(graph, native)
    found = killed(events, EventType.ATTEMPT_FAILED, times=2)
    assert found.begun["s0"].attempt == 3 and found.begun["s0"].tries == 2
    again = FakeExecutor(otherwise=fails), FakeExecutor(otherwise=plus, backend="dspy")
    result = await run(graph, {"x": 1}, *again, earlier=found)
    assert [call.attempt for call in again[0].calls] == [3, 4]
    assert result.status is RunStatus.FAILED


async def test_a_backend_that_took_over_keeps_the_step() -> None:
    graph = chain(1, policy={"on_error": "fallback_backend"})
    native, dspy = FakeExecutor(otherwise=fails), FakeExecutor(otherwise=plus, backend="dspy")
    events = await events_of(graph, native, dspy)
    found = killed(events, EventType.STEP_ROUTED, times=2)
    assert (found.begun["s0"].backend, found.begun["s0"].attempt) == ("dspy", 2)
    dspy.otherwise = fails
    result = await run(graph, {"x": 1}, native, dspy, earlier=found)
    assert [len(native.calls), dspy.calls[-1].attempt] == [1, 2]
    assert result.status is RunStatus.FAILED


async def test_what_failed_for_good_is_not_tried_again() -> None:
    graph = chain(2, policy={"on_error": "fallback_value", "fallback": {"y": 7}})
    backend = FakeExecutor({"s0": fails}, otherwise=plus)
    events = await events_of(graph, backend)
    found = killed(events, EventType.STEP_FAILED)
    executor = FakeExecutor(otherwise=plus)
    result = await run(graph, {"x": 1}, executor, earlier=found)
    assert [call.path for call in executor.calls] == ["s1"]
    assert result.outputs == {"y": 8}
    assert [error["code"] for error in result.errors] == [Flaky.code]


async def test_what_suspended_the_run_is_tried_again() -> None:
    def broke(call: Call) -> Any:
        raise NoMoney

    events = await events_of(chain(1), FakeExecutor(otherwise=broke))
    found = left(events)
    assert not found.failures and not found.begun["s0"].in_doubt
    assert (await run(chain(1), {"x": 1}, earlier=found)).outputs == {"y": 2}


async def in_doubt(**policy: Any) -> Earlier:
    events = await events_of(chain(2, policy={**NEVER, **policy}))
    return killed(events, EventType.STEP_ROUTED)


async def test_a_step_that_may_have_happened_suspends_the_run_until_somebody_decides() -> None:
    executor = FakeExecutor(otherwise=plus)
    result = await run(chain(2, policy=NEVER), {"x": 1}, executor, earlier=await in_doubt())
    assert (result.status, result.failed_step) == (RunStatus.SUSPENDED, "s0")
    assert result.failure and result.failure.code == "needs_decision"
    assert result.steps["s0"].status is StepStatus.WAITING
    assert executor.calls == []


def decided(found: Earlier, **answer: Any) -> RunControl:
    key = decision_key("s0", found.begun["s0"].number)
    return RunControl({key: Answer(approved=True, by="ada", **answer)})


async def test_it_happened_and_the_run_takes_what_came_of_it() -> None:
    found, executor = await in_doubt(), FakeExecutor(otherwise=plus)
    control = decided(found, decision="happened", value={"y": 41})
    result = await run(chain(2, policy=NEVER), {"x": 1}, executor, earlier=found, control=control)
    assert result.outputs == {"y": 42}
    assert [call.path for call in executor.calls] == ["s1"]
    assert result.steps["s0"].traces[0]["by"] == "ada"


async def test_it_is_done_again_once_and_the_next_kill_asks_again() -> None:
    found = await in_doubt()
    graph, control = chain(2, policy=NEVER), decided(found, decision="again")
    events = await events_of(graph, earlier=found, control=control)
    assert events[-1].data["outputs"] == {"y": 3}
    second = killed(events, EventType.STEP_STARTED)
    assert second.begun["s0"].in_doubt
    result = await run(graph, {"x": 1}, earlier=second, control=control)
    assert result.status is RunStatus.SUSPENDED


async def test_it_failed_and_the_policy_says_what_follows() -> None:
    found = await in_doubt()
    control = decided(found, decision="failed", comment="no mail came")
    result = await run(chain(2, policy=NEVER), {"x": 1}, earlier=found, control=control)
    assert result.status is RunStatus.FAILED
    assert result.failure and result.failure.code == "decided_as_failed"
    assert "no mail came" in result.failure.message


async def test_a_worker_that_dies_in_such_a_step_leaves_the_same_doubt() -> None:
    def lost(call: Call) -> Any:
        raise WorkerLost("killed by signal 9")

    executor = FakeExecutor(otherwise=lost)
    events = await events_of(chain(1, policy=NEVER), executor)
    assert events[-1].data["status"] is RunStatus.SUSPENDED
    assert len(executor.calls) == 1
    assert left(events).begun["s0"].in_doubt


async def test_that_it_began_is_durable_before_it_does_anything() -> None:
    class Slow(MemoryJournal):
        durable = 0

        async def commit(self) -> None:
            self.durable = len(self.events)

    journal = Slow()

    def looks(call: Call) -> dict[str, Any]:
        known = [e.step for e in journal.events[: journal.durable] if e.type == "step_started"]
        assert known == ["s0"]
        return {"y": 1}

    execution = Execution(
        plan(chain(1, policy=NEVER)),
        run_id="r",
        executors=[FakeExecutor(otherwise=looks)],
        journal=journal,
        on_chunk=lambda chunk: None,
    )
    assert (await execution.run({"x": 1})).status is RunStatus.SUCCEEDED


def test_a_step_that_waits_for_its_approval_has_not_happened() -> None:
    begun = [
        (EventType.STEP_STARTED, "a/mail[1]", 1.0, {}),
        (EventType.STEP_WAITING, "a/mail[1]", 2.0, {"question": "May it?"}),
    ]
    assert not earlier(begun).begun["a/mail[1]"].in_doubt
    answered = (EventType.STEP_ANSWERED, "a/mail[1]", 3.0, {"approved": True})
    assert earlier([*begun, answered]).begun["a/mail[1]"] == Begun(at=1.0)


@pytest.mark.parametrize(
    ("method", "policy", "retry"),
    [
        ("GET", {}, "allowed"),
        ("PUT", {}, "allowed"),
        ("POST", {}, "never"),
        ("PATCH", {}, "never"),
        ("POST", {"retries": 1}, "allowed"),
        ("POST", {"retry": "allowed"}, "allowed"),
        ("GET", {"retry": "never"}, "never"),
    ],
)
def test_a_request_that_may_act_twice_is_repeated_only_when_someone_says_so(
    method: str, policy: dict[str, Any], retry: str
) -> None:
    asks = node(
        "get", "http_request", url="https://a.example/{{ x }}", method=method, policy=policy
    )
    graph = Graph.of([interface("input", "x"), asks], edges("input.x -> get.x"))
    assert plan(graph).steps["get"].policy.retry == retry
