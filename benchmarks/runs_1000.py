"""1,000 runs at once of three predict steps in a row, against a model on loopback that takes 200 ms.

Ours is the real thing: queued in the database, claimed by a whole runner, each LM call over HTTP and
streamed, each step committed before the next. The peers keep nothing: the same three steps as
`dspy.Predict` in dspy.Parallel's threads, and as an asynchronous langgraph whose nodes ask with httpx.
"""

import asyncio
import gc
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspex-bench-"))

from benchmarks.completions import completions
from benchmarks.report import Report
from benchmarks.server import database
from pipelines.graph.graph import Node

if TYPE_CHECKING:  # Django has to be set up before
    from benchmarks.runs import Place

RUNS = 1_000
STEPS = 3
DELAY = 0.2
ROUNDS = 3
SIGNATURE = "x -> y"
QUESTION = "What is it?"
ANSWER = "[[ ## y ## ]]\nA framework.\n\n[[ ## completed ## ]]"
THREADS = 200
"""Of DSPy; with fewer it waits for the model, with more it is slower on two cores."""
CONNECTIONS = 50
"""Of langgraph's httpx, which takes longer for each call the more there are."""

type Execute = Callable[[], float]
"""Does all runs; the seconds that it took."""


def run(report: Report) -> None:
    with database(), completions(ANSWER, delay=DELAY) as base_url:
        from benchmarks.runs import Place

        ours = _dspex(Place(), base_url)
        ours(RUNS // 10)  # warms caches up
        gc.collect()
        with _growth() as grown:
            ours(RUNS)
        report("runs_1000_kb", grown() / RUNS, "kb")
        peers = {
            "dspex": lambda: ours(RUNS),
            "dspy": _dspy(base_url),
            "langgraph": _langgraph(base_url),
        }
        _compare(report, peers)


def _compare(report: Report, executes: dict[str, Execute]) -> None:
    seen: dict[str, list[float]] = {name: [] for name in executes}
    busy: dict[str, list[float]] = {name: [] for name in executes}
    for _ in range(ROUNDS):
        for name, execute in executes.items():
            began = time.process_time()
            seen[name].append(execute())
            busy[name].append(time.process_time() - began)
    median = {name: statistics.median(values) for name, values in seen.items()}
    report("runs_1000_s", median["dspex"], "s", "DSPy threads", median["dspy"])
    report("runs_1000_vs_langgraph_s", median["dspex"], "s", "langgraph", median["langgraph"])
    median = {name: statistics.median(values) for name, values in busy.items()}
    report("runs_1000_busy_s", median["dspex"], "s", "DSPy threads", median["dspy"])
    report("runs_1000_busy_vs_langgraph_s", median["dspex"], "s", "langgraph", median["langgraph"])


@contextmanager
def _growth() -> Iterator[Callable[[], float]]:
    """By how many KB this process was larger at most than before."""
    before, peak, over = _resident_kb(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, _resident_kb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: peak - before
    finally:
        over.set()
        watcher.join()


def _resident_kb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4.0


def _dspex(place: "Place", base_url: str) -> Callable[[int], float]:
    from benchmarks.runs import chain, execute_all
    from runner.dispatcher import DispatcherSettings, Runner

    place.profile("paced", base_url, concurrency=RUNS)
    config = {"signature": SIGNATURE, "lm": "paced"}
    # No answer of another run is taken: the peers have their caches off too.
    policy = {"backend": "native", "cache": False}
    nodes = [
        Node(id=f"s{number}", kind="predict", config=config, policy=policy)
        for number in range(STEPS)
    ]
    version = place.version(chain(nodes, "y", "x"))
    settings = DispatcherSettings(concurrency=RUNS)

    def execute(runs: int) -> float:
        place.queue(version, [{"x": QUESTION}] * runs)
        return asyncio.run(execute_all(lambda: Runner(dispatcher=settings)))

    return execute


def _dspy(base_url: str) -> Execute:
    import dspy

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    lm = dspy.LM("openai/bench", api_base=base_url, api_key="none", num_retries=0, cache=False)
    dspy.configure(lm=lm, disable_history=True)

    class Chain(dspy.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps = [dspy.Predict(SIGNATURE) for _ in range(STEPS)]

        def forward(self, x: str) -> Any:
            for step in self.steps:
                prediction = step(x=x)
                x = prediction.y
            return prediction

    chain = Chain()
    examples = [dspy.Example(x=QUESTION).with_inputs("x") for _ in range(RUNS)]

    def execute() -> float:
        parallel = dspy.Parallel(num_threads=THREADS, disable_progress_bar=True)
        started = time.perf_counter()
        predictions = parallel([(chain, example) for example in examples])
        seconds = time.perf_counter() - started
        assert [prediction.y for prediction in predictions] == ["A framework."] * RUNS
        return seconds

    return execute


def _langgraph(base_url: str) -> Execute:
    import httpx
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        x: str

    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)

    async def all_runs() -> float:
        # httpx looks through all that wait for a connection again and again: a minute of processor
        # time for these runs. So they wait here.
        places = asyncio.Semaphore(CONNECTIONS)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:

            async def step(state: State) -> State:
                message = {"role": "user", "content": state["x"]}
                body = {"model": "bench", "messages": [message]}
                async with places:
                    response = await client.post(f"{base_url}/chat/completions", json=body)
                text = response.raise_for_status().json()["choices"][0]["message"]["content"]
                return {"x": text}

            builder = StateGraph(State)
            names = [f"s{number}" for number in range(STEPS)]
            for name in names:
                builder.add_node(name, step)
            for source, target in zip([START, *names], [*names, END], strict=True):
                builder.add_edge(source, target)
            compiled = builder.compile()
            started = time.perf_counter()
            states = await asyncio.gather(*(compiled.ainvoke({"x": QUESTION}) for _ in range(RUNS)))
            seconds = time.perf_counter() - started
            assert states == [{"x": ANSWER}] * RUNS
            return seconds

    return lambda: asyncio.run(all_runs())
