"""Host tools and rewards, as references name them."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.graph.kinds.dspy_module import DSPY_MODULE, DSPyModule
from pipelines.graph.kinds.kind import Body
from pipelines.graph.kinds.references import parse_reward, score_of
from runner.bridge import tools
from runner.bridge.tools import HostTool, InvalidArguments, register

CALL: Any = SimpleNamespace()


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def test_a_function_becomes_a_tool_with_its_schema() -> None:
    tool = HostTool.of(add)
    assert (tool.name, tool.description) == ("add", "Add two numbers.")
    assert tool.parameters["properties"]["a"]["type"] == "integer"
    assert tool.parameters["required"] == ["a"]
    assert await tool.run(CALL, tool.checked({"a": 2})) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"a": "many"}, "'a': Input should be a valid integer"),
        ({}, "'a': Field required"),
        ({"a": 1, "c": 1}, "'c': Extra inputs are not permitted. It takes: a, b"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArguments, match=said) as raised:
        HostTool.of(add).checked(arguments)
    assert raised.value.code == "invalid_arguments"


def test_two_tools_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "REGISTERED", {})
    register(HostTool.of(add))
    with pytest.raises(ValueError, match="a host tool 'add' already"):
        register(HostTool.of(add))


@pytest.mark.parametrize(
    ("text", "by", "names"),
    [
        ("answer|length < 80", "expression", ("answer",)),
        ("metric: f1(answer, expected)", "metric", ("answer", "expected")),
        ("pipeline: 0192f0c4-0000-7000-8000-000000000000", "pipeline", ()),
        ("tool: judge", "tool", ()),
    ],
)
def test_a_reward_is_a_reference(text: str, by: str, names: tuple[str, ...]) -> None:
    reward = parse_reward(text)
    assert (reward.by, reward.names) == (by, names)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metric: f2(a, b)", "no measure 'f2'"),
        ("metric: f1", "'f1' is no metric"),
        ("tool: rm -rf", "'rm -rf' names no tool"),
        ("{{ answer }}", "without braces"),
        ("import os", "line 1"),
    ],
)
def test_what_is_no_reference_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_reward(text)


@pytest.mark.parametrize(("value", "score"), [(True, 1.0), (False, 0.0), (2, 2.0), (0.5, 0.5)])
def test_a_reward_is_a_number(value: Any, score: float) -> None:
    assert score_of(value) == score


@pytest.mark.parametrize("value", ["1", None, float("nan"), float("inf"), [1]])
def test_what_is_no_number_is_no_reward(value: Any) -> None:
    with pytest.raises(ValueError, match="a number or true or false"):
        score_of(value)


@pytest.mark.parametrize(
    ("config", "inputs", "outputs"),
    [
        ({"module": "Predict"}, ["question"], ["answer"]),
        ({"module": "ReAct"}, ["question"], ["reasoning", "trajectory", "answer"]),
        ({"module": "Parallel"}, ["examples"], ["predictions"]),
        (
            {"module": "MultiChainComparison"},
            ["question", "completions"],
            ["rationale", "answer"],
        ),
        ({"module": "BestOfN", "reward": "1"}, ["question"], ["reasoning", "answer"]),
        ({"module": "Refine", "reward": "1", "inner": "Predict"}, ["question"], ["answer"]),
    ],
)
def test_ports_are_those_of_the_module(config: Any, inputs: list[str], outputs: list[str]) -> None:
    made = DSPyModule(signature="question -> answer", **config)
    assert [port.name for port in DSPY_MODULE.inputs(made, Body())] == inputs
    assert [port.name for port in DSPY_MODULE.outputs(made, Body())] == outputs


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"module": "BestOfN"}, "BestOfN needs a reward"),
        ({"module": "BestOfN", "reward": "nope > 1"}, "The reward reads 'nope', which is no field"),
    ],
)
def test_a_module_node_that_lacks_something_says_what(config: Any, said: str) -> None:
    made = DSPyModule(signature="question -> answer", **config)
    ((field, message),) = DSPY_MODULE.check(made)
    assert field == "reward"
    assert message.startswith(said)


def test_a_tool_has_a_name_that_python_takes() -> None:
    with pytest.raises(ValidationError, match="'no-name' names no tool"):
        DSPyModule(signature="question -> answer", module="ReAct", tools=("no-name",))
