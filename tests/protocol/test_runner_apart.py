"""`manage.py runner` beside `manage.py up --no-runner`: two processes on one database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from runner.management.instance import executing
from runner.models import Run
from runner.services import cancel_run
from tests.protocol.test_runner_up import (
    ROOT,
    Browser,
    inside,
    running,
    session_of,
    slow_run,
    wait_for,
    watched,
)

__all__ = ["inside"]


@contextmanager
def runner(directory: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A running `manage.py runner`."""
    process = subprocess.Popen(
        [sys.executable, "-u", "manage.py", "runner", "--no-warm-up"],
        cwd=ROOT,
        env={**os.environ, "DSPEX_DATA_DIR": str(directory), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "executes runs" in said, said + process.communicate()[0]
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_page_watches_a_run_of_the_other_process_and_a_kill_loses_nothing(
    tmp_path: Path, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, "--no-runner") as up, inside():
        monkeypatch.setattr(settings, "SECRET_KEY", (tmp_path / "secret_key").read_text())
        page = Browser(up.port, session_of(User.objects.get()), up.address)
        run = slow_run()
        page.tell("subscribe", run=str(run.pk))
        with runner(tmp_path) as first:
            wait_for(lambda: run.steps.filter(status="succeeded").exists())
            first.kill()
            first.wait()
        with runner(tmp_path) as second:
            texts, types = watched(page)
            stopped = slow_run_again(run)
            wait_for(lambda: Run.objects.get(pk=stopped.pk).status == "running")
            cancel_run(run=stopped, user=User.objects.get())
            wait_for(lambda: Run.objects.get(pk=stopped.pk).status == "cancelled", seconds=1.0)
            second.send_signal(signal.SIGTERM)
            assert "left to the next one" in second.communicate(timeout=20)[0]
            assert second.returncode == 0
        page.close()
        assert types[0] == "run_started" and types[-1] == "run_finished"
        assert types.count("run_started") == 2
        assert types.count("step_succeeded") == 3
        assert texts == dict.fromkeys(("s0", "s1", "s2"), "Done.")
        assert "Runs that" not in up.end()


def slow_run_again(run: Run) -> Run:
    run.pk, run.status, run.last_seq, run.epoch, run.owner = None, "queued", 0, 0, ""
    run.outputs, run.finished_at, run.started_at = {}, None, None
    run.save(force_insert=True)
    return run


def test_a_database_of_an_older_version_is_said(tmp_path: Path) -> None:
    environment = {**os.environ, "DSPEX_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "manage.py", "runner"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "manage.py migrate" in ended.stderr


def test_only_the_first_one_takes_back_what_the_dead_left(tmp_path: Path) -> None:
    taken: list[str] = []
    with (
        executing(tmp_path, lambda: taken.append("first")),
        executing(tmp_path, lambda: taken.append("second")),
    ):
        pass
    with executing(tmp_path, lambda: taken.append("third")):
        pass
    assert taken == ["first", "third"]
