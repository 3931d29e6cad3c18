"""DSPex from Python: build a pipeline, run it, watch it.

    import dspex

    flagship = dspex.pipeline([
        dspex.native("predict", signature="query -> keywords: list[str]"),
        dspex.dspy("ChainOfThought", signature="keywords -> analysis"),
        dspex.parallel([
            dspex.native("search", collection="docs"),
            dspex.dspy("ColBERTv2", k=10),
        ]),
        dspex.native("template", template="Results: {{ results }}"),
    ])
    result = dspex.run_pipeline(flagship, {"query": "explain DSPy"})
    print(result["text"])

Everything runs in this process on an event loop of its own, in worker processes for DSPy and in a
child process for the embedded model; all of it ends with this process.
"""

import asyncio
import atexit
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from pipelines.graph import signature as _signatures
from pipelines.graph.codec import content_hash
from pipelines.graph.graph import Edge, Graph, GraphError, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.sub_pipeline import pinned
from pipelines.graph.policy import StepPolicy
from pipelines.graph.sequence import Container, Item, Parallel, Step, sequence
from pipelines.graph.signature import Field, Signature, SignatureError
from pipelines.graph.validate import Problem
from runner.engine.errors import Failure, InvalidInput, RunnerError
from runner.engine.events import Chunk, Event, EventType, RunStatus, StepStatus
from runner.engine.partial import PartialRun
from runner.engine.results import RunResult, StepResult
from runner.engine.router import RouterSettings
from runner.engine.step_store import MemoryStepStore
from runner.engine.typed_outputs import checked_pins
from runner.engine.waits import Answer, RunControl
from runner.host import Host, HostSettings, InvalidPipeline, RunFailed, checked
from runner.lm.types import LMProfile

__all__ = [
    "Answer",
    "Chunk",
    "Edge",
    "Event",
    "EventType",
    "Failure",
    "Field",
    "Graph",
    "GraphError",
    "HostSettings",
    "InvalidInput",
    "InvalidPipeline",
    "LMProfile",
    "Node",
    "Problem",
    "RouterSettings",
    "RunFailed",
    "RunResult",
    "RunStatus",
    "RunnerError",
    "Signature",
    "SignatureError",
    "StepResult",
    "StepStatus",
    "chain_of_thought",
    "close",
    "configure",
    "dspy",
    "health_check",
    "lm",
    "loop",
    "map",
    "native",
    "parallel",
    "pipeline",
    "predict",
    "reduce",
    "run_pipeline",
    "signature",
    "step",
    "stream",
    "sub_pipeline",
]

_DSPY_CLASSES = {"Predict": "predict", "ChainOfThought": "chain_of_thought", "ColBERTv2": "colbert"}
_POLICY = frozenset(StepPolicy.model_fields) - {"backend"}


# Building


def signature(text: str, **extras: Any) -> Signature:
    """The typed inputs and outputs that a text such as `query -> keywords: list[str]` declares.

    `extras` are `instructions`, `descriptions`, `constraints` and `types`, the latter three by name.
    Raises SignatureError, which points at the character.
    """
    return _signatures.parse(text, **extras)


def native(kind: str, **options: Any) -> Step:
    """A step of this kind on DSPex's own implementation. `options` as for `step`."""
    return _step(kind, "native", options)


def dspy(module: str, **options: Any) -> Step:
    """A step on DSPy, by the class name of a module (or the name of a kind). `options` as for `step`."""
    if module in _DSPY_CLASSES or module in KINDS:
        return _step(_DSPY_CLASSES.get(module, module), "dspy", options)
    return _step("dspy_module", "dspy", {"module": module, **options})


def step(kind: str, **options: Any) -> Step:
    """A step whose backend the router chooses.

    `options` are the config of the kind (`signature`, `template`, `k`, …), fields of the step policy
    (`timeout`, `retries`, `on_error`, …), `name` (the step's id), `reads` (port to field) and `gives`
    (port to field). Unknown ones are refused with the names there are.
    """
    return _step(kind, "auto", options)


