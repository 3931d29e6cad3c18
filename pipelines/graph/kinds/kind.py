"""A node's type in the catalogue: its ports, its config as a pydantic model, its schema version."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipelines.graph import sandbox
from pipelines.graph.graph import Backend, Port


class Config(BaseModel):
    """Base of every kind's config: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The ports of a container's own input and output nodes."""

    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


type Ports = tuple[Port, ...]
type PortsOf = Callable[[Any, Body], Ports]
type BodyCheck = Callable[[Any, Body], Iterable[str]]
type FieldCheck = Callable[[Any], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One entry of the catalogue. `upgrades` maps an old schema version to what lifts a config from
    it to the next one. `check` says which fields of a config don't go together or are missing beside
    others, each with what mends it: each is good by itself, so that they may be set in any order.
    `check_body` says what keeps a container's body from being its own, `repeatable`
    whether a step may be done again without asking when nobody knows what came of it."""

    name: str
    title: str
    description: str
    group: Literal["interface", "language model", "control", "data", "retrieval"]
    config: type[Config]
    inputs: PortsOf
    outputs: PortsOf
    backends: frozenset[Backend]
    version: int = 1
    container: bool = False
    check: FieldCheck = lambda config: ()
    check_body: BodyCheck = lambda config, body: ()
    repeatable: Callable[[Any], bool] = lambda config: True
    upgrades: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)

    @property
    def routed(self) -> bool:
        """Whether a router has anything to choose: control kinds belong to the engine."""
        return "engine" not in self.backends


def _parsable(text: str) -> str:
    template_variables(text)
    return text


def _parsable_expression(text: str) -> str:
    expression_variables(text)
    return text


# Checked by the kind that has it: its text may name types that the kind declares beside it.
type SignatureText = Annotated[
    str, Field(max_length=20_000, json_schema_extra={"x-editor": "signature"})
]
type TemplateText = Annotated[
    str,
    # The length first: what is too long is not parsed.
    Field(max_length=100_000, json_schema_extra={"x-editor": "template"}),
    AfterValidator(_parsable),
]
type ExpressionText = Annotated[
    str,
    Field(min_length=1, max_length=2_000, json_schema_extra={"x-editor": "expression"}),
    AfterValidator(_parsable_expression),
]


def template_variables(text: str) -> tuple[str, ...]:
    """The names a template reads, in order of appearance; a ValueError with line and cause when it
    does not parse. Nothing is rendered."""
    return sandbox.variables(text)


_OPENS = "{{ "


def expression_variables(text: str) -> tuple[str, ...]:
    """The names an expression reads, in order; a ValueError when it is not one expression."""
    if "%}" in text or "}}" in text:
        raise ValueError(
            "An expression is written without braces: score > 0.5, not {{ score > 0.5 }}."
        )
    try:
        return sandbox.variables(_OPENS + text + " }}")
    except sandbox.SandboxError as error:
        raise error.moved(-len(_OPENS), len(text)) from None
