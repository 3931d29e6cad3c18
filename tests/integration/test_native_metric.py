"""The metric kind's measures are DSPy's, number for number."""

from typing import Any

import dspy
import pytest
from dspy.evaluate import metrics
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.kinds.metric import Metric
from runner.native.metric import normalized, score
from tests.lm_calls import a_call

WORDS = st.sampled_from(
    [
        "the",
        "A",
        "an",
        "Paris",
        "paris.",
        "yes",
        "No",
        "noanswer",
        "Zoë",
        "Zoe\u0308",
        "don't",
        "«x»",
        "42",
        "",
    ]
)
TEXTS = st.lists(WORDS, max_size=5).map(" ".join) | st.text(max_size=12)
PEERS: dict[str, Any] = {
    "exact_match": metrics.EM,
    "f1": metrics.F1,
    "hotpot_f1": metrics.HotPotF1,
    "precision": lambda told, wanted: max(metrics.precision_score(told, one) for one in wanted),
}


@given(TEXTS)
def test_texts_are_normalized_as_in_dspy(text: str) -> None:
    assert normalized(text) == metrics.normalize_text(text)


async def scored(measure: Any, prediction: Any, expected: Any) -> Any:
    inputs = {"prediction": prediction, "expected": expected}
    return (await score(a_call(config=Metric(measure=measure), inputs=inputs)))["score"]


@pytest.mark.parametrize("measure", PEERS)
@given(prediction=TEXTS, expected=st.lists(TEXTS, min_size=1, max_size=3))
async def test_scores_are_those_of_dspy(measure: str, prediction: str, expected: list[str]) -> None:
    assert await scored(measure, prediction, expected) == PEERS[measure](prediction, expected)


async def test_accuracy_is_what_evaluate_reports() -> None:
    told, wanted = ["Paris.", "Rome", "the  Seine"], ["paris", "Berlin", ["Loire", "seine"]]
    rows = [
        dspy.Example(told=one, answer=other).with_inputs("told")
        for one, other in zip(told, wanted, strict=True)
    ]
    evaluate = dspy.Evaluate(devset=rows, metric=metrics.answer_exact_match, num_threads=1)
    report = evaluate(lambda told: dspy.Prediction(answer=told))
    assert await scored("accuracy", told, wanted) == pytest.approx(report.score / 100, abs=1e-4)
