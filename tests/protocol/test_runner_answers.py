"""The button of a step that waits for a person."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runner.models import Event, Run, Step
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def waiting(world: World, *, editable: bool = False) -> Run:
    run = world.run(status="waiting", last_seq=2)
    Step.objects.create(
        run=run, path="ask", kind="approve", status="waiting", first_seq=1, last_seq=2
    )
    told = '{"question":"Go?","editable":%s}' % str(editable).lower()  # noqa: UP031
    Event.objects.create(run=run, seq=2, epoch=1, type="step_waiting", step="ask", at=0, data=told)
    return run


def press(world: World, run: Run, name: str = "editor", **data: Any) -> Any:
    client = Client()
    client.force_login(world.person(name))
    given = {"path": "ask", "approved": "yes", **data}
    response = client.post(reverse("runner:answer", args=[run.pk]), given)
    run.refresh_from_db()
    return response


def test_an_answer_is_kept_and_the_run_queued(world: World) -> None:
    run = waiting(world, editable=True)
    response = press(world, run, approved="no", comment="not yet", value='{"a": [1]}')
    assert response["HX-Redirect"] == reverse("runner:run", args=[run.pk])
    answer = run.given_answers["ask"]
    assert (answer.approved, answer.comment, answer.by) == (False, "not yet", "editor")
    assert (answer.value, run.status) == ({"a": [1]}, "queued")


@pytest.mark.parametrize(
    "data",
    [{"approved": "maybe"}, {"approved": ""}, {"value": "{oops"}, {"value": "1"}, {"path": "s0"}],
)
def test_what_is_no_answer_changes_nothing(world: World, data: dict[str, str]) -> None:
    run = waiting(world)
    press(world, run, **data)
    assert (run.answers, run.status) == ("{}", "waiting")


@pytest.mark.parametrize("name", ["viewer", "outsider"])
def test_who_may_not_run_finds_nothing_to_press(world: World, name: str) -> None:
    run = waiting(world)
    assert press(world, run, name).status_code in (403, 404)
    assert run.answers == "{}"


def test_looking_at_the_address_answers_nothing(world: World) -> None:
    run = waiting(world)
    client = Client()
    client.force_login(world.person("editor"))
    assert client.get(reverse("runner:answer", args=[run.pk])).status_code == 405
