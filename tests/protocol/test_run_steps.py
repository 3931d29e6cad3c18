"""A step of a run in full, and values had whole."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from runner.engine.events import EventType, RunStatus, StepStatus
from runner.models import Attempt
from tests.graphs import chain
from tests.run_rows import a_step, an_event, client_of, ended
from tests.runner_world import World

pytest_plugins = ["tests.runner_fixtures"]


def test_a_step_shows_what_went_in_and_what_was_asked(world: World) -> None:
    run = ended(world)
    a_step(run, first_seq=1, last_seq=3, reason="It is quicker.")
    an_event(run, 1, EventType.STEP_STARTED, "s0", kind="predict", inputs={"x": "A question"})
    an_event(
        run,
        2,
        EventType.LM_CALL,
        "s0",
        call=1,
        model="small",
        messages=[{"role": "user", "content": "The prompt"}],
        response="The reply",
        usage={"input_tokens": 7, "output_tokens": 2, "cost": 0.001},
    )
    an_event(run, 3, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "The answer"}, seconds=1.0)
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    for said in (
        "A question",
        "The prompt",
        "The reply",
        "The answer",
        "It is quicker.",
        "$0.0010",
    ):
        assert said in text


def test_a_step_says_how_it_crossed_to_its_worker(world: World) -> None:
    run = ended(world)
    a_step(run, first_seq=1, last_seq=400)
    for number in range(1, 399):
        an_event(run, number, EventType.TRACE, "s0", name="tool", tool="search")
    an_event(
        run,
        399,
        EventType.TRACE,
        "s0",
        name="bridge",
        worker=4711,
        pool="neural",
        format="messagepack",
        bytes_out=2_200_000,
        bytes_in=900,
        shared_out=2_199_000,
        shared_in=0,
        tables=1,
        ms=12.34,
        queued_ms=12.34,
        worked_ms=2_468.0,
    )
    an_event(run, 400, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "The answer"}, seconds=1.0)
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    for said in (
        "process 4711 of pool neural",
        "messagepack, arrow",
        "2.1\xa0MB",
        "900\xa0bytes",
        "12.3 ms",
        "2.5 s",
        # The step's time: queue, bridge and worker, in hundredths of it.
        'data-part="queue" x="0.00" y="0" width="0.50"',
        'data-part="bridge" x="0.50" y="0" width="0.50"',
        'data-part="worker" x="0.99" y="0" width="99.01"',
        "2.1\xa0MB through shared memory · 1 table in Arrow",
    ):
        assert said in text


def test_a_call_says_what_it_waited_for_and_each_answer_that_was_rejected(world: World) -> None:
    run = ended(world)
    a_step(run, first_seq=1, last_seq=1)
    tokens = {"input_tokens": 70, "output_tokens": 20, "cost": 0.5}
    told = {"cached_input_tokens": 64, "reasoning_tokens": 12}
    an_event(
        run,
        1,
        EventType.LM_CALL,
        "s0",
        response="fine",
        usage={**tokens, **told},
        attempts=2,
        waited_s=1.5,
        first_token_s=0.25,
        tokens_per_s=38.2,
        rejected=[{"response": "<i>no", "problem": "it is no JSON (line 1).", "usage": tokens}],
    )
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    for said in (
        "waited 1.5 s for the profile&#x27;s limits · 1 answer rejected · 1 further attempt after",
        "64 of 70 tokens in from the provider&#x27;s prompt cache · 12 of 20 tokens out for reasoning",
        *("&lt;i&gt;no", "it is no JSON (line 1).", "0.25 s", "$0.50"),
    ):
        assert said in text, said


def test_an_older_call_without_those_figures_is_still_shown(world: World) -> None:
    run = ended(world)
    a_step(run, first_seq=1, last_seq=1)
    an_event(run, 1, EventType.LM_CALL, "s0", response="fine", usage={"input_tokens": 7})
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    assert "fine" in text and 'class="notes"' not in text


def test_an_attempt_whose_runner_died_does_not_run_for_ever(world: World) -> None:
    run = ended(world, epoch=2)
    a_step(run, first_seq=1, last_seq=1)
    now = timezone.now()
    for epoch, status in ((1, StepStatus.RUNNING), (2, StepStatus.SUCCEEDED)):
        Attempt.objects.create(
            run=run, step="s0", epoch=epoch, number=1, status=status, started_at=now
        )
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    assert "Cut off when its runner ended" in text and "Running" not in text


def test_tracebacks_are_not_for_those_who_only_look(world: World) -> None:
    run = ended(world, status=RunStatus.FAILED)
    step = a_step(run, status=StepStatus.FAILED, first_seq=1, last_seq=1)
    failure = {"code": "internal", "message": "It broke", "traceback": "File secret.py"}
    an_event(run, 1, EventType.STEP_FAILED, "s0", failure=failure, seconds=1.0)
    Attempt.objects.create(
        run=run, step=step.path, epoch=1, number=1, status="failed", started_at=timezone.now()
    )
    address = reverse("runner:step", args=[run.pk]) + "?path=s0"
    assert "secret.py" in client_of(world, "editor").get(address).text
    seen = client_of(world, "viewer").get(address).text
    assert "It broke" in seen
    assert "secret.py" not in seen


def test_what_helps_is_said_with_the_failure_and_the_raw_answer(world: World) -> None:
    run = ended(world, status=RunStatus.FAILED, failed_step="s0")
    a_step(run, status=StepStatus.FAILED, first_seq=1, last_seq=1)
    failure = {
        "code": "unparsable_answer",
        "message": "No fields",
        "details": {"answer": "I <b>won't</b>"},
    }
    an_event(run, 1, EventType.STEP_FAILED, "s0", failure=failure, seconds=1.0)
    text = client_of(world).get(reverse("runner:run", args=[run.pk])).text
    assert "I &lt;b&gt;won&#x27;t&lt;/b&gt;" in text
    assert "plainer instructions" in text
    assert 'data-shows="s0"' in text


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [({"s0": "succeeded", "s1": "failed", "s2": "skipped"}, "s1"), ({"s0": "waiting"}, "s0")],
)
def test_a_run_opens_on_the_step_that_says_most(
    world: World, statuses: dict[str, str], shown: str
) -> None:
    run = ended(world, status=RunStatus.FAILED)
    for path, status in statuses.items():
        a_step(run, path, status=status)
    answer = client_of(world).get(reverse("runner:step", args=[run.pk]))
    assert f'data-shows="{shown}"' in answer.text


def test_input_and_output_are_steps_to_look_at(world: World) -> None:
    run = ended(world, outputs={"y": "The answer"})
    address, client = reverse("runner:step", args=[run.pk]), client_of(world)
    assert "The answer" in client.get(address, {"path": "output"}).text
    assert "The run ended before this step" in client.get(address, {"path": "s2"}).text


def test_a_step_that_waits_shows_a_form_to_those_who_may_answer(world: World) -> None:
    run = world.run(status=RunStatus.WAITING)
    a_step(run, status=StepStatus.WAITING, first_seq=1, last_seq=2)
    an_event(run, 1, EventType.STEP_STARTED, "s0", kind="approve", inputs={"value": "<Draft>"})
    an_event(run, 2, EventType.STEP_WAITING, "s0", question="May it go?", editable=True)
    address = reverse("runner:step", args=[run.pk]) + "?path=s0"
    text = client_of(world, "editor").get(address).text
    assert "May it go?" in text
    assert "&lt;Draft&gt;</textarea>" in text
    assert reverse("runner:answer", args=[run.pk]) in text
    assert "<form" not in client_of(world, "viewer").get(address).text


def test_what_is_shown_of_a_step_follows_it_until_it_has_ended(world: World) -> None:
    run = world.run(chain(2), status=RunStatus.RUNNING)
    step = a_step(run, status=StepStatus.RUNNING, first_seq=1, last_seq=1)
    address, follows = reverse("runner:step", args=[run.pk]), 'hx-trigger="run-changed'
    client = client_of(world)
    assert all(follows in client.get(address, {"path": path}).text for path in ("s0", "s1"))
    step.status = StepStatus.CANCELLED
    step.save()
    assert follows not in client.get(address, {"path": "s0"}).text


def test_times_of_both_backends_stand_beside_the_reason(world: World) -> None:
    run = ended(world)
    a_step(run, reason="native: both can")
    begin = timezone.now()
    for number, (backend, took) in enumerate([("native", 1), ("dspy", 3)], start=1):
        Attempt.objects.create(
            **{"run": run, "step": "s0", "epoch": 1, "number": number, "backend": backend},
            **{"status": "succeeded", "started_at": begin},
            finished_at=begin + timedelta(seconds=took),
        )
    text = client_of(world).get(reverse("runner:step", args=[run.pk]), {"path": "s0"}).text
    assert "p50 1.0 s" in text
    assert "p50 3.0 s" in text


# Values


def test_a_value_is_had_whole_as_a_file_that_runs_nothing(world: World) -> None:
    large = "<script>" + "x" * 30_000
    run = ended(world, outputs={"y": large, "z": {"a": [1]}})
    address, client = reverse("runner:value", args=[run.pk]), client_of(world)
    answer = client.get(address, {"place": "outputs/y"})
    assert answer.text == large
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert client.get(address, {"place": "outputs/z"}).text == '{"a":[1]}'


@pytest.mark.parametrize("place", ["", "outputs/none", "author/id", "inputs/x/y", "outputs/\x00"])
def test_a_value_that_is_not_there_is_not_found(world: World, place: str) -> None:
    address = reverse("runner:value", args=[ended(world).pk])
    assert client_of(world).get(address, {"place": place}).status_code == 404


def test_a_step_s_value_is_had_whole(world: World) -> None:
    run = ended(world)
    a_step(run, first_seq=1, last_seq=1)
    an_event(run, 1, EventType.STEP_SUCCEEDED, "s0", outputs={"y": "Its own"}, seconds=1.0)
    asked = {"path": "s0", "place": "outputs/y"}
    address = reverse("runner:value", args=[run.pk])
    assert client_of(world).get(address, asked).text == "Its own"


def test_a_step_that_is_not_there_is_not_found(world: World) -> None:
    address = reverse("runner:step", args=[ended(world).pk])
    assert client_of(world).get(address, {"path": "nowhere\x00"}).status_code == 404
