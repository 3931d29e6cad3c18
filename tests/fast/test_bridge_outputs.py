"""What a module gave, held to the node's signature."""

from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.policy import StepPolicy
from runner.bridge.outputs import MAX_ANSWER, by_port
from runner.engine.answers import AnswerError, fitting, unparsable
from runner.engine.errors import OutputNotProduced, UnparsableAnswer, failure_of
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.engine.router import counts
from tests.dspy_steps import Observer

STORY: dict[str, Any] = {
    "signature": "question -> story",
    "constraints": {"story": {"min_length": 2_000}},
}


def given(
    produced: dict[str, Any], kind: str = "predict", observer: Observer | None = None, **config: Any
) -> dict[str, Any]:
    call = Call(
        run_id="r",
        path="n1",
        attempt=1,
        node=Node(id="n1", kind=kind, config=config),
        config=kind_named(kind).config(**config),
        policy=StepPolicy(),
        inputs={},
        observer=observer or Observer(),
    )
    return by_port(call, produced)


def test_an_answer_that_breaks_a_constraint_fails_with_what_was_wrong() -> None:
    with pytest.raises(UnparsableAnswer, match=r"output field 'story'.*at least 2000") as raised:
        given({"story": "Once upon a time"}, **STORY)
    assert raised.value.details["answer"] == '{"story": "Once upon a time"}'
    assert raised.value.details["fields"] == ["story"]
    assert counts(raised.value)
    failure = failure_of(raised.value)
    assert (failure.code, failure.retryable) == ("unparsable_answer", False)


def test_both_backends_say_it_in_the_same_words() -> None:
    config = kind_named("predict").config(**STORY)
    with pytest.raises(AnswerError) as refused:
        fitting(config.parsed().outputs["story"], "Once")
    native = unparsable("Once", refused.value, second=True)
    with pytest.raises(UnparsableAnswer) as raised:
        given({"story": "Once"}, **STORY)
    assert raised.value.details["problem"] == native.details["problem"]
    assert raised.value.message == native.message.replace(", and the second one neither", "")


@pytest.mark.parametrize(
    ("type_", "constraints", "good", "bad"),
    [
        ("float", {"le": 1}, 0.5, 1.5),
        ("float", {}, 1.0, None),  # NaN, once it has crossed
        ("str", {"pattern": "^[a-z]+$"}, "abc", "ABC"),
        ("list[int]", {"max_length": 1}, [1], [1, 2]),
        ("Literal['a', 'b']", {}, "a", "c"),
        ("int | None", {"ge": 0}, None, -1),
    ],
)
def test_type_and_constraints_hold(
    type_: str, constraints: dict[str, Any], good: Any, bad: Any
) -> None:
    config = {"signature": f"q -> x: {type_}", "constraints": {"x": constraints}}
    assert given({"x": good}, **config) == {"x": good}
    with pytest.raises(UnparsableAnswer):
        given({"x": bad}, **config)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("dspy.Code", "print(1)"),
        ("dspy.ToolCalls", {"tool_calls": [{"name": "add", "args": {"a": 1}}]}),
        ("list[dspy.Image]", [{"url": "data:image/png;base64,AA=="}]),
        ("dspy.History", {"messages": [{"question": "?"}]}),
        ("Any", {"$unserialisable": "numpy.ndarray"}),
        ("set[str]", ["a"]),
        ("date", "2024-02-29"),
        ("Decimal", "12.50"),
        ("tuple[int, str]", [1, "a"]),
        ("dict[int, float]", {"1": 2.0}),
        ("Optional[str]", None),
    ],
)
def test_values_stay_as_they_crossed(type_: str, value: Any) -> None:
    assert given({"x": value}, signature=f"q -> x: {type_}") == {"x": value}


def test_reasoning_is_held_to_be_a_text_as_natively() -> None:
    config = {"signature": "q -> a"}
    assert given({"reasoning": "r", "a": "x"}, "chain_of_thought", **config) == {
        "reasoning": "r",
        "a": "x",
    }
    with pytest.raises(UnparsableAnswer, match="'reasoning'"):
        given({"reasoning": None, "a": "x"}, "chain_of_thought", **config)


@pytest.mark.parametrize("module", ["ReAct", "BestOfN", "Refine", "MultiChainComparison", "RLM"])
def test_what_other_modules_give_is_held_to_the_signature_too(module: str) -> None:
    extra = {"reasoning": "r", "rationale": "r", "trajectory": {}, "final_reasoning": "r"}
    config = {**STORY, "module": module, "reward": "1"}
    with pytest.raises(UnparsableAnswer, match="'story'") as raised:
        given({**extra, "story": "Once"}, "dspy_module", **config)
    assert raised.value.details["answer"] == '{"story": "Once"}'
    story = "x" * 2_000
    assert given({**extra, "story": story}, "dspy_module", **config)["story"] == story


def test_a_refused_prediction_of_parallel_is_null_in_its_place() -> None:
    observer = Observer()
    config = {"signature": "q -> n: int", "constraints": {"n": {"ge": 0}}, "module": "Parallel"}
    predictions = [{"n": 1}, {"n": -1}, None, {"reasoning": "r", "n": 2}]
    outputs = given({"predictions": predictions}, "dspy_module", observer, **config)
    assert outputs == {"predictions": [{"n": 1}, None, None, {"reasoning": "r", "n": 2}]}
    (told,) = observer.of(EventType.TRACE)
    assert (told["name"], told["prediction"]) == ("refused", 1)
    assert "greater than or equal to 0" in told["problem"]


def test_an_output_that_is_missing_is_named() -> None:
    with pytest.raises(OutputNotProduced, match="'story'"):
        given({}, **STORY)


def test_what_is_kept_of_a_refused_answer_has_an_end_and_can_be_stored() -> None:
    config = {"signature": "q -> a", "constraints": {"a": {"max_length": 3}}}
    with pytest.raises(UnparsableAnswer) as raised:
        given({"a": "\ud800" + "x" * MAX_ANSWER}, **config)
    answer = raised.value.details["answer"]
    assert len(answer) == MAX_ANSWER and answer.encode()