def parallel(
    branches: Sequence[Item | Sequence[Item]] = (), /, **named: Item | Sequence[Item]
) -> Parallel:
    """Branches that run together; `results` maps each branch's name to its outputs.

    A branch is a step or a list of steps. Its name is the keyword, or its kind, then `kind_2`.
    """
    return Parallel(branches=(*(("", branch) for branch in branches), *named.items()))


def map(  # noqa: A001
    steps: Sequence[Item], /, *, over: str = "items", item: str = "item", **options: Any
) -> Container:
    """Run the steps for every item of the list `over`, several at a time; they read it as `item`.

    Gives the fields of the last step as lists, in the order of the items. `options` as for `step`, and
    `concurrency` and `on_item_error`.
    """
    return _container("map", steps, {**options, "item": item}, {"items": over})


def reduce(
    steps: Sequence[Item], /, *, over: str = "items", item: str = "item", **options: Any
) -> Container:
    """Bring the list `over` down to one value: what the steps read and make anew is carried on.

    `options` as for `step`, and `order`: `sequence`, or `pairs` with `concurrency`.
    """
    return _container("reduce", steps, {**options, "item": item}, {"items": over})


def loop(steps: Sequence[Item], /, *, until: str, **options: Any) -> Container:
    """Run the steps until the expression is true; what they read and make anew goes round.

    `options` as for `step`, and `max_rounds` and `on_limit`.
    """
    return _container("loop", steps, {**options, "until": until}, {})


def sub_pipeline(graph: Graph, /, **options: Any) -> Step:
    """A whole pipeline as one step, as it is now. `options` as for `step`."""
    step = _step("pipeline", "auto", {**options, **pinned(content_hash(graph), graph)})
    return replace(step, pinned=graph)


def pipeline(steps: Sequence[Item], *, name: str = "", description: str = "") -> Graph:
    """A pipeline from a list of steps. Raises GraphError naming step, field and mend."""
    return sequence(steps, name=name, description=description)


def _container(
    kind: str, steps: Sequence[Item], options: dict[str, Any], reads: Mapping[str, str]
) -> Container:
    step = _step(kind, "auto", options)
    return Container(step=replace(step, reads={**reads, **step.reads}), steps=tuple(steps))


def _step(kind: str, backend: str, options: dict[str, Any]) -> Step:
    rest = dict(options)
    own = {key: rest.pop(key) for key in ("name", "reads", "gives") if key in rest}
    policy = {key: rest.pop(key) for key in _POLICY & rest.keys()}
    routed = kind in KINDS and KINDS[kind].routed
    if routed and backend != "auto":
        policy["backend"] = backend
    return Step(kind=kind, config=rest, policy=policy, **own)


# Running


def configure(settings: HostSettings) -> None:
    """Use these settings from now on. What runs on the old ones is stopped."""
    _runtime.configure(settings)


