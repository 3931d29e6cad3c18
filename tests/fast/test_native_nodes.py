"""lm, template, validate and what the native executor can do."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.policy import StepPolicy
from runner.engine.errors import InvalidConfig, InvalidInput, OperationNotFound
from runner.engine.executor import Call
from runner.native.corpus import FolderCorpus
from runner.native.executor import NativeExecutor
from tests.fast.test_native_predict import Gateway, Observer


def an_executor(gateway: Gateway | None = None, **more: Any) -> NativeExecutor:
    return NativeExecutor(gateway or Gateway([]), FolderCorpus(Path("nowhere")), **more)


def a_call(kind: str, inputs: dict[str, Any], **config: Any) -> Call:
    return Call(
        run_id="r",
        path="p",
        attempt=1,
        node=Node(id="p", kind=kind, config=config),
        config=KINDS[kind].config(**config) if kind in KINDS else None,
        policy=StepPolicy(),
        inputs=inputs,
        observer=Observer(),
    )


async def test_lm_gives_the_text_as_it_is() -> None:
    gateway = Gateway(["[[ ## x ## ]] {"])
    call = a_call("lm", {"prompt": "Hi"}, system="Be brief.")
    assert await an_executor(gateway).execute(call) == {"text": "[[ ## x ## ]] {"}
    messages = gateway.asked[0].messages
    assert [(m.role, m.content) for m in messages] == [("system", "Be brief."), ("user", "Hi")]


async def test_lm_wants_a_text() -> None:
    with pytest.raises(InvalidInput, match="'prompt'"):
        await an_executor().execute(a_call("lm", {"prompt": 3}))


@pytest.mark.parametrize(
    "template",
    ["{{ a }}-{{ b }}", "{% for x in [a, b] %}{{ x }}{{ '-' if loop.first }}{% endfor %}"],
)
async def test_template_fills_values_in(template: str) -> None:
    outputs = await an_executor().execute(a_call("template", {"a": 1, "b": "x"}, template=template))
    assert outputs == {"text": "1-x"}


async def test_template_errors_name_line_and_variable() -> None:
    call = a_call("template", {"a": {}}, template="ok\n{{ a.b.c }}")
    with pytest.raises(InvalidConfig, match=r"`a\.b` is undefined") as raised:
        await an_executor().execute(call)
    assert raised.value.details == {"line": 2}


VALIDATE = {"fields": "age: int, tags: list[str], score: float", "constraints": {"age": {"ge": 0}}}


async def test_validate_gives_typed_values() -> None:
    inputs = {"age": 3, "tags": ["a"], "score": 1}
    outputs = await an_executor().execute(a_call("validate", inputs, **VALIDATE))
    assert outputs == {"value": {"age": 3, "tags": ["a"], "score": 1.0}, "problems": []}


async def test_validate_names_every_problem_in_the_words_of_the_seed() -> None:
    call = a_call("validate", {"age": -1, "tags": "a"}, **VALIDATE)
    with pytest.raises(InvalidInput) as raised:
        await an_executor().execute(call)
    problems = {p["field"]: p["message"] for p in raised.value.details["problems"]}
    assert problems["score"] == "input field 'score': is required"
    assert problems["tags"] == (
        "input field 'tags': invalid type, expected list[string], got \"a\""
    )
    assert "greater than or equal to 0" in problems["age"]


async def test_validate_may_report_instead() -> None:
    call = a_call("validate", {"age": "x", "tags": [], "score": 2}, on_invalid="report", **VALIDATE)
    outputs = await an_executor().execute(call)
    assert outputs["value"] == {"tags": [], "score": 2.0}
    assert [problem["field"] for problem in outputs["problems"]] == ["age"]


@pytest.mark.parametrize(
    ("kind", "config", "can"),
    [
        ("predict", {"signature": "a -> b: list[str]"}, True),
        ("chain_of_thought", {"signature": "a -> b"}, True),
        ("predict", {"signature": "image: dspy.Image -> b"}, True),
        ("predict", {"signature": "images: Optional[list[dspy.Image]], f: dspy.File -> b"}, True),
        ("predict", {"signature": "either: Union[str, dspy.Image] -> b"}, False),
        ("predict", {"signature": "b -> image: dspy.Image"}, False),
        ("predict", {"signature": "tools: list[dspy.Tool] -> b"}, False),
        ("predict", {"signature": "a -> calls: list[dspy.ToolCalls]"}, False),
        ("lm", {}, True),
        ("template", {"template": "x"}, True),
        ("validate", {"fields": "a: int"}, True),
        ("search", {}, True),
        ("colbert", {}, True),
        ("colbert", {"url": "http://127.0.0.1:8893/api/search"}, False),
        ("dspy_module", {"signature": "a -> b", "module": "ReAct"}, False),
    ],
)
def test_can_says_what_runs_here(kind: str, config: dict[str, Any], can: bool) -> None:
    call = a_call(kind, {}, **config)
    assert an_executor().can(call.node, call.config) is can


async def test_a_kind_without_a_handler_is_refused() -> None:
    with pytest.raises(OperationNotFound, match="teleport"):
        await an_executor().execute(a_call("teleport", {}))
