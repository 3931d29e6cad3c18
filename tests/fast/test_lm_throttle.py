"""Calls at a time, requests and tokens in a minute, and who waits."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.host import Host, HostSettings, Shared
from runner.lm.adapters.catalogue import Adapters
from runner.lm.errors import Exhausted
from runner.lm.throttle import Throttles, Window
from runner.lm.types import LMProfile
from tests.lm_calls import Recorder, a_call, ask, gateway_of, scripted


@pytest.fixture
def short_minute(monkeypatch: pytest.MonkeyPatch) -> float:
    """A minute that a test can wait for."""
    monkeypatch.setattr(Window.__init__, "__defaults__", (0.05,))
    return 0.05


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 20)), min_size=1, max_size=40),
)
def test_no_minute_holds_more_than_the_limit(limit: int, calls: list[tuple[float, int]]) -> None:
    window, now, taken = Window(limit), 0.0, []
    for pause, amount in calls:
        now += pause
        amount = min(amount, limit)
        if wait := window.wait(now, amount):
            now += wait + 1e-9  # the clock's rounding
        assert window.wait(now, amount) == 0
        window.take(now, amount)
        taken.append((now, amount))
    for start, _ in taken:
        within = sum(amount for at, amount in taken if start <= at < start + 60 - 1e-6)
        assert within <= limit


def test_the_wait_is_no_longer_than_it_must_be() -> None:
    window = Window(10)
    window.take(0.0, 6)
    window.take(20.0, 4)
    assert window.wait(30.0, 6) == 30.0
    assert window.wait(30.0, 7) == 50.0


def test_a_correction_makes_room_or_takes_it() -> None:
    window = Window(10)
    entry = window.take(0.0, 10)
    window.correct(entry, 2)
    assert window.wait(1.0, 8) == 0
    window.correct(entry, 10)
    assert window.wait(1.0, 1) == 59.0
    assert window.wait(61.0, 10) == 0
    window.correct(entry, 0)  # it has left the window
    window.take(61.0, 10)
    assert window.wait(61.0, 1) == 60.0


def test_more_than_the_limit_gets_through_an_empty_window() -> None:
    window = Window(10)
    assert window.wait(0.0, 50) == 0
    window.take(0.0, 50)
    assert window.wait(1.0, 1) == 59.0


async def ask_all(*gateways: Any, times: int) -> None:
    await asyncio.gather(
        *(gateway.complete(ask(), a_call()) for gateway in gateways for _ in range(times))
    )


class Counting:
    """Counts how many answers are under way."""

    def __init__(self) -> None:
        self.running = self.most = self.asked = 0

    def __call__(self, request: Any) -> str:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        asyncio.get_running_loop().call_later(0.002, self._done)
        return "ok"

    def _done(self) -> None:
        self.running -= 1


@pytest.mark.parametrize(("ids", "most"), [(("same", "same"), 2), (("one", "two"), 4)])
async def test_calls_at_a_time_hold_over_the_gateways_of_all_projects(
    ids: tuple[str, str], most: int
) -> None:
    counting, throttles, adapters = Counting(), Throttles(), Adapters()
    script = {"answer": counting, "delay": 0.003}
    gateways = [
        gateway_of(
            LMProfile(name="m", adapter="scripted", id=each, concurrency=2, settings=script),
            throttles=throttles,
            adapters=adapters,
        )
        for each in ids
    ]
    await ask_all(*gateways, times=5)
    assert counting.most == most


async def test_requests_of_a_minute_wait_for_the_next_one(short_minute: float) -> None:
    observer = Recorder()
    gateway = gateway_of(scripted("ok", profile={"requests_per_minute": 2}))
    start = asyncio.get_running_loop().time()
    await ask_all(gateway, times=4)
    await gateway.complete(ask(), a_call(observer))
    assert asyncio.get_running_loop().time() - start >= 2 * short_minute
    assert observer.lm_call["waited_s"] > 0


async def test_tokens_are_counted_as_the_provider_counts_them(short_minute: float) -> None:
    gateway = gateway_of(scripted("ok", profile={"tokens_per_minute": 100, "max_tokens": 70}))
    start = asyncio.get_running_loop().time()
    for _ in range(3):  # held as about 80 each while they run; 2 each when they have ended
        await gateway.complete(ask(), a_call())
    assert asyncio.get_running_loop().time() - start < short_minute


async def test_a_rate_limit_holds_back_everybody_who_calls_the_profile() -> None:
    gateway, observer = (
        gateway_of(scripted({"error": "rate_limit", "retry_after": 0.2}, "ok")),
        Recorder(),
    )
    first = asyncio.create_task(gateway.complete(ask(), a_call()))
    await asyncio.sleep(0)
    await gateway.complete(ask(), a_call(observer))
    assert observer.lm_call["attempts"] == 1
    assert observer.lm_call["waited_s"] > 0.1
    await first


async def test_who_waits_in_line_goes_in_order_and_may_leave_it() -> None:
    gateway = gateway_of(scripted("ok", delay=0.002, profile={"concurrency": 1}))
    ended: list[int] = []

    async def one(number: int) -> None:
        await gateway.complete(ask(), a_call())
        ended.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0.001)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == [0, 1, 3, 4]


async def test_an_edited_profile_has_its_new_limits_from_the_next_call_on() -> None:
    counting, throttles = Counting(), Throttles()
    script = {"answer": counting, "delay": 0.003}
    for concurrency in (1, 3):
        profile = LMProfile(name="m", adapter="scripted", concurrency=concurrency, settings=script)
        await ask_all(gateway_of(profile, throttles=throttles), times=4)
        assert counting.most == concurrency


async def test_a_failed_attempt_gives_its_place_back() -> None:
    gateway = gateway_of(scripted({"error": "server"}, profile={"concurrency": 1, "retries": 1}))
    for _ in range(2):
        with pytest.raises(Exhausted):
            await gateway.complete(ask(), a_call())
    assert gateway.throttles.of(gateway.profile(None)).running == 0


def test_hosts_that_share_their_parts_share_the_limits() -> None:
    settings = HostSettings(profiles={"mock": scripted("ok")}, default_profile="mock")
    shared = Shared(settings)
    hosts = [Host(settings, shared=shared) for _ in range(2)]
    throttles = {id(host.gateway.throttles) for host in hosts}
    assert throttles == {id(shared.throttles)}
