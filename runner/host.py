"""Builds gateway, backends, router and engine from plain values, and runs graphs with them.

The only place that knows both backends. It lives on one event loop and owns what it starts: closing
it ends the workers and the embedded model.
"""

import asyncio
import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.validate import Problem, validate
from runner.bridge.executor import DSPyExecutor
from runner.bridge.pool_settings import PoolSettings, with_defaults
from runner.bridge.pools import Pools
from runner.bridge.references import RunScope, pinned_runner
from runner.bridge.tools import REGISTERED, HostTool, search_tool
from runner.engine.errors import InvalidInput, MissingPackages, RunnerError
from runner.engine.events import Chunk, Event, EventType, RunStatus, StepStatus
from runner.engine.execute import Execution
from runner.engine.figures import FigureStore, MemoryFigures
from runner.engine.identity import Facts, Identities, Meanings
from runner.engine.inputs import check_inputs
from runner.engine.journal import Journal, MemoryJournal
from runner.engine.partial import PartialRun, check_partial, concerned, partial_plan, taking
from runner.engine.plan import Plan, plan
from runner.engine.results import RunResult, take
from runner.engine.resuming import Earlier
from runner.engine.router import Router, RouterSettings
from runner.engine.step_store import StepStore
from runner.engine.waits import RunControl
from runner.lm.adapters.catalogue import Adapters
from runner.lm.budget import Budget, Ledger
from runner.lm.cache import MemoryResponseCache, ResponseCache
from runner.lm.call_record import CallRecord
from runner.lm.gateway import Gateway
from runner.lm.local_model import LOCAL_PROFILE
from runner.lm.replay import ReplayLog
from runner.lm.throttle import Throttles
from runner.lm.types import LMProfile
from runner.native.corpus import Corpus, FolderCorpus
from runner.native.executor import NativeExecutor
from runner.native.http_request import Sites
from runner.native.token_encoder import TokenEncoder, check_packages

PLANS = 32
"""Graphs that were run last, kept with their plans."""


def _cache_directory() -> Path:
    """The user's own cache directory: what is in it can be made again."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative one counts as not set: so the XDG specification says.
    return (base if base.is_absolute() else Path.home() / ".cache") / "dspex"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Everything that a host needs to know. `profiles` by name; the embedded model is `local`.
    `pools` replaces DSPex's own pools of the same names. `sites` is where http_request nodes may send
    to: nowhere, unless it is said. `tools` may be used by every pipeline, beside those that an
    installed app registered and a run is allowed. `run_code` lets DSPy modules run code that a
    language model writes, in DSPy's sandbox."""

    profiles: Mapping[str, LMProfile] = field(default_factory=lambda: {"local": LOCAL_PROFILE})
    default_profile: str = "local"
    router: RouterSettings = field(default_factory=RouterSettings)
    pools: tuple[PoolSettings, ...] = ()
    cache_directory: Path = field(default_factory=_cache_directory)
    sites: Sites = field(default_factory=Sites)
    tools: tuple[HostTool, ...] = ()
    run_code: bool = False


class InvalidPipeline(GraphError):
    """The pipeline has problems; `problems` lists them all."""

    code = "invalid_pipeline"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The pipeline can't run; mend {len(problems)}:\n{lines}")

    def __reduce__(self) -> tuple[Any, ...]:  # else a process pool of the caller's breaks on it
        return type(self), (self.problems,)


def ready(
    graph: Graph,
    partial: PartialRun | None,
    inputs: Collection[str],
    further: Sequence[Problem] = (),
) -> Plan:
    """The plan of a graph, or of a part of it, that is given inputs of these names. Raises
    InvalidPipeline with the problems of what takes part, those that were found elsewhere too."""
    problems = [*validate(graph), *further]
    if partial is None:
        if problems:
            raise InvalidPipeline(problems)
        return plan(graph)
    check_partial(graph, partial)
    nodes = concerned(graph, partial)
    if problems := [each for each in problems if each.node is None or each.node in nodes]:
        raise InvalidPipeline(problems)
    return partial_plan(graph, partial, inputs)


