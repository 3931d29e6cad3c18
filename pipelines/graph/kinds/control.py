"""condition, switch, merge: the ways that values take, which the engine itself decides."""

from typing import Literal

from pydantic import Field, field_validator

from pipelines.graph.graph import PORT_NAME, Backend, Port
from pipelines.graph.kinds.kind import (
    Body,
    Config,
    ExpressionText,
    Kind,
    Ports,
    expression_variables,
)

VALUE = "value"
ENGINE: frozenset[Backend] = frozenset({"engine"})


class Condition(Config):
    """An expression that is true or false."""

    expression: ExpressionText = Field(description="For example: score > 0.5 and label == 'spam'")


class Switch(Config):
    """An expression whose text picks one of the cases."""

    expression: ExpressionText = Field(description="Its value, as text, picks the case.")
    cases: tuple[str, ...] = Field(min_length=1, max_length=50)

    @field_validator("cases")
    @classmethod
    def _name_ports(cls, cases: tuple[str, ...]) -> tuple[str, ...]:
        return _port_names(cases, reserved=("otherwise",))


class Merge(Config):
    """How several values become one. With `dict`, a dot in an input's name nests."""

    inputs: tuple[str, ...] = Field(min_length=1, max_length=200)
    strategy: Literal["first", "dict", "list", "vote"] = "first"

    @field_validator("inputs")
    @classmethod
    def _name_ports(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        return _port_names(inputs)


def _port_names(names: tuple[str, ...], reserved: tuple[str, ...] = ()) -> tuple[str, ...]:
    for name in names:
        if not PORT_NAME.match(name):
            raise ValueError(f"'{name}' is not a port name: use letters, digits and _ only.")
        if names.count(name) > 1 or name in reserved:
            raise ValueError(f"The port '{name}' exists already. Use another name.")
        if name.partition(".")[0] != name and name.partition(".")[0] in names:
            raise ValueError(f"'{name}' nests in '{name.partition('.')[0]}', which is a port too.")
    return names


def _expression_ports(config: Condition | Switch, body: Body) -> Ports:
    names = expression_variables(config.expression)
    carried = () if VALUE in names else (Port(name=VALUE, required=False),)
    return (*(Port(name=name) for name in names), *carried)


def _merge_inputs(config: Merge, body: Body) -> Ports:
    return tuple(Port(name=name, required=False) for name in config.inputs)


CONDITION = Kind(
    name="condition",
    title="Condition",
    description="Lets a value pass on one of two ways.",
    group="control",
    config=Condition,
    inputs=_expression_ports,
    outputs=lambda config, body: (Port(name="then"), Port(name="otherwise")),
    backends=ENGINE,
)

SWITCH = Kind(
    name="switch",
    title="Switch",
    description="Lets a value pass on one of several ways.",
    group="control",
    config=Switch,
    inputs=_expression_ports,
    outputs=lambda config, body: tuple(Port(name=case) for case in (*config.cases, "otherwise")),
    backends=ENGINE,
)

MERGE = Kind(
    name="merge",
    title="Merge",
    description="Brings several ways together: waits for all and drops the dead.",
    group="control",
    config=Merge,
    inputs=_merge_inputs,
    outputs=lambda config, body: (Port(name=VALUE),),
    backends=ENGINE,
)
