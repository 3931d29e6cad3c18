"""A run's calls: cancelled with it, and held to its budgets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest

from pipelines.graph.graph import Graph
from runner.engine.events import EventType, RunStatus
from runner.host import Host, HostSettings
from runner.lm.budget import Budget
from runner.lm.types import LMProfile
from tests.fake_provider import DIALECTS, Dialect, FakeProvider, Reply, provider
from tests.graphs import edges, interface, node
from tests.protocol.test_lm_faults import dialects, profile_for

LINES = "input.prompt -> ask.prompt\nask.text -> output.text"
INPUTS = {"prompt": "hi"}


def one_call(**config: Any) -> Graph:
    ends = interface("input", "prompt"), interface("output", "text")
    return Graph.of([ends[0], node("ask", "lm", **config), ends[1]], edges(LINES))


@asynccontextmanager
async def host_for(
    dialect: Dialect, reply: Reply, **profile: Any
) -> AsyncIterator[tuple[Host, FakeProvider]]:
    async with provider(reply) as fake:
        profiles = {"fake": profile_for(dialect, fake, **profile)}
        async with Host(HostSettings(profiles=profiles, default_profile="fake")) as host:
            yield host, fake


@dialects
async def test_cancelling_a_run_closes_the_connection_within_100_ms(dialect: Dialect) -> None:
    streaming = asyncio.Event()
    drip = dialect.streamed(*"abcdef" * 50, pause=0.01)
    async with host_for(dialect, drip) as (host, fake):
        run = asyncio.create_task(
            host.run(one_call(), INPUTS, on_chunk=lambda chunk: streaming.set())
        )
        await asyncio.wait_for(streaming.wait(), 5)
        run.cancel()
        start = perf_counter()
        await asyncio.wait_for(fake.disconnected.wait(), 1)
        assert perf_counter() - start < 0.1
        await asyncio.gather(run, return_exceptions=True)


@pytest.mark.parametrize(("tokens", "status"), [(300, RunStatus.SUCCEEDED), (55, None)])
async def test_a_run_stops_before_it_passes_its_budget(
    tokens: int, status: RunStatus | None
) -> None:
    chat, told = DIALECTS["chat_completions"], []
    budget = Budget(key="run", name="this run", tokens=tokens)
    async with host_for(chat, chat.streamed("ok"), max_tokens=50) as (host, fake):
        result = await host.run(
            one_call(), INPUTS, budgets=[budget], on_event=lambda event: told.append(event)
        )
        again = await host.run(one_call(), INPUTS)
    assert again.status is RunStatus.SUCCEEDED  # the next run has none
    if status:
        assert result.status is status
        return
    assert result.status is not RunStatus.SUCCEEDED
    assert result.failure and result.failure.code == "budget_exceeded"
    assert "budget of this run is 55 tokens" in result.failure.message
    assert len(fake.requests) == 1  # that of the next run alone
    (call,) = [event for event in told if event.type is EventType.LM_CALL]
    assert call.data["failure"]["code"] == "budget_exceeded"


async def test_a_profile_may_answer_by_a_function_of_python() -> None:
    settings = {"answer": lambda request: str(request.messages[-1].content).upper()}
    profiles = {"mock": LMProfile(name="mock", adapter="scripted", settings=settings)}
    async with Host(HostSettings(profiles=profiles, default_profile="mock")) as host:
        assert (await host.run(one_call(), INPUTS)).outputs == {"text": "HI"}
