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
