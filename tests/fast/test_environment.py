"""Readers of environment variables."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from dspex_site import environment


def test_secrets_are_a_list_and_a_short_one_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEYS", f"{'a' * 32}, {'b' * 40}")
    assert environment.secrets("KEYS", shortest=32) == ["a" * 32, "b" * 40]
    monkeypatch.setenv("KEYS", f"{'a' * 32},hunter2")
    with pytest.raises(ImproperlyConfigured, match="secret 2 has 7 characters") as refused:
        environment.secrets("KEYS", shortest=32)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", ["-1", "thirty", "1.5"])
def test_a_number_that_is_none_stops_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYS", value)
    with pytest.raises(ImproperlyConfigured, match="DAYS"):
        environment.number("DAYS", 30)
    monkeypatch.setenv("DAYS", "0")
    assert environment.number("DAYS", 30) == 0
    with pytest.raises(ImproperlyConfigured, match="from 1 to 9"):
        environment.number("DAYS", 3, least=1, most=9)


def test_a_time_zone_is_one_or_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONE", "Europe/Berlin")
    assert environment.time_zone("ZONE") == "Europe/Berlin"
    monkeypatch.setenv("ZONE", "../../etc/passwd")
    with pytest.raises(ImproperlyConfigured, match="no time zone"):
        environment.time_zone("ZONE")
    monkeypatch.setenv("ZONE", "")
    assert environment.time_zone("ZONE")


def test_a_database_s_address_is_read_and_a_bad_one_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BASE", "postgresql://ada:p%40ss@db.example:5433/dspex?sslmode=require")
    found = environment.postgresql("BASE")
    assert found is not None
    assert [found[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        *("ada", "p@ss", "db.example", "5433", "dspex")
    ]
    assert found["OPTIONS"] == {"sslmode": "require"}
    monkeypatch.setenv("BASE", "postgresql://ada@/dspex?host=/run/postgresql")
    assert (environment.postgresql("BASE") or {})["HOST"] == "/run/postgresql"
    monkeypatch.setenv("BASE", "mysql://ada:hunter2@db/dspex")
    with pytest.raises(ImproperlyConfigured, match="postgresql://") as refused:
        environment.postgresql("BASE")
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("BASE", "")
    assert environment.postgresql("BASE") is None


def test_redis_and_a_least_number_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS", "http://127.0.0.1:6379")
    with pytest.raises(ImproperlyConfigured, match="redis://"):
        environment.redis("REDIS")
    monkeypatch.setenv("LEASE", "0")
    with pytest.raises(ImproperlyConfigured, match="1 or more"):
        environment.number("LEASE", 30, least=1)


def test_a_driver_that_is_not_installed_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda module: None)
    monkeypatch.setenv("BASE", "postgresql://ada@/dspex")
    monkeypatch.setenv("REDIS", "redis://127.0.0.1:6379")
    with pytest.raises(ImproperlyConfigured, match=r"BASE is set, and psycopg .* `make cluster`"):
        environment.postgresql("BASE")
    with pytest.raises(ImproperlyConfigured, match="channels-redis is not installed"):
        environment.redis("REDIS")
