"""metric: how good a prediction is, against what was expected."""

from typing import Literal

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports


class Metric(Config):
    """The measures are DSPy's."""

    measure: Literal["exact_match", "f1", "hotpot_f1", "precision", "accuracy"] = Field(
        "exact_match",
        description="exact_match, f1, hotpot_f1 and precision compare texts without case, "
        "punctuation and articles; accuracy is the share of a list's places that match exactly.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The score that passes; 1 for exact_match, else 0.5, if empty.",
    )

    @property
    def pass_mark(self) -> float:
        if self.threshold is not None:
            return self.threshold
        return 1.0 if self.measure == "exact_match" else 0.5


def _inputs(config: Metric, body: Body) -> Ports:
    if config.measure == "accuracy":
        return (Port(name="prediction", type="list"), Port(name="expected", type="list"))
    return (
        Port(name="prediction"),
        Port(name="expected", description="A text, or a list of texts any of which is right."),
    )


def _outputs(config: Metric, body: Body) -> Ports:
    return (Port(name="score", type="float"), Port(name="passed", type="bool"))


METRIC = Kind(
    name="metric",
    title="Metric",
    description="Scores a prediction against what was expected.",
    group="data",
    config=Metric,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)