def run_pipeline(
    pipeline: Graph,
    inputs: Mapping[str, Any],
    *,
    timeout: float | None = None,
    answers: Mapping[str, Answer] | None = None,
    to: str | None = None,
    pinned: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunResult:
    """Run to the end. `timeout` is in seconds, for the whole run; `answers`, by step path, are for steps
    that ask a person. With `to`, only what that step needs is run, and the outputs are its own; `pinned`
    gives outputs of steps, by port, that stand for what they would give: neither they nor what only
    feeds them is run.

    Raises InvalidPipeline and InvalidInput before anything runs, RunFailed (with `result`) after; also
    when a step waits for an answer that is not there.
    """
    control, part = RunControl(answers), _part(pipeline, to, pinned)
    return checked(
        _runtime.call(
            lambda host: host.run(pipeline, inputs, timeout=timeout, control=control, **part)
        )
    )


def stream(
    pipeline: Graph,
    inputs: Mapping[str, Any],
    *,
    timeout: float | None = None,
    to: str | None = None,
    pinned: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Event | Chunk]:
    """Run and give every event and chunk as it happens; the last one is `run_finished`. `to` and `pinned`
    as for `run_pipeline`.

    Closing the iterator cancels the run. Raises as `run_pipeline` does before the first item.
    """
    return _runtime.stream(pipeline, inputs, timeout, _part(pipeline, to, pinned))


def _part(
    graph: Graph, to: str | None, pinned: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    """What the host has to know to run a part; nothing for a run of everything."""
    if to is None and not pinned:
        return {}
    pins = checked_pins(graph, pinned or {})
    wish = PartialRun(mode="all" if to is None else "to", node=to or "", pins=pins)
    return {"partial": wish, "steps": MemoryStepStore()}


def predict(
    signature: str,
    inputs: Mapping[str, Any] | None = None,
    /,
    *,
    backend: str = "auto",
    **options: Any,
) -> dict[str, Any]:
    """Ask for the outputs of a signature: `predict("question -> answer", {"question": "…"})`.

    `options` are those of `step`. Gives the outputs by name.
    """
    return _one("predict", backend, {"signature": signature, **options}, inputs or {})


def chain_of_thought(
    signature: str,
    inputs: Mapping[str, Any] | None = None,
    /,
    *,
    backend: str = "auto",
    **options: Any,
) -> dict[str, Any]:
    """As `predict`, but the model reasons first; the outputs begin with `reasoning`."""
    return _one("chain_of_thought", backend, {"signature": signature, **options}, inputs or {})


def lm(prompt: str, **options: Any) -> str:
    """The language model's text for a prompt. `options`: `lm` (profile), `system`, `temperature`, …"""
    text: str = _one("lm", "auto", options, {"prompt": prompt})["text"]
    return text


def health_check() -> dict[str, Any]:
    """What works here: `ok`, and per part its state and, when it does not work, the mend."""
    return _runtime.call(lambda host: host.health())


def close() -> None:
    """End workers and the embedded model now. The next run starts them again.

    A run under way in another thread raises `concurrent.futures.CancelledError` there.
    """
    _runtime.close()


def _one(
    kind: str, backend: str, options: dict[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    return run_pipeline(pipeline([_step(kind, backend, options)]), inputs).outputs


class _Runtime:
    """The event loop in a thread of its own, and the host on it. Made on first use."""

    def __init__(self) -> None:
        self.settings = HostSettings()
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.host: Host | None = None
        self.thread: threading.Thread | None = None

    def configure(self, settings: HostSettings) -> None:
        self.close()
        self.settings = settings

    def call[T](self, work: Callable[[Host], Awaitable[T]]) -> T:
        """Run a coroutine made from the host, and wait for it; Ctrl-C cancels it."""
        future: Future[T] = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stream(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        timeout: float | None,
        part: Mapping[str, Any],
    ) -> Iterator[Event | Chunk]:
        heard: queue.SimpleQueue[Event | Chunk | None] = queue.SimpleQueue()

        async def run(host: Host) -> RunResult:
            try:
                return await host.run(
                    graph, inputs, timeout=timeout, on_event=heard.put, on_chunk=heard.put, **part
                )
            finally:
                heard.put(None)

        future: Future[RunResult] = self._submit(run)
        try:
            while (item := heard.get()) is not None:
                yield item
            future.result()
        finally:
            future.cancel()

    def _submit(self, work: Any) -> Any:
        with self.lock:
            if self.loop is None:
                self._start()
            assert self.loop is not None and self.host is not None
            return asyncio.run_coroutine_threadsafe(work(self.host), self.loop)

    def _start(self) -> None:
        self.host = Host(self.settings)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="dspex", daemon=True)
        self.thread.start()

    def close(self) -> None:
        with self.lock:
            loop, host, thread = self.loop, self.host, self.thread
            self.loop = self.host = self.thread = None
        if loop is None or host is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end(host), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(host: Host) -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await host.aclose()


def _renew() -> None:
    """A forked child has the runtime's memory but not its thread: it starts one of its own."""
    global _runtime
    _inherited.append(_runtime)  # kept: collecting it would close what the parent still uses
    settings = _runtime.settings
    _runtime = _Runtime()
    _runtime.settings = settings


_inherited: list[_Runtime] = []
_runtime = _Runtime()
atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
