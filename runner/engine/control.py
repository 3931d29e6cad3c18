"""What the control kinds do with their inputs. Pure; those that run
steps are in `containers.py`."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.graph.kinds.control import VALUE, Condition, Merge, Switch
from pipelines.graph.sandbox import SandboxError, evaluate
from runner.engine.errors import InvalidConfig


def condition(config: Condition, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One live port of two. It carries `value`, or the verdict when nothing feeds `value`."""
    verdict = bool(_evaluate(config.expression, inputs))
    return {"then" if verdict else "otherwise": inputs.get(VALUE, verdict)}


def switch(config: Switch, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One live port: the case that equals the expression's value as text, else `otherwise`."""
    chosen = _evaluate(config.expression, inputs)
    port = chosen if chosen in config.cases else str(chosen)
    return {port if port in config.cases else "otherwise": inputs.get(VALUE, chosen)}


def merge(config: Merge, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The live inputs as one value, by the strategy. `inputs` is in port order, without the dead."""
    match config.strategy:
        case "first":
            return {VALUE: next(iter(inputs.values()))}
        case "list":
            return {VALUE: list(inputs.values())}
        case "dict":
            return {VALUE: _nested(inputs)}
        case "vote":
            return {VALUE: _most_frequent(list(inputs.values()))}


def _evaluate(expression: str, inputs: Mapping[str, Any]) -> Any:
    try:
        return evaluate(expression, inputs)
    except SandboxError as error:
        raise InvalidConfig(f"The expression '{expression}' failed: {error}") from None


def _nested(inputs: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in inputs.items():
        outer, _, inner = name.partition(".")
        if inner:
            result.setdefault(outer, {})[inner] = value
        else:
            result[outer] = value
    return result


def _most_frequent(values: list[Any]) -> Any:
    """Ties go to the earlier port: Counter keeps the order of first appearance."""
    keys = [json.dumps(value, sort_keys=True) for value in values]
    winner, _ = Counter(keys).most_common(1)[0]
    return values[keys.index(winner)]


CONTROLS: Mapping[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]] = {
    "condition": condition,
    "switch": switch,
    "merge": merge,
}
