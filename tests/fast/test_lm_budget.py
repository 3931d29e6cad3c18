"""Budgets stop before they are passed."""

import asyncio
from typing import Any

import pytest

from runner.lm.budget import OUTPUT_LIMIT, Budget, Ledger, Spend, input_estimate
from runner.lm.errors import BudgetExceeded
from runner.lm.gateway import Gateway
from runner.lm.types import LMRequest, Usage
from tests.lm_calls import a_call, ask, gateway_of, scripted


def of_project(**limits: Any) -> Budget:
    return Budget(key="project/day", name="project Demo for today", **limits)


def gateway_with(ledger: Ledger, *answers: Any, **profile: Any) -> Gateway:
    fields = {"max_tokens": 10, **profile}
    # With a delay, so that calls made at once are under way at once.
    script = scripted(*(answers or ("ok",)), delay=0.001, profile=fields)
    return gateway_of(script, ledger=ledger)


async def paid(gateway: Gateway, times: int, run_id: str = "run") -> int:
    """How many of so many calls at once were let through."""
    calls = (gateway.complete(ask(), a_call(run_id=run_id)) for _ in range(times))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(r, BudgetExceeded) for r in results if isinstance(r, Exception))
    return sum(not isinstance(result, Exception) for result in results)


async def test_calls_at_the_same_time_do_not_pass_the_budget_together() -> None:
    ledger = Ledger()
    each = input_estimate(ask()) + 10
    ledger.open("run", [of_project(tokens=3 * each)])
    gateway = gateway_with(ledger)
    assert await paid(gateway, 10) == 3
    assert gateway.adapter("scripted").calls["mock"] == 3


async def test_what_was_held_gives_way_to_what_was_counted() -> None:
    ledger = Ledger()
    ledger.open("run", [of_project(tokens=40)])
    gateway = gateway_with(ledger)
    for _ in range(10):  # 2 tokens each, held as about 19
        await gateway.complete(ask(), a_call())
    with pytest.raises(BudgetExceeded):
        for _ in range(10):
            await gateway.complete(ask(), a_call())


async def test_the_error_names_the_budget_what_is_spent_what_was_asked_and_the_mend() -> None:
    ledger = Ledger()
    ledger.open("run", [of_project(cost=5.0, spent=Usage(cost=4.999))])
    with pytest.raises(BudgetExceeded, match=r"project Demo for today is \$5\.0000") as caught:
        await gateway_with(ledger, output_price=1000.0).complete(ask(), a_call())
    assert caught.value.suspends
    assert caught.value.details["spent"] == 4.999
    assert caught.value.details["asked"] == pytest.approx(0.01)
    assert "Raise the budget" in caught.value.message


async def test_every_budget_of_a_run_must_have_room() -> None:
    ledger = Ledger()
    run = Budget(key="run", name="this run", tokens=10)
    ledger.open("run", [of_project(tokens=1_000_000), run])
    with pytest.raises(BudgetExceeded, match="budget of this run is 10 tokens"):
        await gateway_with(ledger).complete(ask(), a_call())


async def test_runs_of_a_project_share_its_budget_and_others_do_not() -> None:
    ledger = Ledger()
    each = input_estimate(ask()) + 10
    for run in ("a", "b"):
        ledger.open(run, [of_project(tokens=2 * each)])
    gateway = gateway_with(ledger, "ok" * 20)  # as many tokens as were held
    counts = await asyncio.gather(*(paid(gateway, 2, run) for run in ("a", "b", "free")))
    assert counts[0] + counts[1] == 2
    assert counts[2] == 2


async def test_a_stored_answer_needs_no_budget() -> None:
    from runner.lm.cache import MemoryResponseCache

    ledger = Ledger()
    gateway = gateway_of(
        scripted("ok", profile={"max_tokens": 10}),
        ledger=ledger,
        response_cache=MemoryResponseCache(),
    )
    await gateway.complete(ask(), a_call())
    ledger.open("run", [of_project(tokens=0)])
    assert (await gateway.complete(ask(), a_call())).source == "response_cache"


@pytest.mark.parametrize(("answer", "spent"), [({"error": "server"}, 0), ("ok", 2)])
async def test_a_failed_call_gives_back_what_it_held(answer: Any, spent: int) -> None:
    ledger = Ledger()
    ledger.open("run", [of_project(tokens=100)])
    gateway = gateway_with(ledger, answer, retries=0)
    await asyncio.gather(gateway.complete(ask(), a_call()), return_exceptions=True)
    account = ledger.open("run", [of_project(tokens=100)]) or ledger._runs["run"][0]
    assert (account.spent.tokens, account.reserved.tokens) == (spent, 0)


async def test_what_streamed_before_a_call_broke_off_is_counted() -> None:
    ledger = Ledger()
    ledger.open("run", [of_project(tokens=1000)])
    broken = {"error": "invalid_request", "text": "x" * 400}
    with pytest.raises(Exception, match="accept"):
        await gateway_with(ledger, broken).complete(ask(), a_call())
    assert ledger._runs["run"][0].spent.tokens > 100


async def test_a_call_under_a_budget_has_a_limit_of_tokens() -> None:
    asked: list[LMRequest] = []

    def answer(request: LMRequest) -> str:
        asked.append(request)
        return "ok"

    ledger = Ledger()
    profile = scripted(answer=answer)
    gateway = gateway_of(profile, ledger=ledger)
    await gateway.complete(ask(), a_call())
    ledger.open("run", [of_project(tokens=100_000)])
    await gateway.complete(ask(), a_call())
    assert [request.max_tokens for request in asked] == [None, OUTPUT_LIMIT]


def test_a_budget_told_anew_takes_the_larger_count() -> None:
    ledger = Ledger()
    ledger.open("a", [of_project(tokens=100)])
    ledger.reserve("a", Spend(tokens=50)).settle(Usage(input_tokens=50))
    ledger.open("b", [of_project(tokens=200, spent=Usage(input_tokens=20))])
    account = ledger._runs["b"][0]
    assert (account.spent.tokens, account.budget.tokens) == (50, 200)
    ledger.close("a")
    ledger.close("b")
    assert not ledger._accounts


@pytest.mark.parametrize(
    ("content", "least"),
    [
        ("word " * 300, 300),
        ("字" * 300, 300),
        ([{"type": "image_url", "image_url": {"url": "data:" + "x" * 90_000}}], 1000),
    ],
)
def test_a_request_is_estimated_rather_too_high(content: Any, least: int) -> None:
    estimate = input_estimate(ask(content))
    assert least <= estimate < 2 * least + 700
