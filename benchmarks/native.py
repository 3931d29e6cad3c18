"""What a native predict costs beside the model: format, ask, parse, with the scripted model of the
gateway, which answers at once. The peer is `dspy.Predict` with DSPy's own mock, `DummyLM`, its caches off.
"""

import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspex-bench-"))

from benchmarks.report import Report
from pipelines.graph.graph import Node
from pipelines.graph.kinds.predict import Predict
from pipelines.graph.policy import StepPolicy
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.gateway import Gateway
from runner.lm.types import LMProfile
from runner.native.corpus import FolderCorpus
from runner.native.executor import NativeExecutor

SIGNATURE = "question, context: list[str] -> answer, keywords: list[str]"
INPUTS = {"question": "What is DSPy?", "context": ["DSPy is a framework.", "It has optimizers."]}
ANSWER = {"answer": "A framework.", "keywords": '["dspy", "framework"]'}
TEXT = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in ANSWER.items())
RUNS = 200
ROUNDS = 11

type Ask = Callable[[], Awaitable[object]]


class Deaf:
    """An observer that hears nothing."""

    def chunk(self, chunk: Chunk) -> None: ...

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None: ...


def run(report: Report) -> None:
    asyncio.run(_compare(report))


async def _compare(report: Report) -> None:
    askers = {"native": _native(), "dspy": _dspy()}
    for ask in askers.values():
        await _us(ask)  # warms caches up
    gc.collect()
    gc.freeze()  # the peer's modules are many objects, which collections during our turns would walk
    seen: dict[str, list[float]] = {name: [] for name in askers}
    for _ in range(ROUNDS):
        for name, ask in askers.items():
            seen[name].append(await _us(ask))
    median = {name: statistics.median(values) for name, values in seen.items()}
    report("native_predict_us", median["native"], "us", "dspy.Predict", median["dspy"])


async def _us(ask: Ask) -> float:
    started = time.perf_counter()
    for _ in range(RUNS):
        await ask()
    return (time.perf_counter() - started) * 1e6 / RUNS


def _native() -> Ask:
    profile = LMProfile(name="mock", adapter="scripted", settings={"answers": [TEXT]})
    gateway = Gateway({"mock": profile}, default="mock")
    executor = NativeExecutor(gateway, FolderCorpus(Path(os.devnull)))
    config = Predict(signature=SIGNATURE)
    node = Node(id="predict", kind="predict", config={"signature": SIGNATURE})
    policy, observer = StepPolicy(cache=False), Deaf()

    async def ask() -> object:
        call = Call(
            run_id="bench",
            path="predict",
            attempt=1,
            node=node,
            config=config,
            policy=policy,
            inputs=INPUTS,
            observer=observer,
        )
        return await executor.execute(call)

    return ask


def _dspy() -> Ask:
    import dspy
    from dspy.utils.dummies import DummyLM

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    predict = dspy.Predict(SIGNATURE)
    predict.lm = DummyLM([ANSWER] * (RUNS * (ROUNDS + 1)))

    async def ask() -> object:
        return predict(**INPUTS)

    return ask
