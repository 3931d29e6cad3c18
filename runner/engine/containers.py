"""Steps that run a plan of their own: map, reduce, loop, and pinned pipelines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph.kinds.repetition import ITEMS, ROUND, ROUNDS, Loop, Map, Reduce
from pipelines.graph.sandbox import SandboxError, evaluate
from runner.engine.errors import (
    InvalidConfig,
    InvalidInput,
    LoopLimit,
    OutputNotProduced,
    RunnerError,
)
from runner.engine.events import EventType
from runner.engine.inputs import check_inputs
from runner.engine.plan import Plan, PlannedStep
from runner.engine.stopping import StoppedByUser, Stops
from runner.engine.stops import StepStopped, first_error, stop_for

type Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """`run_scope(plan, prefix, given)` runs a body once; `errors` and `stops` are the run's."""

    run_scope: Callable[[Plan, str, Values], Awaitable[dict[str, Any]]]
    stops: Stops
    emit: Callable[..., float]
    errors: list[dict[str, Any]]

    async def run(self, step: PlannedStep, path: str, inputs: dict[str, Any]) -> Values:
        """The container's outputs by port."""
        match step.config:
            case Map() as config:
                return await self._map(config, step, path, inputs)
            case Reduce(order="sequence") as config:
                return await self._fold(config, step, path, inputs)
            case Reduce() as config:
                return await self._join(config, step, path, inputs)
            case Loop() as config:
                return await self._loop(config, step, path, inputs)
            case _:
                body = _body(step)
                return await self.run_scope(body, f"{path}/", check_inputs(body, inputs))

    async def _map(self, config: Map, step: PlannedStep, path: str, inputs: Values) -> Values:
        """Run the body once per item; lists in the order of the items."""
        items, others = _items(step, inputs)
        body = _body(step)
        results: list[dict[str, Any] | None] = [None] * len(items)

        async def run_item(index: int) -> None:
            given, place = {**others, config.item: items[index]}, f"{path}[{index}]"
            try:
                with self.stops.stoppable(place):
                    results[index] = await self.run_scope(body, f"{place}/", given)
            except (StepStopped, OutputNotProduced, StoppedByUser) as error:
                self._item_failed(config, path, index, error)

        await _each(run_item, len(items), config.concurrency)
        return {
            port.name: [None if result is None else result[port.name] for result in results]
            for port, _ in body.results
        }

    def _item_failed(
        self, config: Map, path: str, index: int, error: StepStopped | RunnerError
    ) -> None:
        """Tell it. Raise when the failure ends the map, else list it on the run."""
        stop = stop_for(f"{path}[{index}]", error)
        if not stop.suspends:
            self.emit(EventType.TRACE, path, name="item_failed", index=index)
        if config.on_item_error == "stop" or stop.suspends:
            raise stop
        failure = stop.failure
        self.errors.append(
            {
                "step": f"{path}[{index}]",
                "code": failure.code,
                "message": failure.message,
                "item": index,
            }
        )

    async def _fold(self, config: Reduce, step: PlannedStep, path: str, inputs: Values) -> Values:
        """Item after item: what the body gives, it takes with the next one."""
        items, given = _items(step, inputs)
        body = _body(step)
        for index, item in enumerate(items):
            made = await self.run_scope(body, f"{path}[{index}]/", {**given, config.item: item})
            given.update(made)
        return {port.name: given[port.name] for port, _ in body.results}

    async def _join(self, config: Reduce, step: PlannedStep, path: str, inputs: Values) -> Values:
        """Neighbours are joined, several pairs at once, until one value is left. Bodies are numbered
        from left to right, level by level."""
        items, others = _items(step, inputs)
        body = _body(step)
        carried = body.results[0][0].name
        level = [others[carried], *items] if carried in inputs else items
        if not level:
            raise InvalidInput(
                f"Reduce got an empty list and nothing on its port '{carried}', so it has no value "
                "to give. Join a value to that port."
            )
        done = 0
        while len(level) > 1:
            level, done = await self._joined(level, done, config, body, path, others)
        return {carried: level[0]}

    async def _joined(
        self,
        level: list[Any],
        done: int,
        config: Reduce,
        body: Plan,
        path: str,
        others: Values,
    ) -> tuple[list[Any], int]:
        """The next level, half as long, and how many bodies have run with it."""
        carried = body.results[0][0].name
        pairs = len(level) // 2
        following: list[Any] = [None] * pairs + level[2 * pairs :]

        async def join(pair: int) -> None:
            left, right = level[2 * pair : 2 * pair + 2]
            given = {**others, carried: left, config.item: right}
            made = await self.run_scope(body, f"{path}[{done + pair}]/", given)
            following[pair] = made[carried]

        await _each(join, pairs, config.concurrency)
        return following, done + pairs

    async def _loop(self, config: Loop, step: PlannedStep, path: str, inputs: Values) -> Values:
        """Round after round, until the expression is true or the limit is reached."""
        body = _body(step)
        given = _filled(body, inputs)
        taken = {port.name for port in body.given}
        for number in range(1, config.max_rounds + 1):
            made = await self.run_scope(body, f"{path}[{number - 1}]/", given)
            if _is_true(config.until, {**given, **made, ROUND: number}):
                return {**made, ROUNDS: number}
            given.update({name: value for name, value in made.items() if name in taken})
        if config.on_limit == "stop":
            raise LoopLimit(
                f"After {config.max_rounds} rounds '{config.until}' is still not true. Allow more "
                "rounds, or let the loop take what the last one gave."
            )
        self.emit(EventType.TRACE, path, name="loop_limit", rounds=config.max_rounds)
        return {**made, ROUNDS: config.max_rounds}


def extent(step: PlannedStep, inputs: Values) -> dict[str, int]:
    """How far a map, reduce or loop goes: `times` that its body runs (of a loop at most), and the `steps`
    of one body, each of which ends once. Nothing of other steps, and of a list that is none."""
    match step.config, inputs.get(ITEMS):
        case Loop() as config, _:
            times = config.max_rounds
        case ((Map() | Reduce(order="sequence")), list() as items):
            times = len(items)
        case Reduce(), list() as items:
            carried = _body(step).results[0][0].name in inputs
            times = max(len(items) + carried - 1, 0)
        case _:
            return {}
    return {"times": times, "steps": len(_body(step).steps)}


def _body(step: PlannedStep) -> Plan:
    assert step.body is not None
    return step.body


def _items(step: PlannedStep, inputs: Values) -> tuple[list[Any], dict[str, Any]]:
    """The list, and what every body is given besides."""
    items = inputs[ITEMS]
    if not isinstance(items, list):
        raise InvalidInput(
            f"{step.kind.title} needs a list on its port '{ITEMS}'; it got {type(items).__name__}."
        )
    others = {name: value for name, value in inputs.items() if name != ITEMS}
    return items, _filled(_body(step), others)


def _filled(body: Plan, values: Values) -> dict[str, Any]:
    """With the defaults of what the body need not be given."""
    return {**{port.name: port.default for port in body.given if not port.required}, **values}


def _is_true(expression: str, values: Values) -> bool:
    try:
        return bool(evaluate(expression, values))
    except SandboxError as error:
        raise InvalidConfig(f"The expression '{expression}' failed: {error}") from None


async def _each(work: Callable[[int], Awaitable[None]], count: int, concurrency: int) -> None:
    """Call `work` for 0 … count-1, `concurrency` at once; the first error cancels the others."""
    indexes = iter(range(count))

    async def drain() -> None:
        for index in indexes:
            await work(index)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, count)):
                group.create_task(drain())
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
