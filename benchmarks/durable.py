"""What a step costs that survives a kill: a chain of native steps in one run, each committed before the
next begins, through engine, native backend and recorder into SQLite (WAL, synchronous=NORMAL).

The peer is the same chain in langgraph with its SQLite checkpointer, told to write each step before the
next one (`durability="sync"`): the asynchronous one as it comes, which has SQLite force each commit to
the disk, and the blocking one on a database with our two settings. Then the chain with a toy operation
in a real worker process, and many native ones at once on a whole runner.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from benchmarks.report import Report
from benchmarks.server import database
from pipelines.graph.graph import Backend, Graph, Node
from runner.bridge.messages import CallMessage, ErrorMessage
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.testing import Recorder as Handler
from runner.engine.events import RunStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call, Executor
from runner.engine.identity import Facts, Identities, Meanings
from runner.engine.plan import plan
from runner.host import Host

if TYPE_CHECKING:  # Django has to be set up before
    from benchmarks.runs import Place

STEPS = 20
RUNS = 10
ROUNDS = 9
MANY_RUNS = 500
MANY_STEPS = 10

type RunOnce = Callable[[], Awaitable[object]]
type Prepare = Callable[[], Awaitable[RunOnce]]
"""Makes a run ready, outside of what is measured."""


def run(report: Report) -> None:
    with database():
        from benchmarks.runs import Place

        place = Place()
        chains = asyncio.run(_chains(place))
        ours = chains["native"]
        report("durable_step_us", ours, "us", "langgraph + SQLite", chains["langgraph"])
        report("durable_step_vs_normal_us", ours, "us", "langgraph, NORMAL", chains["blocking"])
        report("durable_worker_step_us", chains["worker"], "us")
        report("durable_steps_per_s", _per_s(place), "/s")


async def _chains(place: "Place") -> dict[str, float]:
    from runner.dispatcher.runner import spare_the_collector

    async with AsyncExitStack() as stack:
        chains = {
            "native": await stack.enter_async_context(_native(place)),
            "worker": await stack.enter_async_context(_worker(place)),
            "langgraph": await stack.enter_async_context(_langgraph()),
            "blocking": stack.enter_context(_langgraph_blocking()),
        }
        for prepare in chains.values():
            await _step_us(prepare)  # warms caches up
        spare_the_collector()  # as a runner does, for all of them
        seen: dict[str, list[float]] = {name: [] for name in chains}
        for _ in range(ROUNDS):
            for name, prepare in chains.items():
                seen[name].append(await _step_us(prepare))
    return {name: statistics.median(values) for name, values in seen.items()}


async def _step_us(prepare: Prepare) -> float:
    prepared = [await prepare() for _ in range(RUNS)]
    started = time.perf_counter()
    for run_once in prepared:
        await run_once()
    return (time.perf_counter() - started) * 1e6 / (RUNS * STEPS)


async def _no_collection(name: str) -> str:
    return ""


def _templates(steps: int) -> Graph:
    from benchmarks.runs import chain

    config = {"template": "{{ x }}"}
    nodes = [Node(id=f"s{number}", kind="template", config=config) for number in range(steps)]
    return chain(nodes, "text", "x")


@asynccontextmanager
async def _native(place: "Place") -> AsyncIterator[Prepare]:
    async with Host() as host, _prepared(place, _templates(STEPS), (host.native,)) as prepare:
        yield prepare


@asynccontextmanager
async def _worker(place: "Place") -> AsyncIterator[Prepare]:
    from benchmarks.runs import chain

    config = {"signature": "x -> y"}
    nodes = [Node(id=f"s{number}", kind="predict", config=config) for number in range(STEPS)]
    pool = Pool(PoolSettings(size=1, spares=0))
    try:
        async with _prepared(place, chain(nodes, "y", "x"), (_Echo(pool),)) as prepare:
            yield prepare
    finally:
        await pool.aclose()


class _Echo:
    """Sends its input to a worker and gives back what comes."""

    backend: Backend = "dspy"
    warm = True

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._handler = Handler()

    def can(self, node: Node, config: Any) -> bool:
        return True

    async def execute(self, call: Call) -> Mapping[str, Any]:
        message = CallMessage(operation="echo", payload={"text": call.inputs["x"]})
        outcome = await self._pool.run("bench", message, self._handler)
        assert not isinstance(outcome.message, ErrorMessage)
        return {"y": outcome.message.value["text"]}


@asynccontextmanager
async def _prepared(
    place: "Place", graph: Graph, executors: Sequence[Executor]
) -> AsyncIterator[Prepare]:
    """Runs of the graph with journals of a recorder's."""
    from runner.live import Publisher
    from runner.recorder import Recorder

    version, planned = await asyncio.to_thread(place.version, graph), plan(graph)
    publisher = Publisher()
    recorder = Recorder(publisher)
    publisher.start()
    recorder.start()

    facts = Facts(
        scope="bench", profiles={}, default_profile="local", dspy="", collection=_no_collection
    )
    meanings = Meanings()

    async def prepare() -> RunOnce:
        state = await asyncio.to_thread(place.claimed, version, {"x": "1"})

        async def run_once() -> None:
            journal = recorder.open(state)
            execution = Execution(
                planned,
                run_id=str(state.id),
                executors=executors,
                journal=journal,
                on_chunk=journal.chunk,
                identities=Identities(facts, meanings),  # as in every run of a runner
            )
            outcome = await execution.run({"x": "1"})
            await recorder.close(journal)
            assert outcome.status is RunStatus.SUCCEEDED

        return run_once

    try:
        yield prepare
    finally:
        await recorder.aclose()
        await publisher.aclose()


