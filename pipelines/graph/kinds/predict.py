"""predict and chain_of_thought: typed fields in, typed fields out, through a language model."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from pipelines.graph import signature as signatures
from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports, SignatureText


class LMConfig(Config):
    """What every kind that calls a language model may set; None leaves it to the LM profile."""

    lm: str | None = Field(
        None, max_length=100, description="LM profile; the default one when empty."
    )
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)


class Predict(LMConfig):
    """A signature, and what an optimizer may add to it."""

    types: dict[str, dict[str, Any]] = Field({}, description="JSON Schema by type name.")
    signature: SignatureText = Field(description="Typed inputs -> typed outputs.")
    instructions: str = Field("", max_length=100_000)
    descriptions: dict[str, str] = Field({}, description="Description by field name.")
    constraints: dict[str, dict[str, Any]] = Field({}, description="Constraints by field name.")
    demos: tuple[dict[str, Any], ...] = Field((), max_length=1_000)

    @field_validator("signature")
    @classmethod
    def _parses(cls, text: str, info: ValidationInfo) -> str:
        signatures.parse(text, types=info.data.get("types", {}))
        return text

    def parsed(self) -> signatures.Signature:
        """The signature with everything that this config adds to its text and that fits it."""
        try:
            return self._parsed(self.descriptions, self.constraints)
        except signatures.SignatureError:
            unfit = {place for place, _ in self.unfit()}
            given: dict[str, Mapping[str, Any]] = {
                "descriptions": self.descriptions,
                "constraints": self.constraints,
            }
            fitting = {
                part: {name: each for name, each in of.items() if f"{part}.{name}" not in unfit}
                for part, of in given.items()
            }
            return self._parsed(**fitting)

    def unfit(self) -> Iterator[tuple[str, str]]:
        """What is said of fields that the signature does not have, or not so: where, and why not."""
        if not self._misfit(self.descriptions, self.constraints):
            return
        for name, text in self.descriptions.items():
            if why := self._misfit({name: text}, {}):
                yield f"descriptions.{name}", why
        for name, constraint in self.constraints.items():
            if why := self._misfit({}, {name: constraint}):
                yield f"constraints.{name}", why

    def _misfit(self, descriptions: Mapping[str, Any], constraints: Mapping[str, Any]) -> str:
        try:
            self._parsed(descriptions, constraints)
        except signatures.SignatureError as error:
            return error.message
        return ""

    def _parsed(
        self, descriptions: Mapping[str, Any], constraints: Mapping[str, Any]
    ) -> signatures.Signature:
        return signatures.parse(
            self.signature,
            instructions=self.instructions,
            descriptions=descriptions,
            constraints=constraints,
            types=self.types,
        )


def check_predict(config: Predict) -> Iterator[tuple[str, str]]:
    """Whether what stands beside the signature fits it."""
    return config.unfit()


REASONING = "reasoning"
REASONING_DESCRIPTION = "${reasoning}"


def with_reasoning(signature: signatures.Signature) -> signatures.Signature:
    """The signature that ChainOfThought asks for: `reasoning` comes first unless it is there."""
    if REASONING in signature.outputs:
        return signature
    return signature.prepend_output(REASONING, "str", REASONING_DESCRIPTION)


def input_ports(config: Predict, body: Body) -> Ports:
    return tuple(
        Port(
            name=field.name,
            type=field.type if field.declared else "Any",
            description=field.description,
        )
        for field in config.parsed().inputs.values()
    )


def _output_ports(signature: signatures.Signature) -> Ports:
    return tuple(
        Port(name=field.name, type=field.type, description=field.description)
        for field in signature.outputs.values()
    )


def output_ports(config: Predict, body: Body) -> Ports:
    return _output_ports(config.parsed())


def _reasoned_ports(config: Predict, body: Body) -> Ports:
    return _output_ports(with_reasoning(config.parsed()))


PREDICT = Kind(
    name="predict",
    title="Predict",
    description="Asks a language model for the outputs of a signature.",
    group="language model",
    config=Predict,
    check=check_predict,
    inputs=input_ports,
    outputs=output_ports,
    backends=frozenset({"native", "dspy"}),
)

CHAIN_OF_THOUGHT = Kind(
    name="chain_of_thought",
    title="Chain of thought",
    description="Lets the model reason before it answers.",
    group="language model",
    config=Predict,
    check=check_predict,
    inputs=input_ports,
    outputs=_reasoned_ports,
    backends=frozenset({"native", "dspy"}),
)
