"""Pools as an operator writes them."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from dspex_site import environment
from runner.bridge.isolation import Isolation
from runner.bridge.pool_settings import (
    GENERAL,
    NEURAL,
    POOLS,
    InvalidPoolSettings,
    PoolSettings,
    read_pool,
    with_defaults,
)
from runner.bridge.pools import Pools
from runner.bridge.sessions import Affinity
from runner.bridge.testing import ScriptedNursery


def test_there_are_three_pools_and_two_of_them_start_nothing_ahead() -> None:
    assert [pool.name for pool in POOLS] == ["general", "neural", "optimizer"]
    assert [pool.spares for pool in POOLS] == [2, 0, 0]
    assert [pool.reuse for pool in POOLS] == [False, True, False]


def test_pool_is_changed_by_what_is_written() -> None:
    written = {
        "size": "8",
        "profile": "batch",
        "affinity": "strict_queue",
        "session_ttl": "60",
        "max_memory_mb": "256",
        "reuse": "true",
        "start_batch": "4",
    }
    pool = read_pool(GENERAL, written)
    assert (pool.size, pool.timeouts.queue, pool.affinity) == (8, 300, Affinity.STRICT_QUEUE)
    assert (pool.sessions.ttl, pool.recycling.memory) == (60, 256_000_000)
    assert (pool.reuse, pool.pace.batch, pool.spares) == (True, 4, GENERAL.spares)


def test_threads_are_places_for_steps_and_need_workers_that_are_kept() -> None:
    pool = read_pool(GENERAL, {"threads": "10", "size": "3", "reuse": "true"})
    assert (pool.threads, pool.places, pool.places_per_run) == (10, 30, 40)
    assert GENERAL.places == GENERAL.size
    with pytest.raises(InvalidPoolSettings, match="Set reuse to true, or threads to 1"):
        read_pool(GENERAL, {"threads": "10"})
    with pytest.raises(InvalidPoolSettings, match="from 1 to 64"):
        read_pool(NEURAL, {"threads": "65"})


def test_formats_and_limits_of_workers_are_changed_by_what_is_written() -> None:
    written = {
        "formats": "json+arrow",
        "no_network": "false",
        "memory_mb": "500",
        "cpu_seconds": "0",
        "file_mb": "10",
        "processes": "20",
        "open_files": "64",
    }
    pool = read_pool(GENERAL, written)
    assert pool.formats == ("json", "arrow")
    assert pool.isolation == Isolation(
        network=False,
        memory=500_000_000,
        cpu_seconds=0,
        file_size=10_000_000,
        processes=20,
        open_files=64,
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("size", "0", "a whole number from 1 to 150"),
        ("size", "many", "a whole number"),
        ("queue_timeout", "-1", "a number of seconds"),
        ("queue_timeout", "nan", "a number of seconds"),
        ("profile", "fast", "one of balanced, production"),
        ("affinity", "strict", "one of hint, strict_queue, strict_fail_fast"),
        ("reuse", "1", "true or false"),
        ("formats", "arrow", "not Arrow alone"),
        ("formats", "json+pickle", "Known: json, messagepack, arrow"),
        ("colour", "red", "has no setting 'colour'"),
    ],
)
def test_what_can_not_be_read_is_said_with_what_was_expected(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(InvalidPoolSettings, match=expected):
        read_pool(NEURAL, {name: text})


def test_queue_timeout_is_the_profile_s_unless_it_is_given() -> None:
    assert PoolSettings(profile="balanced").timeouts.queue == 10
    assert PoolSettings(profile="balanced", queue_timeout=3).timeouts.queue == 3


def test_environment_names_the_variable_that_can_not_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DSPEX_POOL_NEURAL", "size=3, affinity=strict_fail_fast")
    neural = environment.pools("DSPEX_POOL", POOLS)[1]
    assert (neural.size, neural.affinity) == (3, Affinity.STRICT_FAIL_FAST)
    monkeypatch.setenv("DSPEX_POOL_NEURAL", "size=3.5")
    with pytest.raises(ImproperlyConfigured, match="DSPEX_POOL_NEURAL: 'size' of pool 'neural'"):
        environment.pools("DSPEX_POOL", POOLS)


def test_given_pool_takes_the_place_of_the_one_of_its_name() -> None:
    small = PoolSettings(name="neural", size=1)
    assert with_defaults((small,)) == (POOLS[0], small, POOLS[2])


def test_pools_of_one_kind_of_worker_share_a_forkserver() -> None:
    pools = Pools(POOLS)
    assert len({id(pool._nursery) for pool in pools}) == 1
    assert not any(len(pool.workforce) for pool in pools)


def test_step_goes_to_the_pool_of_its_modules() -> None:
    pools = Pools(POOLS, nursery=ScriptedNursery())
    assert pools.for_modules(("ColBERTv2",)) is pools["neural"]
    assert pools.for_modules(("Predict",)) is pools.general
