"""Running, pinning and stopping a part from the pages: what forms and addresses take, and what is shown."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pipelines.graph.graph import Graph
from pipelines.models import Pipeline
from pipelines.services import create_pipeline
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.models import PinnedOutput, Run, Step
from tests.graphs import chain, edges, interface, node
from tests.run_rows import a_step, an_event, client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


@pytest.fixture
def pipeline(world: World) -> Pipeline:
    owner = world.person("owner")
    made = create_pipeline(project=world.project, user=owner, name="Answer mail", graph=chain(3))
    world.pipeline = Pipeline.objects.select_related("draft").get(pk=made.pk)
    return world.pipeline


def ran(world: World) -> Run:
    """A run whose s0 has given something."""
    run = ended(world)
    a_step(run, "s0", first_seq=1, last_seq=2, identity="a" * 32)
    an_event(run, 1, EventType.STEP_STARTED, "s0", kind="predict", inputs={"x": "a"})
    an_event(run, 2, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "given"}, seconds=1.0)
    return run


def start(client: Client, pipeline: Pipeline, **body: Any) -> Any:
    address = reverse("runner:start", args=[pipeline.pk])
    return client.post(address, json.dumps(body), content_type="application/json")


def test_json_asks_for_a_part(world: World, pipeline: Pipeline) -> None:
    ran(world)
    part = {"mode": "only", "node": "s1", "pins": {"s0": {"y": "pinned"}}}
    answer = start(client_of(world), pipeline, part=part, timeout=5)
    assert answer.status_code == 201, answer.text
    run = Run.objects.get(pk=answer.json()["run"])
    assert (run.inputs, run.timeout) == ({"x": "pinned"}, pytest.approx(5, abs=0.5))
    assert run.whole_part is not None and run.whole_part.pins == part["pins"]
    answer = start(client_of(world), pipeline, part=part, edited={"x": "typed"})
    assert Run.objects.get(pk=answer.json()["run"]).inputs == {"x": "typed"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"part": {"mode": "up", "node": "s1"}}, 422, "not understood"),
        ({"part": {"mode": "from", "node": "gone"}}, 422, "no node"),
        ({"part": {"mode": "only", "node": "s1"}}, 422, "can't run alone"),
        ({"part": [1]}, 400, ""),
        ({"edited": "x"}, 400, ""),
        ({"inputs": {"x": "a"}, "timeout": "soon"}, 422, "number of seconds"),
        ({"inputs": {"x": "a"}, "timeout": -1}, 422, "number of seconds"),
    ],
)
def test_what_can_not_be_run_is_said(
    world: World, pipeline: Pipeline, body: dict[str, Any], status: int, says: str
) -> None:
    answer = start(client_of(world), pipeline, **body)
    assert answer.status_code == status
    assert says in answer.text.replace("\\u0027", "'")
    assert not Run.objects.filter(pipeline=pipeline).exists()


def test_the_panel_s_form_asks_for_a_part_with_what_is_pinned(
    world: World, pipeline: Pipeline
) -> None:
    PinnedOutput.objects.create(
        pipeline=pipeline, author=world.person("owner"), node="s0", outputs='{"y": "pinned"}'
    )
    form = {"input-x": "a", "part-mode": "from", "part-node": "s1", "timeout": "30"}
    answer = client_of(world).post(reverse("runner:start", args=[pipeline.pk]), form)
    assert answer.status_code == 200
    run = Run.objects.get(pipeline=pipeline)
    assert run.whole_part is not None
    assert (run.whole_part.mode, run.whole_part.pins) == ("from", {"s0": {"y": "pinned"}})
    outline = json.loads(answer.text.partition('application/json">')[2].partition("</script>")[0])
    assert outline["steps"] == ["s0", "s1", "s2"]
    assert outline["part"] == ["input", "output", "s0", "s1", "s2"]
    # A plain run takes nothing.
    client_of(world).post(reverse("runner:start", args=[pipeline.pk]), {"input-x": "a"})
    assert Run.objects.filter(pipeline=pipeline, partial="", pins="").count() == 1


def test_an_output_is_pinned_and_unpinned(world: World, pipeline: Pipeline) -> None:
    run, client = ran(world), client_of(world)
    address = reverse("runner:pin", args=[pipeline.pk, "s0"])
    answer = client.post(f"{address}?run={run.pk}")
    assert answer.headers["HX-Trigger"] == "pins-changed"
    assert "Unpin" in answer.text
    assert PinnedOutput.objects.get().value == {"y": "given"}
    panel = client.get(reverse("runner:panel", args=[pipeline.pk])).text
    assert "Pinned outputs" in panel
    other = client_of(world, "editor").get(reverse("runner:panel", args=[pipeline.pk])).text
    assert "Pinned outputs" not in other
    assert "Pin this output" in client.post(f"{address}?off=1").text
    assert not PinnedOutput.objects.exists()


def typed(pipeline: Pipeline, node: str = "s0") -> str:
    return reverse("runner:edit_pin", args=[pipeline.pk, node])


def test_a_value_is_pinned_to_a_node_that_never_ran_edited_and_taken_away(
    world: World, pipeline: Pipeline
) -> None:
    client = client_of(world)
    assert "Unpin" not in client.get(typed(pipeline)).text
    answer = client.post(typed(pipeline), {"output-y": "typed"})
    assert (answer.status_code, answer.headers["HX-Trigger"]) == (200, "pins-changed")
    assert PinnedOutput.objects.get().value == {"y": "typed"}
    dialog = client.get(typed(pipeline)).text
    assert ">typed</textarea>" in dialog and "Unpin" in dialog
    client.post(typed(pipeline), {"output-y": "edited"})
    assert PinnedOutput.objects.get().value == {"y": "edited"}
    assert client.post(typed(pipeline) + "?off=1").headers["HX-Trigger"] == "pins-changed"
    assert not PinnedOutput.objects.exists()


def test_the_dialog_offers_what_the_node_gave_last(world: World, pipeline: Pipeline) -> None:
    ran(world)
    assert ">given</textarea>" in client_of(world).get(typed(pipeline)).text


def test_a_value_of_another_type_is_refused_at_its_field(world: World) -> None:
    steps = Graph.of(
        [
            interface("input", "x"),
            node("s0", signature="x -> count: int, note"),
            interface("output", "y"),
        ],
        edges("input.x -> s0.x\ns0.count -> output.y"),
    )
    owner = world.person("owner")
    made = create_pipeline(project=world.project, user=owner, name="Count", graph=steps)
    answer = client_of(world).post(typed(made), {"output-count": "many", "output-note": "kept"})
    assert answer.status_code == 422
    assert 'id="pin-count-error"' in answer.text and ">many</textarea>" in answer.text
    assert ">kept</textarea>" in answer.text and 'id="pin-note-error"' not in answer.text
    assert "is needed" in client_of(world).post(typed(made), {"output-note": "alone"}).text
    assert not PinnedOutput.objects.exists()
    assert client_of(world).post(typed(made), {"output-count": "3"}).status_code == 200
    assert PinnedOutput.objects.get().value == {"count": 3}


@pytest.mark.parametrize("node", ["input", "gone"])
def test_what_is_no_step_is_not_pinned(world: World, pipeline: Pipeline, node: str) -> None:
    answer = client_of(world).post(typed(pipeline, node), {"output-x": "a"})
    assert answer.status_code == 422
    assert not PinnedOutput.objects.exists()


def test_who_may_only_look_pins_nothing(world: World, pipeline: Pipeline) -> None:
    assert client_of(world, "viewer").post(typed(pipeline), {"output-y": "a"}).status_code == 403
    assert client_of(world, "outsider").get(typed(pipeline)).status_code == 404


def test_the_dialog_offers_what_the_step_was_given_and_runs_it(
    world: World, pipeline: Pipeline
) -> None:
    ran(world)
    address = reverse("runner:step_inputs", args=[pipeline.pk, "s1"])
    client = client_of(world)
    assert ">given</textarea>" in client.get(address).text
    answer = client.post(address, {"edit-x": "edited"})
    assert "hx-partial" in answer.text and "run-live" in answer.text
    run = Run.objects.filter(pipeline=pipeline).latest("created_at")
    assert (run.inputs, run.part and run.part.mode) == ({"x": "edited"}, "only")
    client.post(address, {"edit-x": "given"})
    assert Run.objects.filter(pipeline=pipeline).latest("created_at").inputs == {"x": "given"}


def test_the_panel_offers_the_pipeline_s_inputs_not_a_step_s(
    world: World, pipeline: Pipeline
) -> None:
    world.run(chain(3), inputs={"x": "the pipeline's"})
    world.run(chain(3), inputs={"x": "the step's"}, partial='{"mode":"only","node":"s1"}')
    panel = client_of(world).get(reverse("runner:panel", args=[pipeline.pk])).text
    assert "the pipeline&#x27;s</textarea>" in panel and "the step" not in panel


def test_the_dialog_says_what_is_missing(world: World, pipeline: Pipeline) -> None:
    address = reverse("runner:step_inputs", args=[pipeline.pk, "s2"])
    answer = client_of(world).post(address, {"edit-x": ""})
    assert answer.status_code == 422
    assert "given none yet" in answer.text
    assert client_of(world).get(address.replace("s2", "input")).status_code == 422


def stop(client: Client, run: Run, path: str) -> Any:
    return client.post(reverse("runner:stop_step", args=[run.pk]), {"path": path})


def test_a_step_that_goes_on_can_be_stopped_from_its_page(world: World) -> None:
    run = ended(world, status=RunStatus.RUNNING, finished_at=None)
    a_step(run, status=StepStatus.RUNNING, finished_at=None, seconds=None)
    shown = client_of(world).get(reverse("runner:step", args=[run.pk]) + "?path=s0").text
    assert "Stop this step" in shown
    viewer = client_of(world, "viewer").get(reverse("runner:step", args=[run.pk]) + "?path=s0")
    assert "Stop this step" not in viewer.text
    assert stop(client_of(world), run, "s0").status_code == 204
    run.refresh_from_db()
    assert run.given_stops == {"s0": "owner"}
    refused = stop(client_of(world), run, "s1")
    assert (refused.status_code, "Nothing goes on" in refused.text) == (422, True)
    with_htmx = client_of(world).post(
        reverse("runner:stop_step", args=[run.pk]), {"path": "s1"}, headers={"HX-Request": "true"}
    )
    assert str(run.pk) in with_htmx.headers["HX-Redirect"]


def test_an_item_of_a_map_has_a_stop_of_its_own(world: World) -> None:
    run = ended(world, status=RunStatus.RUNNING, finished_at=None)
    going: dict[str, Any] = {"status": StepStatus.RUNNING, "finished_at": None, "seconds": None}
    a_step(run, "each", **going)
    Step.objects.filter(run=run).update(kind="map")
    a_step(run, "each[2]/work", **going)
    shown = client_of(world).get(reverse("runner:step", args=[run.pk]) + "?path=each[2]/work").text
    assert "Stop item 3" in shown


def test_pages_say_what_was_run_and_where_the_rest_is_from(world: World) -> None:
    first = ended(world)
    part = '{"mode":"from","node":"s1"}'
    run = ended(world, partial=part)
    a_step(run, "s0", taken_from=str(first.pk), seconds=0.0, backend="")
    a_step(run, "s1")
    page = client_of(world).get(reverse("runner:run", args=[run.pk])).text
    assert "From <code>s1</code>" in page and "1 cached" in page
    step = client_of(world).get(reverse("runner:step", args=[run.pk]) + "?path=s0").text
    assert reverse("runner:run", args=[first.pk]) in step
    assert "From <code>s1</code>" in client_of(world).get(reverse("runner:runs")).text
    first.delete()
    step = client_of(world).get(reverse("runner:step", args=[run.pk]) + "?path=s0").text
    assert "which is deleted" in step


def test_a_run_of_one_step_shows_that_alone(world: World) -> None:
    run = ended(world, partial='{"mode":"only","node":"s1"}')
    a_step(run, "s1")
    page = client_of(world).get(reverse("runner:run", args=[run.pk])).text
    assert page.count("Not in this run") == 4  # the other steps, the input and the output
    assert "Run from here" not in page


def test_a_part_of_a_run_is_run_again_from_its_page(world: World) -> None:
    run = ended(world)
    address = reverse("runner:repeat", args=[run.pk])
    answer = client_of(world).post(f"{address}?mode=from&node=s1", headers={"HX-Request": "true"})
    made = Run.objects.exclude(pk=run.pk).get()
    assert str(made.pk) in answer.headers["HX-Redirect"]
    assert made.part is not None
    assert (made.part.mode, made.part.node, made.part.base) == ("from", "s1", str(run.pk))
    assert made.version_id == run.version_id
    client_of(world).post(f"{address}?mode=sideways&node=s1")
    assert Run.objects.count() == 2


@pytest.mark.parametrize(("name", "status"), [("viewer", 403), ("outsider", 404)])
def test_who_may_not_run_may_nothing_of_this(
    world: World, pipeline: Pipeline, name: str, status: int
) -> None:
    run, client = ran(world), client_of(world, name)
    asked = [
        client.post(reverse("runner:pin", args=[pipeline.pk, "s0"]) + f"?run={run.pk}"),
        client.get(reverse("runner:step_inputs", args=[pipeline.pk, "s0"])),
        client.post(reverse("runner:step_inputs", args=[pipeline.pk, "s0"])),
        stop(client, run, "s0"),
        start(client, pipeline, part={"mode": "only", "node": "s1"}),
    ]
    assert {answer.status_code for answer in asked} == {status}


@pytest.mark.parametrize("asked", ["", "no-id", "01890000-0000-7000-8000-000000000000"])
def test_what_no_run_has_given_is_not_pinned(world: World, pipeline: Pipeline, asked: str) -> None:
    address = reverse("runner:pin", args=[pipeline.pk, "s0"])
    assert client_of(world).post(f"{address}?run={asked}").status_code == 404
