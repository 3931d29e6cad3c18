"""input and output: the signature of a pipeline, or of a container's body."""

from typing import Any

from pydantic import Field, field_validator

from pipelines.graph import signature as signatures
from pipelines.graph.graph import ANY, PORT_NAME, Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports


class PortField(Config):
    """One field of a pipeline's signature."""

    name: str = Field(max_length=100)
    type: str = Field(ANY, max_length=2_000)
    description: str = Field("", max_length=2_000)
    required: bool = True
    default: Any = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not PORT_NAME.match(name) or "." in name:
            raise ValueError(f"'{name}' is not a field name: use letters, digits and _ only.")
        return name

    @field_validator("type")
    @classmethod
    def _is_a_type(cls, text: str) -> str:
        return ANY if text == ANY else signatures.parse(f"x: {text} ->").inputs["x"].type

    def port(self) -> Port:
        return Port(
            name=self.name,
            type=self.type,
            required=self.required,
            default=self.default,
            description=self.description,
        )


class Fields(Config):
    """The fields of one side, in order."""

    fields: tuple[PortField, ...] = Field((), max_length=200)

    @field_validator("fields")
    @classmethod
    def _are_distinct(cls, fields: tuple[PortField, ...]) -> tuple[PortField, ...]:
        names = [field.name for field in fields]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"The field '{name}' is declared twice. Rename one of them.")
        return fields


def _ports(config: Fields, body: Body) -> Ports:
    return tuple(field.port() for field in config.fields)


def _none(config: Fields, body: Body) -> Ports:
    return ()


INPUT = Kind(
    name="input",
    title="Input",
    description="What the pipeline is given.",
    group="interface",
    config=Fields,
    inputs=_none,
    outputs=_ports,
    backends=frozenset({"engine"}),
)

OUTPUT = Kind(
    name="output",
    title="Output",
    description="What the pipeline answers.",
    group="interface",
    config=Fields,
    inputs=_ports,
    outputs=_none,
    backends=frozenset({"engine"}),
)
