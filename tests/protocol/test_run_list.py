"""The list of runs: what it finds, and what one does to several."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from runner.engine.events import RunStatus
from runner.models import Run
from runner.views.run_list import PAGE
from tests.run_rows import client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def test_the_list_costs_the_same_however_long(world: World) -> None:
    client = client_of(world)
    ended(world)
    client.get(reverse("runner:runs"))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(reverse("runner:runs"))
    for _ in range(30):
        ended(world)
    with CaptureQueriesContext(connection) as many:
        assert client.get(reverse("runner:runs")).status_code == 200
    assert len(many) == len(few)


def test_the_list_is_filtered_by_what_it_understands(world: World) -> None:
    good, bad = ended(world), ended(world, status=RunStatus.FAILED, failure_message="No answer")
    client = client_of(world)

    def listed(**asked: str) -> set[Run]:
        page = client.get(reverse("runner:runs"), asked).context["page"]
        return set(page.object_list)

    assert listed(status="failed") == {bad}
    assert listed(q="no ANSWER") == {bad}
    assert listed(pipeline=str(good.pipeline_id)) == {good, bad}
    assert listed(pipeline=str(uuid4())) == set()
    assert listed(status="unfinished") == set()
    assert listed(by="me", since="hour") == {good, bad}
    assert listed(by=str(world.person("editor").pk)) == set()
    Run.objects.filter(pk=good.pk).update(created_at=timezone.now() - timedelta(days=2))
    assert listed(since="day") == {bad}
    nonsense = {"by": "1e9", "since": "ever", "page": "-9"}
    assert listed(status="owner_id", pipeline="x' --", **nonsense) == {good, bad}


def test_a_filter_is_answered_with_the_results_alone(world: World) -> None:
    ended(world)
    headers = {"HX-Request": "true", "HX-Target": "div#results"}
    answer = client_of(world).get(reverse("runner:runs"), {"status": "failed"}, headers=headers)
    assert "No run is like this" in answer.text
    assert "<html" not in answer.text


def test_a_page_past_the_last_is_the_last(world: World) -> None:
    for _ in range(PAGE + 1):
        ended(world)
    page = client_of(world).get(reverse("runner:runs"), {"page": "99"}).context["page"]
    assert (page.number, len(page.object_list)) == (2, 1)


def test_lines_of_a_list_are_asked_again_while_their_runs_go_on(world: World) -> None:
    going, over = world.run(status=RunStatus.RUNNING), ended(world)
    address = reverse("runner:run_lines")
    asked = {"run": [str(going.pk), str(over.pk), "no id"]}
    text = client_of(world).get(address, asked).text
    assert f'hx-target="#run-{going.pk}"' in text
    assert f'hx-target="#run-{over.pk}"' in text
    assert f"{address}?run={going.pk}" in text
    assert f"run={over.pk}" not in text
    assert str(going.pk) not in client_of(world, "outsider").get(address, asked).text


def several(world: World, who: str, do: str, *runs: Run) -> HttpResponse:
    address = reverse("runner:several")
    return client_of(world, who).post(address, {"do": do, "run": [str(run.pk) for run in runs]})


def several_said(world: World, who: str, run: Run) -> str:
    """What the next page says after a repeat."""
    client = client_of(world, who)
    client.post(reverse("runner:several"), {"do": "repeat", "run": [str(run.pk)]})
    return client.get(reverse("runner:runs")).text


def test_several_runs_are_stopped_at_once(world: World) -> None:
    first, second, over = world.run(), world.run(), ended(world)
    several(world, "owner", "stop", first, second, over)
    statuses = [Run.objects.get(pk=run.pk).status for run in (first, second, over)]
    assert statuses == ["cancelled", "cancelled", "succeeded"]


def test_several_runs_are_repeated_at_once(world: World) -> None:
    several(world, "owner", "repeat", ended(world), ended(world))
    assert Run.objects.filter(status=RunStatus.QUEUED).count() == 2


@pytest.mark.parametrize("who", ["viewer", "outsider"])
def test_several_does_nothing_for_those_who_may_not_run(world: World, who: str) -> None:
    run = world.run()
    several(world, who, "stop", run)
    several(world, who, "repeat", run)
    assert [found.status for found in Run.objects.all()] == ["queued"]
    assert "yours to run again" in several_said(world, who, run)


def test_after_several_the_list_is_as_it_was_asked_for(world: World) -> None:
    headers = {"HX-Current-URL": "https://elsewhere.example/evil?status=failed"}
    answer = client_of(world).post(reverse("runner:several"), {"do": "stop"}, headers=headers)
    assert answer.headers["HX-Redirect"] == reverse("runner:runs") + "?status=failed"
