"""Host tools that a person must let, and those with side effects, in whole runs with real workers."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from pipelines.graph.graph import Graph
from runner.bridge.pool import PoolSettings
from runner.bridge.tools import HostTool
from runner.engine.events import Event, EventType, RunStatus
from runner.engine.results import RunResult
from runner.engine.waits import Answer, RunControl
from runner.host import Host, HostSettings
from runner.lm.replay import MemoryReplayLog
from runner.lm.types import LMProfile
from tests.dspy_steps import chat
from tests.graphs import edges, interface, node

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT: list[str] = []


def send(to: str) -> str:
    """Send the answer to somebody."""
    SENT.append(to)
    return f"sent to {to}"


def acts(tool: str, **arguments: Any) -> str:
    return chat(next_thought="t", next_tool_name=tool, next_tool_args=arguments)


ANSWERS = (
    acts("send", to="Ada"),
    acts("send", to="Bob"),
    acts("finish"),
    chat(reasoning="r", answer="done"),
)
SCRIPT = LMProfile(name="script", adapter="scripted", settings={"answers": ANSWERS})
APPROVED = Answer(approved=True, by="owner")


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[Host]:
    SENT.clear()
    settings = HostSettings(
        profiles={"script": SCRIPT},
        default_profile="script",
        pools=(PoolSettings(size=1, spares=0),),
        tools=(HostTool.of(send, side_effects=True, approval=True),),
    )
    async with Host(settings, replay_log=MemoryReplayLog()) as host:
        yield host


def agent() -> Graph:
    parts = {"module": "ReAct", "signature": "question -> answer", "tools": ("send",)}
    return Graph.of(
        [
            interface("input", "question"),
            node("agent", "dspy_module", **parts),
            interface("output", "a"),
        ],
        edges("input.question -> agent.question\nagent.answer -> output.a"),
    )


async def once(
    host: Host, recorded: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Answer]
) -> tuple[RunResult, dict[str, dict[str, Any]]]:
    """One go of the run, as a runner that takes it up does it; with all that is recorded then."""
    found = dict(recorded)

    def keep(event: Event) -> None:
        if event.type is EventType.STEP_SUCCEEDED:
            found[event.step] = event.data["outputs"]

    result = await host.run(
        agent(),
        {"question": "?"},
        run_id="r",
        recorded=recorded,
        control=RunControl(answers),
        on_event=keep,
    )
    return result, found


async def test_a_run_waits_for_a_person_and_does_nothing_twice(host: Host) -> None:
    result, recorded = await once(host, {}, {})
    assert (result.status, SENT) == (RunStatus.WAITING, [])
    asked = result.steps["agent/send[1]"]
    assert (asked.kind, asked.inputs) == ("tool", {"to": "Ada"})
    assert not host.pools.general.stats()["workers"] or host.pools.general.stats()["queued"] == 0

    answers = {"agent/send[1]": APPROVED}
    result, recorded = await once(host, recorded, answers)
    assert (result.status, SENT) == (RunStatus.WAITING, ["Ada"])
    assert recorded["agent/send[1]"]["result"] == "sent to Ada"

    result, recorded = await once(host, recorded, {**answers, "agent/send[2]": APPROVED})
    assert result.status is RunStatus.SUCCEEDED, result.failure
    assert (result["a"], SENT) == ("done", ["Ada", "Bob"])


async def test_what_a_person_refuses_is_not_done_and_the_model_hears_why(host: Host) -> None:
    refused = Answer(approved=False, comment="Not him.", by="owner")
    answers = {"agent/send[1]": APPROVED, "agent/send[2]": refused}
    result, _ = await once(host, {}, answers)
    assert result.status is RunStatus.SUCCEEDED, result.failure
    assert SENT == ["Ada"]
    assert result.steps["agent/send[2]"].failure is not None
    last = result.steps["agent"].lm_calls[-1]
    assert "A person did not let this tool be called. They said: Not him." in str(last["messages"])
