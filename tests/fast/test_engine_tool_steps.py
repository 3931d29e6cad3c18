"""Calls of tools with side effects: none is made twice without a person's word, whatever dies."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runner.engine.doubts import decision_key
from runner.engine.errors import StepTimeout, ValueTooLarge
from runner.engine.events import Event, EventType, RunStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call
from runner.engine.fake import FakeExecutor
from runner.engine.journal import MemoryJournal
from runner.engine.plan import plan
from runner.engine.results import RunResult, fold
from runner.engine.resuming import Earlier
from runner.engine.stops import Parked
from runner.engine.tool_steps import ToolSteps
from runner.engine.waits import Answer, RunControl
from tests.fast.test_engine import Flaky
from tests.fast.test_engine_resuming import killed
from tests.graphs import chain

type Agent = Callable[[Call], Any]
APPROVED = Answer(approved=True, by="owner")


class Post:
    """Sends, and remembers to whom. `breaks` raises instead, once it has sent."""

    steps: ToolSteps

    def __init__(self, *, breaks: bool = False) -> None:
        self.sent: list[str] = []
        self.breaks = breaks

    async def send(self, call: Call, to: str, question: str = "") -> Any:
        async def work() -> str:
            self.sent.append(to)
            if self.breaks:
                raise OSError("the line broke")
            return f"sent to {to}"

        return await self.steps.call(call, "send", {"to": to}, work, question)


def agent(post: Post, *names: str, **options: Any) -> Agent:
    """Sends to these, and gives what came of it; what fails is an answer to it too."""

    async def work(call: Call) -> dict[str, Any]:
        said = []
        for name in names:
            try:
                said.append(await post.send(call, name, **options))
            except Parked:
                raise
            except Exception as error:
                said.append(f"Error: {error}")
        return {"y": said}

    return work


async def events_of(work: Agent, post: Post, *, policy: Any = None, **options: Any) -> list[Event]:
    """A run of one step that does this."""
    journal = MemoryJournal()
    execution = Execution(
        plan(chain(1, policy=policy or {})),
        run_id="r",
        executors=[FakeExecutor(otherwise=work)],
        journal=journal,
        on_chunk=lambda chunk: None,
        **options,
    )
    post.steps = execution.tool_steps
    await execution.run({"x": 1})
    return journal.events


async def once(work: Agent, post: Post, **options: Any) -> RunResult:
    return fold(await events_of(work, post, **options))


async def test_equal_calls_of_one_step_are_each_made() -> None:
    post = Post()
    result = await once(agent(post, "Ada", "Ada", "Bob"), post)
    assert post.sent == ["Ada", "Ada", "Bob"]
    assert result.outputs == {"y": ["sent to Ada", "sent to Ada", "sent to Bob"]}
    assert "s0/send[3]" in result.steps


async def test_the_next_worker_takes_what_the_lost_one_did_and_waits_for_what_it_began() -> None:
    post, goes_on = Post(), asyncio.Event()

    async def slowly(call: Call) -> str:
        async def work() -> str:
            post.sent.append("Bob")
            await goes_on.wait()
            return "sent to Bob"

        said: str = await post.steps.call(call, "send", {"to": "Bob"}, work)
        return said

    async def work(call: Call) -> dict[str, Any]:
        await post.send(call, "Ada")
        lost = asyncio.create_task(slowly(call))
        await asyncio.sleep(0)
        call.tool_calls.clear()  # as its worker dies
        first = await post.send(call, "Ada")
        asyncio.get_running_loop().call_soon(goes_on.set)
        return {"y": [first, await slowly(call), await lost]}

    result = await once(work, post)
    assert result.outputs == {"y": ["sent to Ada", "sent to Bob", "sent to Bob"]}
    assert post.sent == ["Ada", "Bob"]


async def test_a_result_that_is_not_kept_fails_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(journal: MemoryJournal, outputs: Any) -> None:
        if "arguments" in outputs:
            raise ValueTooLarge("The output 'result' is too large.")

    monkeypatch.setattr(MemoryJournal, "check", check)
    post = Post()
    result = await once(agent(post, "Ada"), post)
    assert result.outputs == {"y": ["Error: The output 'result' is too large."]}
    assert result.steps["s0/send[1]"].status == "failed"


async def test_a_call_that_failed_is_not_made_again_by_the_next_runner() -> None:
    post = Post(breaks=True)
    events = await events_of(agent(post, "Ada", "Bob"), post)
    left = killed(events, EventType.STEP_STARTED, times=3)  # s0, to Ada, to Bob
    result = await once(agent(post, "Ada"), post, earlier=left)
    assert result.outputs == {"y": ["Error: OSError: the line broke"]}
    assert post.sent == ["Ada", "Bob"]


async def test_the_next_attempt_tries_what_failed_and_takes_what_happened() -> None:
    post, broken = Post(), Post(breaks=True)
    retries = {"retries": 1, "backoff": 0.0}

    async def work(call: Call) -> dict[str, Any]:
        if call.attempt == 2:
            return {"y": [await post.send(call, "Ada"), await post.send(call, "Bob")]}
        broken.steps = post.steps
        await post.send(call, "Ada")
        with pytest.raises(OSError):
            await broken.send(call, "Bob")
        raise Flaky

    result = await once(work, post, policy=retries)
    assert result.outputs == {"y": ["sent to Ada", "sent to Bob"]}
    assert (post.sent, broken.sent) == (["Ada", "Bob"], ["Bob"])


async def test_a_call_that_was_cut_off_is_asked_about_before_the_next_attempt_makes_it() -> None:
    post = Post()

    async def hangs() -> None:
        post.sent.append("Ada")
        await asyncio.sleep(60)

    async def work(call: Call) -> dict[str, Any]:
        made = post.steps.call(call, "send", {"to": "Ada"}, hangs)
        try:
            return {"y": await asyncio.wait_for(made, 0.001 if call.attempt == 1 else None)}
        except TimeoutError:
            raise StepTimeout from None

    policy = {"retries": 1, "backoff": 0.0}
    result = await once(work, post, policy=policy)
    assert (result.status, result.failed_step) == (RunStatus.SUSPENDED, "s0/send[1]")
    assert result.failure and result.failure.code == "needs_decision"
    assert post.sent == ["Ada"]


async def left_in_doubt(post: Post) -> Earlier:
    events = await events_of(agent(post, "Ada"), post)
    return killed(events, EventType.STEP_STARTED, times=2)


@pytest.mark.parametrize(
    ("decision", "said", "sent"),
    [("happened", "so they say", 1), ("again", "sent to Ada", 2), ("failed", "Error: ", 1)],
)
async def test_a_person_says_what_came_of_a_call_in_doubt(
    decision: str, said: str, sent: int
) -> None:
    post = Post()
    left = await left_in_doubt(post)
    result = await once(agent(post, "Ada"), post, earlier=left)
    assert (result.status, post.sent) == (RunStatus.SUSPENDED, ["Ada"])
    key = decision_key("s0/send[1]", left.begun["s0/send[1]"].number)
    value = {"result": "so they say"}
    answer = Answer(approved=True, by="ada", decision=decision, value=value)
    result = await once(agent(post, "Ada"), post, earlier=left, control=RunControl({key: answer}))
    assert str(result["y"][0]).startswith(said)
    assert len(post.sent) == sent


async def test_a_person_has_let_the_call_that_was_shown_and_no_other() -> None:
    post = Post()
    events = await events_of(agent(post, "Ada", question="May it?"), post)
    left = killed(events, EventType.STEP_WAITING)
    control = RunControl({"s0/send[1]": APPROVED})
    result = await once(agent(post, "Eve", question="May it?"), post, earlier=left, control=control)
    assert (result.status, post.sent) == (RunStatus.WAITING, [])
    assert result.steps["s0/send[2]"].inputs == {"to": "Eve"}
