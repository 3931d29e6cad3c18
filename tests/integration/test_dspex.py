"""The Python API in a process of its own: forks, and what crosses to other processes."""

import pickle
import subprocess
import sys
from pathlib import Path

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
