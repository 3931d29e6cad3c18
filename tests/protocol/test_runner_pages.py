"""The runner's pages: who sees what, what a form starts, and that lists cost the same however long."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from pipelines.models import LMProfile, Pipeline
from pipelines.services import create_pipeline
from runner.engine.events import EventType, RunStatus
from runner.models import Artifact, Run
from tests.graphs import chain
from tests.run_rows import a_step, an_event, client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def chained(world: World) -> Pipeline:
    """A pipeline that can be run: its draft is there, too."""
    owner = world.person("owner")
    return create_pipeline(project=world.project, user=owner, name="Answer mail", graph=chain(3))


def addresses(world: World) -> list[tuple[str, str]]:
    run, pipeline = ended(world), chained(world)
    a_step(run)
    profile = LMProfile.objects.create(project=world.project, name="fast", adapter="scripted")
    return [
        ("get", reverse("runner:run", args=[run.pk])),
        ("get", reverse("runner:since", args=[run.pk])),
        ("get", reverse("runner:step", args=[run.pk]) + "?path=s0"),
        ("get", reverse("runner:value", args=[run.pk]) + "?place=inputs/x"),
        ("post", reverse("runner:cancel", args=[run.pk])),
        ("post", reverse("runner:resume", args=[run.pk])),
        ("post", reverse("runner:repeat", args=[run.pk])),
        ("get", reverse("runner:panel", args=[pipeline.pk])),
        ("post", reverse("runner:start", args=[pipeline.pk])),
        ("get", reverse("runner:going", args=[pipeline.pk])),
        ("get", reverse("runner:follow", args=[run.pipeline_id, run.pk])),
        ("get", reverse("runner:step_preview", args=[pipeline.pk, "s0"])),
        ("post", reverse("runner:test_lm_profile", args=[profile.pk])),
    ]


def test_an_outsider_finds_nothing_anywhere(world: World) -> None:
    client = client_of(world, "outsider")
    for method, address in addresses(world):
        assert getattr(client, method)(address).status_code == 404, address


def test_an_outsider_s_list_is_empty(world: World) -> None:
    run = ended(world)
    answer = client_of(world, "outsider").get(reverse("runner:runs"))
    assert str(run.pk) not in answer.text
    assert "Nothing has run yet" in answer.text


def test_strangers_are_sent_to_sign_in(world: World) -> None:
    lists = [("get", reverse("runner:workers")), ("post", reverse("runner:several"))]
    for method, address in [*addresses(world), *lists]:
        assert getattr(Client(), method)(address).status_code == 302, address


def test_a_viewer_looks_and_starts_nothing(world: World) -> None:
    client = client_of(world, "viewer")
    for method, address in addresses(world):
        expected = 403 if method == "post" else 200
        assert getattr(client, method)(address).status_code == expected, address


def test_what_changes_something_is_not_done_by_get(world: World) -> None:
    client = client_of(world)
    for method, address in addresses(world):
        if method == "post":
            assert client.get(address).status_code == 405, address


# A run


@pytest.mark.parametrize("show", ["timeline", "output", "events", "nonsense"])
@pytest.mark.parametrize("part", ["", "head", "pane", "nonsense"])
def test_every_part_of_a_run_is_drawn(world: World, show: str, part: str) -> None:
    run = ended(world, outputs={"y": "<script>alert(1)</script>"})
    a_step(run)
    answer = client_of(world).get(
        reverse("runner:run", args=[run.pk]), {"show": show, "part": part}
    )
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert " style=" not in answer.text


def test_the_timeline_costs_the_same_however_many_steps(world: World) -> None:
    client, run = client_of(world), ended(world)
    address = reverse("runner:run", args=[run.pk])
    for path in ("s0", "each", "each[0]/s0"):
        a_step(run, path, attempt_count=2, lm_calls=1)
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for number in range(1, 30):
        a_step(run, f"each[{number}]/s0", attempt_count=2)
    with CaptureQueriesContext(connection) as many:
        assert "Predict 30" in client.get(address).text
    assert len(many) == len(few)


def test_a_large_output_is_put_back(world: World) -> None:
    run = ended(world, outputs={"y": None}, artifacts={"outputs/y": "h"})
    Artifact.objects.create(run=run, hash="h", size=6, text='"large"')
    answer = client_of(world).get(reverse("runner:run", args=[run.pk]), {"show": "output"})
    assert "large" in answer.text


def test_events_come_a_page_at_a_time(world: World) -> None:
    run = ended(world)
    for seq in range(1, 103):
        an_event(run, seq, EventType.STEP_CANCELLED, "s0")
    address = reverse("runner:run", args=[run.pk])
    client = client_of(world)
    assert "after=100" in client.get(address, {"show": "events"}).text
    rest = client.get(address, {"show": "events", "after": "100"}).context["events"]
    assert [row["event"].seq for row in rest] == [101, 102]


def test_polling_gives_what_happened_since(world: World) -> None:
    run = world.run(status=RunStatus.RUNNING)
    for seq in (1, 2, 3):
        an_event(run, seq, EventType.STEP_CANCELLED, "s0")
    found = client_of(world).get(reverse("runner:since", args=[run.pk]), {"after": "1"}).json()
    assert [event["seq"] for event in found["events"]] == [2, 3]
    assert found["status"] == "running"


def test_a_run_is_stopped(world: World) -> None:
    run = world.run()
    answer = client_of(world).post(reverse("runner:cancel", args=[run.pk]))
    assert answer.json() == {"run": str(run.pk), "status": "cancelled"}


def test_a_suspended_run_goes_on(world: World) -> None:
    run = world.run(status=RunStatus.SUSPENDED)
    client_of(world).post(reverse("runner:resume", args=[run.pk]))
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_a_run_is_repeated_with_its_inputs(world: World) -> None:
    run = ended(world, inputs={"x": None}, artifacts={"inputs/x": "h", "outputs/y": "gone"})
    Artifact.objects.create(run=run, hash="h", size=6, text='"large"')
    answer = client_of(world).post(reverse("runner:repeat", args=[run.pk]))
    made = Run.objects.exclude(pk=run.pk).get()
    assert answer.headers["HX-Redirect"] == reverse("runner:run", args=[made.pk])
    assert (made.inputs, made.version_id) == ({"x": "large"}, run.version_id)


# The panel


def test_the_panel_asks_for_the_pipeline_s_inputs(world: World) -> None:
    answer = client_of(world).get(reverse("runner:panel", args=[chained(world).pk]))
    assert 'name="input-x"' in answer.text
    assert " style=" not in answer.text


def test_the_panel_says_since_when_a_run_goes_on(world: World) -> None:
    pipeline, client = chained(world), client_of(world)
    client.post(reverse("runner:start", args=[pipeline.pk]), {"input-x": "Hello"})
    Run.objects.update(status="running", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    text = client.get(reverse("runner:panel", args=[pipeline.pk])).text
    assert 'data-started="1767225600' in text


def test_what_others_run_is_followed_with_their_name(world: World) -> None:
    world.pipeline = chained(world)
    run = world.run(status="running")
    going = reverse("runner:going", args=[world.pipeline.pk])
    told = {"run": str(run.pk), "by": "owner", "mine": False, "ended": False}
    viewer = client_of(world, "viewer")
    assert viewer.get(going).json() == {"runs": [told]}
    assert client_of(world).get(going).json() == {"runs": [{**told, "mine": True}]}
    for address in (f"{going}{run.pk}/", reverse("runner:panel", args=[world.pipeline.pk])):
        shown = viewer.get(address).text
        assert f'data-run="{run.pk}"' in shown and 'data-by="owner"' in shown
        assert "data-stop-url" not in shown  # a viewer stops nothing
        assert "data-stop-url" in client_of(world, "editor").get(address).text
        assert "data-by" not in client_of(world).get(address).text


def test_what_has_ended_or_waits_for_a_person_does_not_go_on(world: World) -> None:
    world.pipeline = chained(world)
    for status in ("succeeded", "failed", "waiting", "suspended"):
        world.run(status=status)
    going = reverse("runner:going", args=[world.pipeline.pk])
    just = client_of(world, "editor").get(going).json()["runs"]
    assert [each["ended"] for each in just] == [True, True]
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    assert client_of(world, "editor").get(going).json() == {"runs": []}
    panel = client_of(world, "editor").get(reverse("runner:panel", args=[world.pipeline.pk])).text
    assert "data-run" not in panel


def test_a_run_is_followed_at_its_own_pipeline_alone(world: World) -> None:
    run = world.run(status="running")
    address = reverse("runner:follow", args=[chained(world).pk, run.pk])
    assert client_of(world).get(address).status_code == 404


def test_a_form_starts_a_run_and_is_answered_with_what_follows_it(world: World) -> None:
    address = reverse("runner:start", args=[chained(world).pk])
    answer = client_of(world).post(address, {"input-x": "Hello"})
    run = Run.objects.get()
    assert run.inputs == {"x": "Hello"}
    assert f'data-run="{run.pk}"' in answer.text


def test_json_starts_a_run(world: World) -> None:
    address = reverse("runner:start", args=[chained(world).pk])
    answer = client_of(world).post(
        address, {"inputs": {"x": "Hello"}}, content_type="application/json"
    )
    run = Run.objects.get()
    assert answer.json() == {"run": str(run.pk), "url": reverse("runner:run", args=[run.pk])}


@pytest.mark.parametrize("inputs", [{}, {"x": "a", "z": 1}])
def test_inputs_that_do_not_fit_are_named(world: World, inputs: dict[str, Any]) -> None:
    address = reverse("runner:start", args=[chained(world).pk])
    answer = client_of(world).post(address, {"inputs": inputs}, content_type="application/json")
    assert answer.status_code == 422
    assert "Inputs: x" in answer.json()["messages"][0]
    assert not Run.objects.exists()


def test_a_form_that_lacks_an_input_says_so(world: World) -> None:
    answer = client_of(world).post(reverse("runner:start", args=[chained(world).pk]), {})
    assert answer.status_code == 422
    assert "is missing" in answer.text


def test_inputs_are_an_object(world: World) -> None:
    address = reverse("runner:start", args=[chained(world).pk])
    answer = client_of(world).post(address, {"inputs": [1]}, content_type="application/json")
    assert answer.status_code == 400


def test_a_node_s_last_step_is_shown(world: World) -> None:
    world.pipeline = chained(world)
    run = ended(world)
    address = reverse("runner:step_preview", args=[run.pipeline_id, "s0"])
    assert client_of(world, "viewer").get(address).text == ""
    assert "Pin a value" in client_of(world).get(address).text
    a_step(run, first_seq=1, last_seq=1)
    an_event(run, 1, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "The answer"}, seconds=1.0)
    assert "The answer" in client_of(world).get(address).text


def test_figures_of_pipelines_cost_the_same_however_many(world: World) -> None:
    client, run = client_of(world), ended(world)
    address = reverse("runner:pipeline_figures")
    client.get(address, {"pipeline": [str(run.pipeline_id)]})
    with CaptureQueriesContext(connection) as few:
        client.get(address, {"pipeline": [str(run.pipeline_id)]})
    for _ in range(25):
        ended(world)
    asked = [str(run.pipeline_id), str(chained(world).pk), "no id"]
    with CaptureQueriesContext(connection) as many:
        answer = client.get(address, {"pipeline": asked})
    assert len(many) == len(few)
    row = next(row for row in answer.context["rows"] if row["pk"] == run.pipeline_id)
    assert (row["p50"], row["runs"], row["said"]) == (
        "2.0 s",
        26,
        "20 of the last 20 runs succeeded",
    )
    assert "never" in answer.text
    assert " style=" not in answer.text


def test_figures_are_of_pipelines_that_one_sees(world: World) -> None:
    asked = {"pipeline": str(ended(world).pipeline_id)}
    answer = client_of(world, "outsider").get(reverse("runner:pipeline_figures"), asked)
    assert answer.context["rows"] == []


# Workers and LM profiles


def test_the_workers_page_counts_the_person_s_own_runs(world: World) -> None:
    world.run()
    waiting = client_of(world).get(reverse("runner:workers")).context["waiting"]
    assert {each["status"]: each["count"] for each in waiting}["queued"] == 1
    seen = client_of(world, "outsider").get(reverse("runner:workers"), {"part": "waiting"})
    assert not any(each["count"] for each in seen.context["waiting"])


@pytest.mark.parametrize(
    ("settings", "said"), [({"rules": [{"answer": "Fine"}]}, "Answered in"), ({"rules": 1}, "")]
)
def test_a_profile_is_tested_with_a_call(world: World, settings: Any, said: str) -> None:
    profile = LMProfile.objects.create(
        project=world.project, name="fast", adapter="scripted", settings=settings
    )
    answer = client_of(world).post(reverse("runner:test_lm_profile", args=[profile.pk]))
    assert answer.status_code == 200
    assert said in answer.text
