"""A data directory with pipelines, the processes that work on it, and what can be seen of them from outside.

Import it when Django has been set up with the directory.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from pipelines import services
from pipelines.graph import codec
from pipelines.graph.graph import Graph
from pipelines.models import ApprovedHost, LMProfile, Pipeline, PipelineVersion
from runner.engine.events import RunStatus
from runner.models import AllowedTool, Event, ReplayAnswer, Run, Step
from tests.faults.graphs import TOOLS, graphs, sub_pipelines
from tests.faults.model import Model
from tests.faults.tools import SITE

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
LOOK = 0.01
LEASE = 2
"""Seconds: until something that must happen counts as red, between looks, and of leases here."""


class World:
    """The pipelines of one data directory, and their runs."""

    def __init__(self, directory: Path, model: Model) -> None:
        self.directory, self.model = directory, model
        self.user = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser(
            "faults"
        )
        self.project = services.personal_project(user=self.user)
        ApprovedHost.objects.create(origin=model.origin, private_network=True)
        self.profile(
            "counting",
            adapter="openai_compatible",
            model="counting",
            base_url=f"{model.origin}/v1",
            concurrency=32,
        )
        self.model_breaks = False  # whether it breaks connections, so that calls are repeated
        self._versions: dict[str, PipelineVersion] = {}
        os.environ[SITE] = model.origin
        for name, graph in graphs(model.origin).items():
            self.add(name, graph)
        inner = self._versions["native"]
        self.add("sub-pipelines", sub_pipelines(str(inner.pk), inner.graph))

    def profile(self, name: str, **fields: Any) -> None:
        LMProfile.objects.create(project=self.project, name=name, **fields)

    def add(self, name: str, graph: Graph) -> None:
        """A pipeline that can be run by this name."""
        slug = name.replace(" ", "-")
        pipeline = Pipeline.objects.create(project=self.project, name=name, slug=slug)
        self._versions[name] = PipelineVersion.objects.create(
            pipeline=pipeline,
            content_hash=slug,
            text=codec.dump(graph),
            number=1,
            published_at=timezone.now(),
        )
        AllowedTool.objects.bulk_create(AllowedTool(pipeline=pipeline, name=each) for each in TOOLS)

    def run(self, what: str, x: Any) -> Run:
        """A queued run, as `start_run` leaves it."""
        version = self._versions[what]
        return Run.objects.create(
            project=self.project,
            pipeline=version.pipeline,
            version=version,
            author=self.user,
            inputs={"x": _question(what, x)},
        )

    # Looking

    def wait(self, what: str, found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        until = time.monotonic() + seconds
        while not (answer := found()):
            if time.monotonic() > until:
                raise Red(f"no {what} within {seconds:g} s")
            time.sleep(LOOK)
        return answer

    def status(self, run: Run) -> str:
        return Run.objects.values_list("status", flat=True).get(pk=run.pk)

    def ended(self, run: Run, *statuses: RunStatus, seconds: float = PATIENCE) -> Run:
        """The run when it has ended, or has one of these statuses."""
        wanted = statuses or (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
        self.wait(f"end (it is {self.status(run)})", lambda: self.status(run) in wanted, seconds)
        return Run.objects.get(pk=run.pk)

    def kept(self, *runs: UUID) -> set[str]:
        """The requests whose answers the database keeps, of these runs or of all."""
        rows = ReplayAnswer.objects.filter(run__in=runs) if runs else ReplayAnswer.objects.all()
        text = "\n".join(rows.values_list("value", flat=True))
        return set(re.findall(r"k([0-9a-f]{16})(?![0-9a-f])", text))

    def recorded_twice(self) -> int:
        """Steps with more than one result."""
        rows = Event.objects.filter(type="step_succeeded").values_list("run", "step")
        ends = Event.objects.filter(type="run_finished", data__contains='"status":"succeeded"')
        finished = list(ends.values_list("run", flat=True))
        return len(rows) - len(set(rows)) + len(finished) - len(set(finished))

    def check_whole(self, run: Run, *statuses: RunStatus) -> Run:
        """Wait for its success, or one of these; Red when what is recorded of it is not as it must be."""
        found = self.ended(run, *statuses)
        if not statuses and found.status != "succeeded":
            raise Red(f"it {found.status}: {found.failure_message or found.failure_code}")
        if twice := self.recorded_twice():
            raise Red(f"{twice} results were recorded twice")
        if self.half_written(run):
            raise Red("its rows and its events disagree")
        return found

    def half_written(self, run: Run) -> bool:
        """Whether its rows and its events disagree."""
        found = Run.objects.get(pk=run.pk)
        seqs = list(Event.objects.filter(run=run).values_list("seq", flat=True).order_by("seq"))
        told = set(
            Event.objects.filter(run=run, type="step_succeeded").values_list("step", flat=True)
        )
        done = set(Step.objects.filter(run=run, status="succeeded").values_list("path", flat=True))
        return seqs != list(range(1, found.last_seq + 1)) or told != done


class Red(Exception):
    """What must not be. The message says what was seen."""


class Process:
    """A `manage.py` command at work, which leaves what it says in a file."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        says: str,
        prepare: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = directory / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "manage.py", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DSPEX_DATA_DIR": str(directory),
                    "DSPEX_LEASE_SECONDS": str(LEASE),
                    **(environment or {}),
                },
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=prepare,
            )
        until = time.monotonic() + PATIENCE
        while says not in self.said():
            if self.process.poll() is not None or time.monotonic() > until:
                raise Red(f"`manage.py {' '.join(arguments)}` did not start: {self.said()[-500:]}")
            time.sleep(LOOK)

    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """With SIGKILL, and without a word."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


def runner(directory: Path, **options: Any) -> Process:
    return Process(directory, "runner", "--no-warm-up", says="executes runs", **options)


def web(directory: Path, *arguments: str, **options: Any) -> Process:
    return Process(
        directory, "up", "--port", "0", "--no-warm-up", *arguments, says="DSPex is at", **options
    )


def _question(what: str, x: Any) -> Any:
    if what in ("map", "sub-pipelines"):
        return [f"{x} {i}" for i in range(4)]
    if what != "local":
        return str(x)
    return "Tell the story of a fox who travels round the world. Make it as long as you can."


def forget_connections() -> None:
    """Before a fork, and after the database was away."""
    connections.close_all()
