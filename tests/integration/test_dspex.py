"""The Python API in a process of its own: forks, and what crosses to other processes."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dspex

PROJECT = Path(__file__).parents[2]

FORKING = """
import os, sys, dspex
graph = dspex.pipeline([dspex.step("template", template="Hi {{ who }}")])
print(dspex.run_pipeline(graph, {"who": "parent"})["text"], flush=True)
if os.fork() == 0:
    print(dspex.run_pipeline(graph, {"who": "child"})["text"], flush=True)
    sys.exit()
os.wait()
print(dspex.run_pipeline(graph, {"who": "parent again"})["text"])
"""


def greeting() -> dspex.Graph:
    return dspex.pipeline([dspex.step("template", template="Hi {{ who.name }}")])


def test_a_forked_child_runs_pipelines_and_ends_in_order() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.splitlines() == ["Hi parent", "Hi child", "Hi parent again"]


def steps() -> dspex.Graph:
    return dspex.pipeline(
        [
            dspex.step("template", name="first", template="{{ a }}1", gives={"text": "one"}),
            dspex.step("template", name="second", template="{{ one }}2", gives={"text": "two"}),
            dspex.step("template", name="third", template="{{ two }}3"),
        ]
    )


def test_a_part_is_run_and_pinned_outputs_stand_for_steps() -> None:
    to = dspex.run_pipeline(steps(), {"a": "x"}, to="second")
    assert (to.outputs, set(to.steps)) == ({"text": "x12"}, {"first", "second"})
    pinned = {"second": {"text": "pinned"}}
    result = dspex.run_pipeline(steps(), {}, pinned=pinned)
    assert (result["text"], set(result.steps)) == ("pinned3", {"second", "third"})
    *_, end = dspex.stream(steps(), {}, to="third", pinned=pinned)
    assert isinstance(end, dspex.Event) and end.data["outputs"] == {"text": "pinned3"}


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"to": "fourth"}, "no node 'fourth'"),
        ({"pinned": {"fourth": {"text": "a"}}}, "no node 'fourth'"),
        ({"pinned": {"first": {"words": 1}}}, "no output 'words'"),
        ({"pinned": {"first": {"text": ["a"]}}}, "does not fit str"),
    ],
)
def test_a_part_that_there_is_not_is_refused(wish: dict[str, Any], says: str) -> None:
    with pytest.raises(dspex.InvalidInput, match=says):
        dspex.run_pipeline(steps(), {"a": "x"}, **wish)


STORED = """
from django.contrib.auth.models import User
from pipelines.services import create_pipeline, personal_project
from tests.integration.test_dspex import steps
user = User.objects.create_superuser("ada")
create_pipeline(project=personal_project(user=user), user=user, name="Steps", graph=steps())
"""


def test_a_part_of_a_stored_pipeline_takes_what_was_recorded(tmp_path: Path) -> None:
    environment = {**os.environ, "DSPEX_DATA_DIR": str(tmp_path)}

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("migrate", "-v", "0")
    manage("shell", "-v", "0", "-c", STORED)
    assert "x123" in manage("run_pipeline", "Steps", "--input", "a=x")
    again = json.loads(
        manage("run_pipeline", "Steps", "--from", "third", "--input", "a=x", "--json")
    )
    assert again["outputs"] == {"text": "x123"}
    taken = [path for path, step in again["steps"].items() if step["taken_from"]]
    assert taken == ["first", "second"]
    pin = 'second={"text": "pinned"}'
    assert "pinned3" in manage("run_pipeline", "Steps", "--only", "third", "--pin", pin)


def test_errors_cross_to_the_process_that_asked() -> None:
    with pytest.raises(dspex.RunFailed) as failed:
        dspex.run_pipeline(greeting(), {"who": 1})
    with pytest.raises(dspex.InvalidPipeline) as invalid:
        dspex.run_pipeline(dspex.Graph(), {})
    dspex.close()
    assert pickle.loads(pickle.dumps(failed.value)).result.failed_step == "template"
    assert str(pickle.loads(pickle.dumps(invalid.value))) == str(invalid.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_above_0(timeout: float) -> None:
    with pytest.raises(dspex.InvalidInput, match="above 0"):
        dspex.run_pipeline(greeting(), {"who": {}}, timeout=timeout)
    dspex.close()
