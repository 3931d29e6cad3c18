"""What a pool remembers: calls by time, and how workers ended."""

import os
import sys

import pytest

from runner.bridge.pool_history import ENDS, SPAN, SPANS, PoolHistory
from runner.bridge.process_memory import memory_of


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_calls_are_counted_by_span_with_zeros_between() -> None:
    clock = Clock()
    history = PoolHistory(clock)
    history.called()
    history.called()
    clock.now += 2 * SPAN
    history.called()
    assert history.stats()["recent"][-3:] == [2, 0, 1]


def test_what_is_long_ago_is_not_told() -> None:
    clock = Clock()
    history = PoolHistory(clock)
    history.called()
    clock.now += SPANS * SPAN
    assert history.stats()["recent"] == [0] * SPANS


def test_the_last_worker_that_ended_comes_first_and_the_oldest_are_forgotten() -> None:
    history = PoolHistory()
    for number in range(ENDS + 5):
        history.ended({"number": number})
    told = [end["number"] for end in history.stats()["ends"]]
    assert told == list(range(ENDS + 4, 4, -1))


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux says it")
def test_the_memory_of_a_process_is_told() -> None:
    memory = memory_of(os.getpid())
    assert memory
    assert memory > 1_000_000


def test_the_memory_of_no_process_is_not_told() -> None:
    assert memory_of(2**30) is None
