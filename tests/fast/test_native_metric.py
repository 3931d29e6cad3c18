from typing import Any

import pytest

from pipelines.graph.kinds.metric import Metric
from runner.engine.errors import InvalidInput
from runner.native.metric import score
from tests.lm_calls import a_call


async def scored(measure: Any, prediction: Any, expected: Any, **config: Any) -> dict[str, Any]:
    inputs = {"prediction": prediction, "expected": expected}
    return dict(await score(a_call(config=Metric(measure=measure, **config), inputs=inputs)))


@pytest.mark.parametrize(
    ("measure", "prediction", "expected", "found"),
    [
        ("exact_match", "The Eiffel Tower!", ["Louvre", "eiffel tower"], 1.0),
        ("exact_match", "Paris", "Paris, France", 0.0),
        ("exact_match", 42, "42", 1.0),
        ("f1", "Eiffel Tower is in Paris", "Paris", 1 / 3),
        ("f1", "the", "a", 0.0),
        ("hotpot_f1", "yes it is", "yes", 0.0),
        ("precision", "eiffel tower in paris", "eiffel tower", 0.5),
        ("accuracy", ["a b", "c"], ["A, b", "d"], 0.5),
        ("accuracy", ["x"], [["y", "x"]], 1.0),
    ],
)
async def test_measures(measure: str, prediction: Any, expected: Any, found: float) -> None:
    assert (await scored(measure, prediction, expected))["score"] == pytest.approx(found)


async def test_what_passes_is_told() -> None:
    assert (await scored("f1", "a tall tower", "tower"))["passed"] is True
    assert (await scored("f1", "a tall tower", "tower", threshold=0.9))["passed"] is False


@pytest.mark.parametrize(
    ("measure", "prediction", "expected", "words"),
    [
        ("f1", None, "x", "'prediction': invalid type"),
        ("f1", "x", [], "no right answer"),
        ("f1", "x", [{"y": 1}], "'expected': invalid type"),
        ("accuracy", "x", ["x"], "two lists"),
        ("accuracy", ["x"], [], "1 predictions, but 0"),
        ("accuracy", [], [], "both lists are empty"),
    ],
)
async def test_bad_input_is_named(measure: str, prediction: Any, expected: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await scored(measure, prediction, expected)
