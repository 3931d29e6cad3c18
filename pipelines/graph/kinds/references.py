"""What a module needs beside its signature, as references: a user names things, and writes no code.

A reward is one text:

    answer|length < 80                  a minijinja expression over the inputs and outputs
    metric: f1(answer, expected)        a measure of the metric kind, of two of those values
    pipeline: <version>                 a pinned pipeline with an output `score`
    tool: <name>                        a host tool that takes `inputs` and `outputs`
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pipelines.graph.kinds.kind import expression_variables
from pipelines.graph.kinds.metric import Metric

_METRIC = re.compile(r"(\w+)\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_MEASURES: tuple[str, ...] = get_args(Metric.model_fields["measure"].annotation)

TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
"""As providers and DSPy's sandbox take it: a name of Python's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """How good a prediction is. `text` is the expression, the measure, the version or the tool;
    `names` are the inputs and outputs it reads, where that is known."""

    by: Literal["expression", "metric", "pipeline", "tool"]
    text: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In words, for a language model that is asked for advice."""
        if self.by == "metric":
            return f"score = {self.text} of {self.names[0]} against {self.names[1]}"
        return (
            f"score = {self.text}" if self.by == "expression" else f"score of {self.by} {self.text}"
        )


def parse_reward(text: str) -> Reward:
    """The reference that the text is. A ValueError says what is wrong with it."""
    by, colon, rest = text.partition(":")
    rest = rest.strip()
    if colon and by.strip() == "metric":
        return _metric(rest)
    if colon and by.strip() in ("pipeline", "tool"):
        if not _NAME.fullmatch(rest) and not _is_version(rest):
            raise ValueError(f"'{rest}' names no {by.strip()}.")
        return Reward(by="pipeline" if by.strip() == "pipeline" else "tool", text=rest)
    return Reward(by="expression", text=text.strip(), names=expression_variables(text))


def _metric(text: str) -> Reward:
    match = _METRIC.fullmatch(text)
    if match is None:
        raise ValueError(
            f"'{text}' is no metric. Write it as f1(answer, expected): the measure, the value to "
            "judge, and the one it should be."
        )
    measure, prediction, expected = match.groups()
    if measure not in _MEASURES:
        raise ValueError(f"There is no measure '{measure}'. Measures: {', '.join(_MEASURES)}.")
    return Reward(by="metric", text=measure, names=(prediction, expected))


def _is_version(text: str) -> bool:
    return re.fullmatch(r"[0-9A-Za-z-]{1,100}", text) is not None


def rewarding_pipeline(config: Mapping[str, Any]) -> str | None:
    """The version that a node's reward pins; of a config with mistakes, what can be told."""
    by, colon, rest = str(config.get("reward", "")).partition(":")
    return rest.strip() if colon and by.strip() == "pipeline" else None


def score_of(value: Any) -> float:
    """A reward as a number: truth is 1. A ValueError when it is none, NaN and infinity included."""
    if isinstance(value, bool):
        return 1.0 if value else 0.0
    if isinstance(value, int | float) and abs(value) < float("inf"):
        return float(value)
    raise ValueError(f"a reward is a number or true or false, not {value!r}")
