"""Runs in a real database, and a real runner that executes them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import User

from pipelines import services
from pipelines.graph.graph import Edge, Graph, Node
from pipelines.models import LMProfile, PipelineVersion
from runner.dispatcher import Runner
from runner.engine.events import RunStatus
from runner.models import Run
from runner.models.run import FINAL
from runner.recorder import RunState

LOOK = 0.05
"""Seconds between two looks whether all runs have ended."""


class Place:
    """An administrator with a project; Django must be set up, and no event loop run."""

    def __init__(self) -> None:
        self.user = User.objects.create_superuser("bench")
        self.project = services.personal_project(user=self.user)

    def version(self, graph: Graph) -> PipelineVersion:
        pipeline = services.create_pipeline(project=self.project, user=self.user, graph=graph)
        return services.freeze_version(pipeline=pipeline, user=self.user)

    def profile(self, name: str, base_url: str, concurrency: int) -> None:
        """An LM profile for chat completions on loopback."""
        services.approve_host(user=self.user, origin=base_url.removesuffix("/v1"))
        services.save_lm_profile(
            user=self.user,
            profile=LMProfile(
                project=self.project,
                name=name,
                adapter="openai_compatible",
                model="bench",
                base_url=base_url,
                concurrency=concurrency,
            ),
        )

    def queue(self, version: PipelineVersion, inputs: Iterable[dict[str, Any]]) -> None:
        """Rows as `start_run` leaves them, which is a web request's work and not measured here."""
        Run.objects.bulk_create(self._run(version, each) for each in inputs)

    def claimed(self, version: PipelineVersion, inputs: dict[str, Any]) -> RunState:
        """A run that a runner called `bench` has."""
        run = self._run(version, inputs)
        run.status, run.owner, run.epoch = RunStatus.RUNNING.value, "bench", 1
        run.save()
        return RunState(id=run.pk, project_id=run.project_id, owner=run.owner, epoch=run.epoch)

    def _run(self, version: PipelineVersion, inputs: dict[str, Any]) -> Run:
        return Run(
            project=self.project,
            pipeline=version.pipeline,
            version=version,
            author=self.user,
            inputs=inputs,
        )


def chain(nodes: list[Node], source: str, target: str) -> Graph:
    """input.x → each node in turn (from its port `source` to the next one's `target`) → output.y."""
    ends = [("input", "x"), *((node.id, source) for node in nodes)]
    starts = [*((node.id, target) for node in nodes), ("output", "y")]
    return Graph.of(
        [
            Node(id="input", kind="input", config={"fields": [{"name": "x", "type": "str"}]}),
            *nodes,
            Node(id="output", kind="output", config={"fields": [{"name": "y", "type": "str"}]}),
        ],
        [
            Edge(source=end[0], source_port=end[1], target=start[0], target_port=start[1])
            for end, start in zip(ends, starts, strict=True)
        ],
    )


async def all_ended() -> None:
    """Return when no run of the database is queued or goes on; one that failed breaks the benchmark."""
    while await asyncio.to_thread(Run.objects.exclude(status__in=FINAL).exists):
        await asyncio.sleep(LOOK)
    failed = Run.objects.exclude(status=RunStatus.SUCCEEDED)
    for run in await asyncio.to_thread(list, failed[:1]):
        raise AssertionError(f"{run.status}: {run.failure_message}")


async def execute_all(make: Callable[[], Runner]) -> float:
    """Seconds from the runner's start to the end of the last run that was queued before."""
    runner = make()
    started = time.perf_counter()
    runner.start()
    try:
        await all_ended()
        return time.perf_counter() - started
    finally:
        await runner.stop()
