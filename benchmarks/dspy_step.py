"""What a DSPy step costs beside the model: `dspy.Predict` in a worker, its LM call through the gateway of
the host. The gateway's model answers at once, so all of it is overhead.

The peer is the same Predict in a plain process with `dspy.LM` and its own HTTP client (no litellm: DSPy
3.4 needs none), its caches and history off, against a server on loopback that answers at once. A second
figure has the gateway ask that same server over HTTP. A third one compares a worker that has threads with
one that has none, with a model that takes a tenth of a second.
"""

import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspex-bench-"))

from benchmarks.completions import completions
from benchmarks.report import Report
from pipelines.graph.graph import Node
from pipelines.graph.kinds.predict import Predict
from pipelines.graph.policy import StepPolicy
from runner.bridge.executor import DSPyExecutor
from runner.bridge.pool import Pool, PoolSettings
from runner.bridge.pools import OnePool
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.gateway import Gateway
from runner.lm.types import LMProfile

SIGNATURE = "question, context: list[str] -> answer, keywords: list[str]"
INPUTS = {"question": "What is DSPy?", "context": ["DSPy is a framework.", "It has optimizers."]}
ANSWER = {"answer": "A framework.", "keywords": '["dspy", "framework"]'}
TEXT = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in ANSWER.items())
TEXT += "[[ ## completed ## ]]"
RUNS = 100
ROUNDS = 9
THREADS = 10
WAIT = 0.1
"""Seconds that a fast remote model takes."""

type Ask = Callable[[], Awaitable[object]]


class Deaf:
    """An observer that hears nothing."""

    def chunk(self, chunk: Chunk) -> None: ...

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None: ...


def run(report: Report) -> None:
    with completions(TEXT) as base_url:
        asyncio.run(_compare(report, base_url))


async def _compare(report: Report, base_url: str) -> None:
    async with _step(base_url) as steps:
        askers = {**steps, "dspy.LM": _dspy(base_url)}
        for ask in askers.values():
            await _us(ask)  # warms caches up
        gc.collect()
        gc.freeze()
        seen: dict[str, list[float]] = {name: [] for name in askers}
        for _ in range(ROUNDS):
            for name, ask in askers.items():
                seen[name].append(await _us(ask))
    found = {name: statistics.median(values) for name, values in seen.items()}
    peer = ("dspy.LM over HTTP", found["dspy.LM"])
    report("dspy_step_us", found["gateway"], "us", *peer)
    report("dspy_step_over_http_us", found["gateway over HTTP"], "us", *peer)
    several, one = await _threaded_per_s(THREADS), await _threaded_per_s(1)
    report("worker_threads_steps_per_s", several, "/s", "one thread", one)


async def _threaded_per_s(threads: int) -> float:
    """Steps a second in one worker with so many threads, when the model takes a while."""
    waits = {"answers": (TEXT,), "delay": WAIT}
    profile = LMProfile(name="slow", adapter="scripted", settings=waits)
    gateway = Gateway({"slow": profile}, default="slow")
    pool = Pool(PoolSettings(size=1, spares=0, reuse=True, threads=threads))
    ask = _asking(DSPyExecutor(OnePool(pool), gateway), "slow")
    try:
        await asyncio.gather(*(ask() for _ in range(threads)))  # each thread's first step
        number, began = threads * 20, time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(number)))
        return number / (time.perf_counter() - began)
    finally:
        await pool.aclose()
        await gateway.aclose()


async def _us(ask: Ask) -> float:
    seen = []
    for _ in range(RUNS):
        started = time.perf_counter()
        await ask()
        seen.append(time.perf_counter() - started)
    return statistics.median(seen) * 1e6


@asynccontextmanager
async def _step(base_url: str) -> AsyncIterator[dict[str, Ask]]:
    """A predict node on DSPy, by what its LM profile leads to."""
    scripted = LMProfile(name="scripted", adapter="scripted", settings={"answers": (TEXT,)})
    remote = LMProfile(
        name="remote",
        adapter="openai_compatible",
        model="bench",
        base_url=base_url,
        api_key="none",
        private_network=True,
    )
    gateway = Gateway({p.name: p for p in (scripted, remote)}, default="scripted")
    pool = Pool(PoolSettings(size=1, spares=0))
    executor = DSPyExecutor(OnePool(pool), gateway)

    try:
        expected = {"answer": ANSWER["answer"], "keywords": json.loads(ANSWER["keywords"])}
        for profile in ("scripted", "remote"):
            assert await _asking(executor, profile)() == expected
        yield {
            "gateway": _asking(executor, "scripted"),
            "gateway over HTTP": _asking(executor, "remote"),
        }
    finally:
        await pool.aclose()
        await gateway.aclose()


def _asking(executor: DSPyExecutor, profile: str) -> Ask:
    async def ask() -> object:
        config = Predict(signature=SIGNATURE, lm=profile)
        call = Call(
            run_id="bench",
            path="n",
            attempt=1,
            node=Node(id="n", kind="predict"),
            config=config,
            policy=StepPolicy(),
            inputs=INPUTS,
            observer=Deaf(),
        )
        return await executor.execute(call)

    return ask


def _dspy(base_url: str) -> Ask:
    import dspy

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    lm = dspy.LM("openai/bench", api_base=base_url, api_key="none", num_retries=0, cache=False)
    dspy.configure(lm=lm, disable_history=True)
    predict = dspy.Predict(SIGNATURE)

    async def ask() -> object:
        return predict(**INPUTS)

    return ask
