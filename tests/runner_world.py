"""What tests of runs are made of: people, runs, a recorder and a dispatcher on fake backends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from pipelines.graph import codec
from pipelines.graph.graph import Graph
from pipelines.models import Pipeline, PipelineVersion, Project
from runner.dispatcher import Dispatcher, DispatcherSettings
from runner.engine.events import RunStatus
from runner.engine.execute import Execution
from runner.engine.fake import FakeExecutor, Work
from runner.engine.identity import Facts, Identities
from runner.engine.partial import PartialRun, taking
from runner.engine.step_store import StepStore
from runner.host import ready
from runner.live import Publisher
from runner.lm.budget import Budget
from runner.models import Run
from runner.recorder import DatabaseThread, Recorder, RunState
from tests.graphs import chain

PEOPLE = ("owner", "editor", "viewer", "outsider")


@dataclass
class World:
    """An owner, an editor and a viewer of one project, and an outsider."""

    project: Project
    pipeline: Pipeline

    def person(self, name: str) -> User:
        return User.objects.get(username=name)

    def version(self, graph: Graph | None = None) -> PipelineVersion:
        text = codec.dump(graph or chain(3))
        version, _ = PipelineVersion.objects.get_or_create(
            pipeline=self.pipeline, content_hash=str(hash(text)), defaults={"text": text}
        )
        return version

    def run(self, graph: Graph | None = None, **fields: Any) -> Run:
        """A run as `start_run` leaves it."""
        return Run.objects.create(
            project=self.project,
            pipeline=self.pipeline,
            version=self.version(graph),
            author=self.person("owner"),
            **{"inputs": {"x": "a"}, **fields},
        )

    def claimed(self, **fields: Any) -> tuple[Run, RunState]:
        """A run that a runner has, and what that runner knows of it."""
        run = self.run(**{"status": RunStatus.RUNNING, "owner": "me", "epoch": 1, **fields})
        return run, RunState(id=run.pk, project_id=run.project_id, owner=run.owner, epoch=run.epoch)


class Database:
    """Points every thread's connection at another file, or another database of the same server."""

    def __init__(self, name: Path | str) -> None:
        self._path = str(name)

    def __enter__(self) -> None:
        self._own = connections["default"]
        self._settings = connections.settings["default"]
        self._name, self._settings["NAME"] = self._settings["NAME"], self._path
        connections["default"] = connections.create_connection("default")

    def __exit__(self, *error: object) -> None:
        connections["default"].close()
        self._settings["NAME"] = self._name
        connections["default"] = self._own


class OtherDatabase:
    """Points this thread's connection, and those that threads make anew, at what these settings say."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._wanted = connections.configure_settings({"default": dict(settings)})["default"]

    def __enter__(self) -> None:
        self._own = connections["default"], connections.settings["default"]
        connections.settings["default"] = self._wanted
        connections["default"] = connections.create_connection("default")

    def __exit__(self, *error: object) -> None:
        connections["default"].close()
        connections["default"], connections.settings["default"] = self._own


async def db[T](work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """What the function returns, called where the database may be asked."""
    answer: T = await database_sync_to_async(work)(*arguments, **named)
    return answer


@asynccontextmanager
async def recording(**options: Any) -> AsyncIterator[Recorder]:
    publisher = Publisher(interval=0.001)
    recorder = Recorder(publisher, **{"linger": 0.001, **options})
    publisher.start()
    recorder.start()
    try:
        yield recorder
    finally:
        await recorder.aclose()
        await publisher.aclose()


def facts(**parts: Any) -> Facts:
    """What names mean where nothing has a name."""

    async def collection(name: str) -> str:
        return f"content of {name}"

    known = {"profiles": {"local": "1"}, "default_profile": "local", "dspy": "3", "scope": ""}
    return Facts(**{**known, "collection": collection, **parts})


class FakeHosts:
    """Runs graphs with a FakeExecutor in place of backends."""

    def __init__(self, work: Mapping[str, Work] | None = None) -> None:
        self.executor = FakeExecutor(work, otherwise=lambda call: {"y": call.inputs["x"] + "+"})

    @asynccontextmanager
    async def host(self, assignment: Any) -> AsyncIterator["FakeHosts"]:
        yield self

    async def run(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        *,
        run_id: str,
        budgets: Sequence[Budget] = (),
        tools: object = None,
        run_code: object = None,
        partial: PartialRun | None = None,
        steps: StepStore | None = None,
        pipeline: str = "",
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        execution = Execution(
            ready(graph, partial, inputs),
            run_id=run_id,
            executors=(self.executor,),
            taking=taking(graph, partial, steps) if partial and steps else None,
            identities=Identities(facts(scope=pipeline)),
            deadline=None if timeout is None else asyncio.get_running_loop().time() + timeout,
            **options,
        )
        await execution.run(inputs)

    @property
    def steps(self) -> list[str]:
        return [call.path for call in self.executor.calls]


@asynccontextmanager
async def dispatching(hosts: FakeHosts, **settings: Any) -> AsyncIterator[Dispatcher]:
    """A runner on fake backends."""
    async with recording() as recorder:
        thread = DatabaseThread("dispatcher")
        thread.start()
        dispatcher = Dispatcher(
            publisher=recorder.publisher,
            recorder=recorder,
            thread=thread,
            hosts=hosts,
            settings=DispatcherSettings(**{"poll": 0.01, **settings}),
        )
        dispatcher.start()
        try:
            yield dispatcher
        finally:
            await dispatcher.stop()
            await thread.aclose()


async def ended(run: Run, *statuses: RunStatus) -> Run:
    """The run, when it has one of these statuses (a final one unless told)."""
    async with asyncio.timeout(5):
        while True:
            found = await db(Run.objects.get, pk=run.pk)
            if found.is_final if not statuses else found.status in statuses:
                return found
            await asyncio.sleep(0.002)
