"""validate: typed checks of values, with a message per field."""

from typing import Any

from pydantic import Field, field_validator

from pipelines.graph import signature as signatures
from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports


class Validate(Config):
    """`fields` is one side of a signature: `name: str, age: int`."""

    fields: str = Field(min_length=1, max_length=20_000, description="name: str, age: int")
    constraints: dict[str, dict[str, Any]] = Field({}, description="Constraints by field name.")
    on_invalid: str = Field(
        "fail",
        pattern="^(fail|report)$",
        description="fail ends the step with a message per field; report gives them as problems.",
    )

    @field_validator("fields")
    @classmethod
    def _is_one_side(cls, text: str) -> str:
        signatures.parse(f"{text} ->")
        return text

    def parsed(self) -> signatures.Signature:
        return signatures.parse(f"{self.fields} ->", constraints=self.constraints)


def _inputs(config: Validate, body: Body) -> Ports:
    return tuple(Port(name=name) for name in config.parsed().inputs)


def _outputs(config: Validate, body: Body) -> Ports:
    return (
        Port(name="value", type="dict[str, Any]"),
        Port(name="problems", type="list[dict[str, Any]]"),
    )


VALIDATE = Kind(
    name="validate",
    title="Validate",
    description="Checks types and constraints, field by field.",
    group="data",
    config=Validate,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)