@asynccontextmanager
async def _langgraph() -> AsyncIterator[Prepare]:
    """As its documentation sets it up for asyncio; WAL, each commit forced to the disk."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async def step(state: Any) -> Any:
        return state

    with tempfile.TemporaryDirectory(prefix="dspex-bench-") as directory:
        path = Path(directory) / "langgraph.sqlite3"
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            compiled = _langgraph_chain(step, saver)

            async def prepare() -> RunOnce:
                thread = _langgraph_thread()

                async def run_once() -> None:
                    found = await compiled.ainvoke({"x": "1"}, thread, durability="sync")
                    assert found == {"x": "1"}

                return run_once

            yield prepare


@contextmanager
def _langgraph_blocking() -> Iterator[Prepare]:
    """Its blocking checkpointer with our settings of SQLite: it waits for no disk and no thread."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    with tempfile.TemporaryDirectory(prefix="dspex-bench-") as directory:
        connection = sqlite3.connect(Path(directory) / "langgraph.sqlite3", check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        compiled = _langgraph_chain(lambda state: state, SqliteSaver(connection))

        async def prepare() -> RunOnce:
            thread = _langgraph_thread()

            async def run_once() -> None:
                assert compiled.invoke({"x": "1"}, thread, durability="sync") == {"x": "1"}

            return run_once

        yield prepare
        connection.close()


def _langgraph_chain(step: Any, saver: Any) -> Any:
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        x: str

    builder = StateGraph(State)
    names = [f"s{number}" for number in range(STEPS)]
    for name in names:
        builder.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    return builder.compile(checkpointer=saver)


_threads = count()


def _langgraph_thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": str(next(_threads))}, "recursion_limit": 100}


def _per_s(place: "Place") -> float:
    """Durable native steps a second of a whole runner whose runs were all queued before it began."""
    from benchmarks.runs import execute_all
    from runner.dispatcher import Runner

    version = place.version(_templates(MANY_STEPS))
    seen = []
    for _ in range(3):
        place.queue(version, ({"x": str(number)} for number in range(MANY_RUNS)))
        seconds = asyncio.run(execute_all(Runner))
        seen.append(MANY_RUNS * MANY_STEPS / seconds)
    return statistics.median(seen)
