"""Builds gateway, backends, router and engine from plain values, and runs graphs with them.

The only place that knows both backends. It lives on one event loop and owns what it starts: closing
it ends the workers and the embedded model.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.validate import Problem, validate
from runner.bridge.executor import DSPyExecutor
from runner.bridge.pool import Pool, PoolSettings
from runner.engine.errors import InvalidInput, MissingPackages, RunnerError
from runner.engine.events import Chunk, Event, RunStatus
from runner.engine.execute import Execution
from runner.engine.inputs import check_inputs
from runner.engine.journal import Journal, MemoryJournal
from runner.engine.plan import plan
from runner.engine.results import RunResult, take
from runner.engine.router import RouterSettings
from runner.lm.adapters.catalogue import Adapters
from runner.lm.cache import MemoryResponseCache, ResponseCache
from runner.lm.gateway import Gateway
from runner.lm.local_model import LOCAL_PROFILE
from runner.lm.replay import ReplayLog
from runner.lm.types import LMProfile
from runner.native.corpus import Corpus, FolderCorpus
from runner.native.executor import NativeExecutor
from runner.native.token_encoder import TokenEncoder, check_packages


def _cache_directory() -> Path:
    """The user's own cache directory: what is in it can be made again."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative one counts as not set: so the XDG specification says.
    return (base if base.is_absolute() else Path.home() / ".cache") / "dspex"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Everything that a host needs to know. `profiles` by name; the embedded model is `local`."""

    profiles: Mapping[str, LMProfile] = field(default_factory=lambda: {"local": LOCAL_PROFILE})
    default_profile: str = "local"
    router: RouterSettings = field(default_factory=RouterSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    cache_directory: Path = field(default_factory=_cache_directory)


class InvalidPipeline(GraphError):
    """The pipeline has problems; `problems` lists them all."""

    code = "invalid_pipeline"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The pipeline can't run; mend {len(problems)}:\n{lines}")

    def __reduce__(self) -> tuple[Any, ...]:  # else a process pool of the caller's breaks on it
        return type(self), (self.problems,)


class RunFailed(RunnerError):
    """The run did not succeed. `result` is the run as far as it went."""

    code = "run_failed"

    def __init__(self, result: RunResult) -> None:
        self.result = result
        reason = result.failure.message if result.failure else f"it ended as {result.status}"
        where = f" at step '{result.failed_step}'" if result.failed_step else ""
        super().__init__(f"Run {result.run_id} {result.status}{where}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)


class Shared:
    """The costly parts, which several hosts may have in common: workers, adapters with the embedded
    model, and the encoder of late interaction."""

    def __init__(self, settings: HostSettings) -> None:
        self.pool = Pool(settings.pool)
        self.adapters = Adapters()
        self.encoder = TokenEncoder()

    async def aclose(self) -> None:
        """End workers, connections and the embedded model."""
        await self.pool.aclose()
        await self.adapters.aclose()


class Host:
    """Runs pipelines. Use as an async context manager, or call `aclose` in the end.

    What is kept longer than the process goes in by its seam: `corpus`, `replay_log`,
    `response_cache`, and a journal per run. Left out, memory has it. What is `shared` is closed by
    whoever made it.
    """

    def __init__(
        self,
        settings: HostSettings | None = None,
        *,
        corpus: Corpus | None = None,
        replay_log: ReplayLog | None = None,
        response_cache: ResponseCache | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.settings = settings or HostSettings()
        self._shared = shared or Shared(self.settings)
        self._owns_shared = shared is None
        self.gateway = Gateway(
            self.settings.profiles,
            default=self.settings.default_profile,
            replay_log=replay_log,
            response_cache=response_cache or MemoryResponseCache(),
            adapters=self._shared.adapters,
        )
        corpus = corpus or FolderCorpus(self.settings.cache_directory / "collections")
        self.native = NativeExecutor(self.gateway, corpus, encoder=self._shared.encoder)
        self.pool = self._shared.pool
        self.dspy = DSPyExecutor(self.pool, self.gateway, tools={"retrieve": self.native.retrieve})

    async def run(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        *,
        run_id: str = "",
        timeout: float | None = None,
        journal: Journal | None = None,
        recorded: Mapping[str, Mapping[str, Any]] | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> RunResult:
        """Run a graph to its end, whatever that is; `timeout` is in seconds.

        `recorded` gives the outputs of steps that need not run again, by path. Raises InvalidPipeline
        and InvalidInput before anything runs. Events and chunks are told on the event loop, in order.
        Cancel the task to cancel the run.
        """
        if problems := validate(graph):
            raise InvalidPipeline(problems)
        planned = plan(graph)
        checked_inputs = check_inputs(planned, inputs)
        if timeout is not None and not timeout > 0:  # NaN would upset the event loop's timers
            raise InvalidInput(f"A timeout is a number of seconds above 0, not {timeout!r}.")
        run_id = run_id or secrets.token_hex(8)
        result = RunResult(run_id=run_id)
        loop = asyncio.get_running_loop()
        execution = Execution(
            planned,
            run_id=run_id,
            executors=(self.native, self.dspy),
            journal=_Telling(journal or MemoryJournal(), result, on_event),
            on_chunk=on_chunk,
            router=self.settings.router,
            recorded=recorded,
            deadline=None if timeout is None else loop.time() + timeout,
        )
        try:
            await execution.run({name: checked_inputs[name] for name in inputs})
        finally:
            await self.pool.release_run(run_id)
        return result

    async def health(self) -> dict[str, Any]:
        """What works: `ok`, and a part's state with the mend where it does not."""
        profiles = {
            state.name: {"adapter": state.adapter, "ok": state.ok, "detail": state.detail}
            for state in self.gateway.health()
        }
        pool = await self.pool.health()
        retrieval = _retrieval_health()
        parts = (profiles[self.settings.default_profile], pool, retrieval)
        works = all(part["ok"] for part in parts)
        return {"ok": works, "lm": profiles, "pool": pool, "retrieval": retrieval}

    async def aclose(self) -> None:
        """End workers and the embedded model, unless they are shared. Runs still going must have been
        cancelled before."""
        await self.gateway.aclose()
        if self._owns_shared:
            await self._shared.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _retrieval_health() -> dict[str, Any]:
    try:
        check_packages()
    except MissingPackages as missing:
        return {"ok": False, "detail": missing.message}
    return {"ok": True, "detail": "Late interaction is loaded on first use."}


class _Telling:
    """A journal that also folds the events into the result, and tells them."""

    def __init__(self, journal: Journal, result: RunResult, tell: Callable[[Event], None]) -> None:
        self.journal = journal
        self.result = result
        self.tell = tell

    def append(self, event: Event) -> None:
        take(self.result, event)
        self.journal.append(event)
        self.tell(event)

    async def commit(self) -> None:
        await self.journal.commit()


def checked(result: RunResult) -> RunResult:
    """The result of a run that succeeded; RunFailed for every other."""
    if result.status is not RunStatus.SUCCEEDED:
        raise RunFailed(result)
    return result
