"""What a DSPy module's references mean in one run: its rewards and its tools, answered in the host."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec

from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds.dspy_module import DSPyModule
from pipelines.graph.kinds.metric import Metric
from pipelines.graph.kinds.references import Reward, score_of
from pipelines.graph.sandbox import SandboxError, evaluate
from runner.bridge.payloads import REWARD, TOOL_PREFIX, ToolSpec
from runner.bridge.tables import Table
from runner.bridge.tool_parts import joined, whole
from runner.bridge.tools import HostTool
from runner.engine.errors import InvalidConfig
from runner.engine.events import Event, EventType, RunStatus
from runner.engine.execute import Execution
from runner.engine.executor import Call, Executor
from runner.engine.plan import plan
from runner.engine.stops import Parked
from runner.engine.tool_steps import ToolSteps

type RunPipeline = Callable[[Call, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
type Answer = Callable[[Call, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """What a run's pipeline may use. `pipeline` runs a pinned version to its outputs; None: there are
    none here. `run_code` lets modules run what a language model writes. `tool_steps` records calls that a
    person must let or that have side effects, and asks the person. `session` is what pools that keep their
    workers know its steps by; empty: its run."""

    tools: Mapping[str, HostTool] = field(default_factory=lambda: MappingProxyType({}))
    pipeline: RunPipeline | None = None
    run_code: bool = False
    tool_steps: ToolSteps | None = None
    session: str = ""


class References:
    """Answers what one step's module asks of the host, by the worker's name for it."""

    def __init__(self, scope: RunScope, native: Executor | None) -> None:
        self._scope = scope
        self._native = native

    def specs(self, config: DSPyModule) -> tuple[ToolSpec, ...]:
        """The step's tools as the worker sees them. InvalidConfig for one that the pipeline may not use."""
        return tuple(
            ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
            for tool in (self._tool(name) for name in config.tools)
        )

    def answers(self, config: DSPyModule) -> dict[str, Answer]:
        """What the worker may ask, by name."""
        found: dict[str, Answer] = {
            TOOL_PREFIX + name: _using(self._tool(name), self._scope.tool_steps)
            for name in config.tools
        }
        if config.rewarded_by is not None:
            found[REWARD] = self._rewarding(config.rewarded_by)
        return found

    def _tool(self, name: str) -> HostTool:
        tool = self._scope.tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self._scope.tools)) or "none"
            raise InvalidConfig(
                f"This pipeline may not use the tool '{name}', or there is none of this name. "
                f"Allowed here: {known}. An administrator allows tools to pipelines."
            )
        return tool

    # Rewards

    def _rewarding(self, reward: Reward) -> Answer:
        async def answer(call: Call, asked: dict[str, Any]) -> float:
            value = await self._value(reward, call, asked["inputs"], asked["outputs"])
            try:
                score = score_of(value)
            except ValueError as error:
                raise InvalidConfig(f"The reward can't be used: {error}.") from None
            told = {"name": "reward", "reward": score, "by": reward.by, "outputs": asked["outputs"]}
            call.observer.event(EventType.TRACE, call, told)
            return score

        return answer

    async def _value(
        self, reward: Reward, call: Call, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> Any:
        values = {**inputs, **outputs}
        match reward.by:
            case "expression":
                return _evaluated(reward.text, values)
            case "metric":
                return await self._measured(reward, call, values)
            case "tool":
                given = {"inputs": inputs, "outputs": outputs}
                said = await _using(self._tool(reward.text), self._scope.tool_steps)(call, given)
                return await whole(said) if isinstance(said, AsyncIterator) else said
        if self._scope.pipeline is None:
            raise InvalidConfig("Pipelines can't be used as rewards here.")
        return (await self._scope.pipeline(call, reward.text, values)).get("score")

    async def _measured(self, reward: Reward, call: Call, values: Mapping[str, Any]) -> Any:
        """By the metric kind, as a node of the pipeline would."""
        if self._native is None:
            raise InvalidConfig("Metrics can't be used as rewards here.")
        prediction, expected = (values.get(name) for name in reward.names)
        node = Node(id=call.node.id, kind="metric", config={"measure": reward.text})
        measured = replace(
            call,
            node=node,
            config=Metric.model_validate(node.config),
            inputs={"prediction": prediction, "expected": expected},
        )
        return (await self._native.execute(measured))["score"]


def _evaluated(expression: str, values: Mapping[str, Any]) -> Any:
    try:
        return evaluate(expression, values)
    except SandboxError as error:
        raise InvalidConfig(f"The reward '{expression}' failed: {error}") from None


def _using(tool: HostTool, steps: ToolSteps | None) -> Answer:
    """Calls the tool with checked arguments, and tells the trace. One that a person must let, or that has
    side effects, is a step of its own."""

    async def use(call: Call, checked: dict[str, Any]) -> Any:
        async def work() -> Any:
            value = await tool.run(call, checked)
            if isinstance(value, AsyncIterator):
                return await whole(value) if recorded else value
            if not isinstance(value, Table):
                return msgspec.to_builtins(value)
            # A step's record has it as JSON.
            return await asyncio.to_thread(value.records) if recorded else value

        recorded = tool.approval or tool.side_effects
        if not recorded:
            return await work()
        if steps is None:
            raise InvalidConfig(f"The tool '{tool.name}' needs a run that can ask a person.")
        question = f"May the tool {tool.name} be called like this?" if tool.approval else ""
        shown = msgspec.to_builtins(checked)
        return await steps.call(call, tool.name, shown, work, question, once=tool.side_effects)

    async def answer(call: Call, arguments: dict[str, Any]) -> Any:
        told: dict[str, Any] = {"name": "tool", "tool": tool.name, "arguments": arguments}
        try:
            value = await use(call, tool.checked(arguments))
        except Parked:
            raise  # it was not called yet
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
            call.observer.event(EventType.TRACE, call, told)
            raise
        if isinstance(value, AsyncIterator):
            return _told(value, call, told)
        shown = str(value) if isinstance(value, Table) else value
        call.observer.event(EventType.TRACE, call, {**told, "result": shown})
        return value

    return answer


async def _told(parts: AsyncIterator[Any], call: Call, told: dict[str, Any]) -> AsyncIterator[Any]:
    """A tool's parts, and at their end the trace of its call."""
    taken: list[Any] = []
    try:
        async with aclosing(parts) as source:  # type: ignore[type-var]  # tools are generators
            async for part in source:
                taken.append(msgspec.to_builtins(part))
                yield part
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        call.observer.event(EventType.TRACE, call, {**told, "result": joined(taken)})


def pinned_runner(graphs: Mapping[str, Graph], native: Executor) -> RunPipeline:
    """Runs the versions that a graph pins, for rewards. Natively alone: a step that holds a worker and
    waits for another one would wait for ever when all workers are held so."""

    async def run(call: Call, version: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        graph = graphs.get(version)
        if graph is None:
            raise InvalidConfig(
                f"The reward's pipeline '{version}' is not at hand. Choose it again."
            )
        planned = plan(replace(graph, pipelines=graphs))
        taken = {port.name: values[port.name] for port in planned.given if port.name in values}
        execution = Execution(
            planned,
            run_id=call.run_id,
            executors=(native,),
            journal=_Inside(call),
            on_chunk=lambda chunk: None,
            deadline=call.deadline,
            prefix=f"{call.path}/reward/",
        )
        outcome = await execution.run(taken)
        if outcome.status is not RunStatus.SUCCEEDED:
            why = outcome.failure.message if outcome.failure else f"it ended as {outcome.status}"
            raise InvalidConfig(
                f"The reward's pipeline '{graph.name or version}' gave nothing: {why}"
            )
        return outcome.outputs

    return run


class _Inside:
    """The journal of a pipeline within a step, which passes on what it paid for."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def append(self, event: Event) -> None:
        if event.type is EventType.LM_CALL:
            data = {**event.data, "predictor": "reward", "parent": self._call.path}
            self._call.observer.event(EventType.LM_CALL, self._call, data)

    async def check(self, outputs: Mapping[str, Any]) -> None:
        return None

    async def commit(self) -> None:
        return None
