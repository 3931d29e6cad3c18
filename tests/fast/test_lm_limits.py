"""Time limits for many calls with one timer."""

import asyncio

import pytest

from runner.lm.limits import Limits


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_limit_that_passes_raises_timeout() -> None:
    limit = Limits().until(soon(0.002))
    with pytest.raises(TimeoutError), limit:
        await asyncio.sleep(1)
    assert limit.expired


async def test_the_earlier_of_two_limits_comes_first_whichever_was_set_first() -> None:
    limits, ended = Limits(), []

    async def one(name: str, seconds: float) -> None:
        with pytest.raises(TimeoutError), limits.until(soon(seconds)):
            await asyncio.sleep(1)
        ended.append(name)

    await asyncio.gather(one("late", 0.004), one("early", 0.001), one("middle", 0.002))
    assert ended == ["early", "middle", "late"]


async def test_an_inner_limit_leaves_the_outer_one_alone() -> None:
    limits = Limits()
    with limits.until(soon(1)) as outer:
        with pytest.raises(TimeoutError), limits.until(soon(0.002)):
            await asyncio.sleep(1)
        await asyncio.sleep(0)
    assert not outer.expired


async def test_an_outer_limit_ends_an_inner_one() -> None:
    limits = Limits()
    inner = limits.until(soon(1))
    with pytest.raises(TimeoutError), limits.until(soon(0.002)), inner:
        await asyncio.sleep(1)
    assert not inner.expired


async def test_a_cancellation_at_the_same_time_is_not_swallowed() -> None:
    async def work() -> None:
        with limit:
            await asyncio.sleep(1)

    limit = Limits().until(soon(1))
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    limit.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_works_inside_and_outside_of_asyncio_timeout() -> None:
    limits = Limits()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            with limits.until(soon(0.002)):
                await asyncio.sleep(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.002):
            with limits.until(soon(1)):
                await asyncio.sleep(1)