class RunFailed(RunnerError):
    """The run did not succeed. `result` is the run as far as it went."""

    code = "run_failed"

    def __init__(self, result: RunResult) -> None:
        self.result = result
        reason = result.failure.message if result.failure else _unfinished(result)
        where = f" at step '{result.failed_step}'" if result.failed_step else ""
        super().__init__(f"Run {result.run_id} {result.status}{where}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)


def _unfinished(result: RunResult) -> str:
    if result.status is not RunStatus.WAITING:
        return f"it ended as {result.status}"
    asking = [path for path, step in result.steps.items() if step.status is StepStatus.WAITING]
    return f"a person has to answer at {', '.join(asking)} (give `answers` by step path)"


class Shared:
    """What several hosts may have in common: the costly parts (workers, adapters with the embedded model,
    the encoder of late interaction), and what holds for all of them together (the limits of LM
    profiles, budgets, the router's figures). `tell` hears of every LM call."""

    def __init__(
        self,
        settings: HostSettings,
        *,
        tell: Sequence[Callable[[CallRecord], None]] = (),
        figures: FigureStore | None = None,
    ) -> None:
        self.figures = figures or MemoryFigures()
        self.pools = Pools(with_defaults(settings.pools))
        self.adapters = Adapters()
        self.throttles = Throttles()
        self.ledger = Ledger()
        self.tell = tuple(tell)
        self.encoder = TokenEncoder()
        self._plans: OrderedDict[int, tuple[Graph, Plan, Meanings]] = OrderedDict()

    def plan(self, graph: Graph) -> tuple[Plan, Meanings]:
        """The plan of a graph, with the meanings of its steps, made once as long as it is the same
        object; InvalidPipeline."""
        known = self._plans.get(id(graph))
        if known is None:
            # The graph is kept so that its id stays its own.
            known = self._plans[id(graph)] = (graph, ready(graph, None, ()), Meanings())
            if len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(id(graph))
        return known[1:]

    async def aclose(self) -> None:
        """End workers, connections and the embedded model."""
        await self.pools.aclose()
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
        scope: str = "",
    ) -> None:
        """`scope` keeps the router's figures and recorded steps apart from those of other hosts with
        what they share."""
        self.settings = settings or HostSettings()
        self._shared = shared or Shared(self.settings)
        self._owns_shared = shared is None
        self._scope = scope
        self._profile_digests = {
            name: _profile_digest(profile) for name, profile in self.settings.profiles.items()
        }
        self.router = Router(
            self.settings.router,
            self._shared.figures,
            scope=scope,
            default_lm=self.settings.default_profile,
        )
        self.gateway = Gateway(
            self.settings.profiles,
            default=self.settings.default_profile,
            replay_log=replay_log,
            response_cache=response_cache or MemoryResponseCache(),
            adapters=self._shared.adapters,
            throttles=self._shared.throttles,
            ledger=self._shared.ledger,
            tell=self._shared.tell,
        )
        self._corpus = corpus or FolderCorpus(self.settings.cache_directory / "collections")
        self.native = NativeExecutor(
            self.gateway, self._corpus, encoder=self._shared.encoder, sites=self.settings.sites
        )
        self.pools = self._shared.pools
        self.dspy = DSPyExecutor(
            self.pools,
            self.gateway,
            tools={"retrieve": self.native.retrieve},
            native=self.native,
        )

    async def run(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        *,
        run_id: str = "",
        timeout: float | None = None,
        journal: Journal | None = None,
        recorded: Mapping[str, Mapping[str, Any]] | None = None,
        earlier: Earlier | None = None,
        control: RunControl | None = None,
        budgets: Sequence[Budget] = (),
        tools: Collection[str] = (),
        run_code: bool | None = None,
        partial: PartialRun | None = None,
        steps: StepStore | None = None,
        pipeline: str = "",
        session: str = "",
        on_event: Callable[[Event], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> RunResult:
        """Run a graph to its end, whatever that is; `timeout` is in seconds.

        `recorded` gives the outputs of steps that need not run again, by path, and `earlier` what else
        an earlier runner left. `control` answers the steps that wait for a person, now or later; a run
        in which nothing but such steps is left ends as `waiting`, to be run again with what it recorded
        and the answers. Its LM calls count for `budgets`. `partial` runs a part, whose other steps take
        what `steps` has of this `pipeline`; in a run of one step, `inputs` are the step's. Steps of one
        `session` (the pipeline, unless one is named) find the worker that knows them, where pools keep
        workers. With a `journal` of the caller's the result has how the run ended and not its steps,
        which may be thousands. Raises InvalidPipeline and InvalidInput before anything runs. Events and
        chunks are told on the event loop, in order. Cancel the task to cancel the run.
        """
        meanings = Meanings()
        if partial is None:
            planned, meanings = self._shared.plan(graph)
        else:
            planned = ready(graph, partial, inputs)
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
            journal=_Telling(journal, result, on_event),
            on_chunk=on_chunk,
            router=self.router,
            recorded=recorded,
            earlier=earlier,
            taking=taking(graph, partial, steps) if partial and steps else None,
            identities=Identities(self._facts(pipeline), meanings) if steps else None,
            control=control,
            deadline=None if timeout is None else loop.time() + timeout,
        )
        self._shared.ledger.open(run_id, budgets)
        self.dspy.scopes[run_id] = RunScope(
            tools=self._tools(tools),
            pipeline=pinned_runner(graph.pipelines, self.native),
            run_code=self.settings.run_code if run_code is None else run_code,
            tool_steps=execution.tool_steps,
            session=session or pipeline,
        )
        try:
            await execution.run({name: checked_inputs[name] for name in inputs})
        finally:
            del self.dspy.scopes[run_id]
            execution.release()
            self._shared.ledger.close(run_id)
            await self.pools.release_run(run_id)
        return result

    def _facts(self, pipeline: str) -> Facts:
        return Facts(
            scope=f"{self._scope}:{pipeline}",
            profiles=self._profile_digests,
            default_profile=self.settings.default_profile,
            dspy=_dspy_version(),
            collection=self._corpus.version,
        )

    def _tools(self, allowed: Collection[str]) -> dict[str, HostTool]:
        """What a run's modules may call: the host's own, those of its settings, those it is allowed."""
        own = (search_tool(self.native.retrieve), *self.settings.tools)
        registered = (REGISTERED[name] for name in allowed if name in REGISTERED)
        return {tool.name: tool for tool in (*registered, *own)}

    async def health(self) -> dict[str, Any]:
        """What works: `ok`, and a part's state with the mend where it does not."""
        profiles = {
            state.name: {"adapter": state.adapter, "ok": state.ok, "detail": state.detail}
            for state in self.gateway.health()
        }
        pool = await self.pools.general.health()
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


@cache
def _dspy_version() -> str:
    """Of what is installed; read without importing it."""
    with suppress(PackageNotFoundError):
        return version("dspy")
    with suppress(PackageNotFoundError):
        return version("dspy-ai")
    return ""


def _profile_digest(profile: LMProfile) -> str:
    """Changes with everything of the profile but its key."""
    text = msgspec.json.encode(
        msgspec.structs.replace(profile, api_key=""), order="sorted", enc_hook=repr
    )
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _retrieval_health() -> dict[str, Any]:
    try:
        check_packages()
    except MissingPackages as missing:
        return {"ok": False, "detail": missing.message}
    return {"ok": True, "detail": "Late interaction is loaded on first use."}


# What a result has of a run whose steps are in a journal.
_ENDS = (EventType.RUN_STARTED, EventType.RUN_FINISHED)


class _Telling:
    """A journal that also folds the events into the result, and tells them."""

    def __init__(
        self, journal: Journal | None, result: RunResult, tell: Callable[[Event], None]
    ) -> None:
        self.whole = journal is None
        self.journal = journal or MemoryJournal()
        self.result = result
        self.tell = tell

    def append(self, event: Event) -> None:
        if self.whole or event.type in _ENDS:
            take(self.result, event)
        self.journal.append(event)
        self.tell(event)

    async def check(self, outputs: Mapping[str, Any]) -> None:
        await self.journal.check(outputs)

    async def commit(self) -> None:
        await self.journal.commit()


def checked(result: RunResult) -> RunResult:
    """The result of a run that succeeded; RunFailed for every other."""
    if result.status is not RunStatus.SUCCEEDED:
        raise RunFailed(result)
    return result
