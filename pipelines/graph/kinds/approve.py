"""approve: a person looks at a value and lets it pass, or does not."""

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports

VALUE = "value"


class Approve(Config):
    """What the person is asked."""

    question: str = Field(
        "May this go on?", min_length=1, max_length=2_000, description="What the person is asked."
    )
    editable: bool = Field(False, description="Whether the person may change the value.")


def _inputs(config: Approve, body: Body) -> Ports:
    return (Port(name=VALUE, description="What the person is shown."),)


def _outputs(config: Approve, body: Body) -> Ports:
    return (
        Port(name="approved", description="The value, when the person lets it pass."),
        Port(name="rejected", description="The value, when the person does not."),
        Port(name="comment", type="str", description="What the person wrote."),
    )


APPROVE = Kind(
    name="approve",
    title="Approve",
    description="Waits until a person has let a value pass, or not.",
    group="control",
    config=Approve,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"engine"}),
)
