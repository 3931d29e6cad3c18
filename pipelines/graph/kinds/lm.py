"""lm: a prompt in, the model's text out."""

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Kind, Ports
from pipelines.graph.kinds.predict import LMConfig


class LM(LMConfig):
    """A plain call of a language model."""

    system: str = Field("", max_length=100_000, description="System message.")


def _inputs(config: LM, body: Body) -> Ports:
    return (Port(name="prompt", type="str"),)


def _outputs(config: LM, body: Body) -> Ports:
    return (Port(name="text", type="str"),)


LM_CALL = Kind(
    name="lm",
    title="Language model",
    description="Sends a prompt to a language model and gives its text.",
    group="language model",
    config=LM,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)
