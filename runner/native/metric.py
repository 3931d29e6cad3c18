"""metric: how good a prediction is. The measures are DSPy's (dspy/evaluate/metrics.py), number for number.

`accuracy` is what dspy.Evaluate reports of exact matches, as a share instead of a percentage.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.graph.kinds.metric import Metric
from runner.engine.errors import InvalidInput
from runner.engine.executor import Call

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LABELS = ("yes", "no", "noanswer")


async def score(call: Call) -> Mapping[str, Any]:
    """`score` from 0 to 1, and whether it `passed`."""
    config: Metric = call.config
    prediction, expected = call.inputs.get("prediction"), call.inputs.get("expected")
    if config.measure == "accuracy":
        found = _accuracy(prediction, expected)
    else:
        found = _best(config.measure, prediction, expected)
    return {"score": found, "passed": found >= config.pass_mark}


def _accuracy(predictions: Any, expected: Any) -> float:
    if not isinstance(predictions, list) or not isinstance(expected, list):
        raise InvalidInput(
            "Accuracy compares two lists: one of predictions, one of what was expected."
        )
    if len(predictions) != len(expected):
        raise InvalidInput(
            f"Accuracy compares place by place: there are {len(predictions)} predictions, but "
            f"{len(expected)} were expected."
        )
    if not predictions:
        raise InvalidInput("Accuracy of nothing is no number: both lists are empty.")
    pairs = zip(predictions, expected, strict=True)
    return sum(_best("exact_match", *pair) for pair in pairs) / len(predictions)


def _best(measure: str, prediction: Any, expected: Any) -> float:
    """The score against the reference that fits best."""
    references = expected if isinstance(expected, list) else [expected]
    if not references:
        raise InvalidInput("input field 'expected': an empty list has no right answer in it.")
    given = normalized(_text("prediction", prediction))
    compare = MEASURES[measure]
    return max(compare(given, normalized(_text("expected", reference))) for reference in references)


def _text(name: str, value: Any) -> str:
    """Texts as they are, numbers and booleans as Python writes them."""
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidInput(f"input field '{name}': invalid type, expected str, got {value!r:.60}.")


def normalized(text: str) -> str:
    """Decomposed, lower case, without punctuation and articles, one space between words."""
    plain = unicodedata.normalize("NFD", text).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def _exact_match(prediction: str, reference: str) -> float:
    return float(prediction == reference)


def _common(prediction: str, reference: str) -> tuple[int, int, int]:
    """Words in common, words predicted, words expected."""
    told, wanted = prediction.split(), reference.split()
    return sum((Counter(told) & Counter(wanted)).values()), len(told), len(wanted)


def _precision(prediction: str, reference: str) -> float:
    common, told, _ = _common(prediction, reference)
    return common / told if common else 0.0


def _f1(prediction: str, reference: str) -> float:
    common, told, wanted = _common(prediction, reference)
    if not common:
        return 0.0
    precision, recall = common / told, common / wanted
    return (2 * precision * recall) / (precision + recall)


def _hotpot_f1(prediction: str, reference: str) -> float:
    """F1, but a yes or no that differs is worth nothing."""
    if prediction != reference and (prediction in _LABELS or reference in _LABELS):
        return 0.0
    return _f1(prediction, reference)


MEASURES: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": _exact_match,
    "f1": _f1,
    "hotpot_f1": _hotpot_f1,
    "precision": _precision,
}
