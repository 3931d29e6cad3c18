"""validate: typed checks of values, with a message per field."""

from collections.abc import Iterator
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
        """The fields with those constraints that fit them."""
        fitting = {name: each for name, each in self.constraints.items() if not self._misfit(name)}
        return signatures.parse(f"{self.fields} ->", constraints=fitting)

    def unfit(self) -> Iterator[tuple[str, str]]:
        """Constraints of fields that are not there or not so: where, and why not."""
        for name in self.constraints:
            if why := self._misfit(name):
                yield f"constraints.{name}", why

    def _misfit(self, name: str) -> str:
        try:
            signatures.parse(f"{self.fields} ->", constraints={name: self.constraints[name]})
        except signatures.SignatureError as error:
            return error.message
        return ""


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
    check=Validate.unfit,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)
