"""/metrics: to administrators and to whoever has the token, to nobody else."""

import asyncio

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from runner.lm.metrics import METRICS
from tests.lm_calls import a_call, ask, gateway_of, scripted
from tests.people import People, people

pytestmark = pytest.mark.django_db


@pytest.fixture
def who() -> People:
    return people()


def status(client: Client, **headers: str) -> int:
    return client.get("/metrics", headers={"host": "localhost", **headers}).status_code


@pytest.mark.parametrize(
    ("person", "expected"),
    [("superuser", 200), ("staff", 404), ("owner", 404), ("outsider", 404), ("anonymous", 404)],
)
def test_administrators_see_it_and_others_do_not(
    client: Client, who: People, person: str, expected: int
) -> None:
    if person != "anonymous":
        client.force_login(who.named(person))  # type: ignore[arg-type]
    assert status(client) == expected


def test_a_scraper_needs_the_token(client: Client, who: People, settings: object) -> None:
    assert status(client, authorization="Bearer ") == 404  # none is set
    settings.METRICS_TOKEN = "scrape-me"  # type: ignore[attr-defined]
    assert status(client, authorization="Bearer scrape-me") == 200
    for wrong in ("Bearer scrape-m", "Basic scrape-me", "scrape-me", "Bearer "):
        assert status(client, authorization=wrong) == 404


def test_it_is_prometheus_text_with_calls_and_runs(client: Client, who: People) -> None:
    gateway = gateway_of(scripted("ok"), tell=[METRICS.record])
    asyncio.run(gateway.complete(ask(), a_call()))
    client.force_login(who.superuser)
    response = client.get("/metrics", headers={"host": "localhost"})
    assert response["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"dspex_lm_calls", "dspex_lm_call_seconds", "dspex_runs"} <= names


def test_it_is_only_read(client: Client, who: People) -> None:
    client.force_login(who.superuser)
    assert client.post("/metrics", headers={"host": "localhost"}).status_code == 405
