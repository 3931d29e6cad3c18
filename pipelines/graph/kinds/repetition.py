"""map, reduce, loop: containers whose body is run again and again."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import (
    Body,
    Config,
    ExpressionText,
    Kind,
    Ports,
    expression_variables,
)

ITEMS = "items"
ROUND = "round"
ROUNDS = "rounds"


class Map(Config):
    """The body is run once for every item of a list."""

    item: str = Field("item", description="The field of the body's input that takes the item.")
    concurrency: int = Field(8, ge=1, le=1_000, description="Items in work at once.")
    on_item_error: Literal["stop", "continue"] = Field(
        "stop",
        description="continue leaves null in the place of a failed item and lists its index.",
    )


class Reduce(Config):
    """The body brings a list down to one value: what it gives is what it takes with the next item."""

    item: str = Field("item", description="The field of the body's input that takes the item.")
    order: Literal["sequence", "pairs"] = Field(
        "sequence",
        description="sequence goes through the list from its first item; pairs joins neighbours, "
        "several at once, until one is left.",
    )
    concurrency: int = Field(8, ge=1, le=1_000, description="Pairs in work at once.")


class Loop(Config):
    """The body is run until an expression is true. What it gives under the name of an input is what
    that input takes in the next round."""

    until: ExpressionText = Field(
        description="For example: score > 0.8. Reads what the body takes and gives, and `round`, "
        "which counts from 1."
    )
    max_rounds: int = Field(5, ge=1, le=1_000, description="The loop ends after so many rounds.")
    on_limit: Literal["take_last", "stop"] = Field(
        "take_last",
        description="After the last round: take_last gives what it gave, stop fails the step.",
    )


def _with_items(item: str, body: Body) -> Ports:
    """The list in the place of the item; the body's other inputs as they are."""
    others = tuple(port for port in body.inputs if port.name != item)
    one = next((port for port in body.inputs if port.name == item), Port(name=item))
    return (Port(name=ITEMS, type=f"list[{one.type}]"), *others)


def _map_inputs(config: Map, body: Body) -> Ports:
    return _with_items(config.item, body)


def _map_outputs(config: Map, body: Body) -> Ports:
    return tuple(Port(name=port.name, type=f"list[{port.type}]") for port in body.outputs)


def _reduce_inputs(config: Reduce, body: Body) -> Ports:
    ports = _with_items(config.item, body)
    if config.order == "sequence":
        return ports
    carried = {port.name for port in body.outputs}
    return tuple(
        Port(name=port.name, type=port.type, required=False) if port.name in carried else port
        for port in ports
    )


def _loop_inputs(config: Loop, body: Body) -> Ports:
    return body.inputs


def _loop_outputs(config: Loop, body: Body) -> Ports:
    return (*body.outputs, Port(name=ROUNDS, type="int"))


def _takes_item(config: Map | Reduce, body: Body) -> Iterator[str]:
    names = [port.name for port in body.inputs]
    if config.item not in names:
        yield (
            f"its body takes no '{config.item}', so no item can reach it. Add that field to the "
            f"body's input, or name one of its fields: {', '.join(names) or 'there are none'}."
        )


def _carries_on(config: Reduce, body: Body) -> Iterator[str]:
    yield from _takes_item(config, body)
    taken = {port.name for port in body.inputs} - {config.item}
    for port in body.outputs:
        if port.name not in taken:
            yield (
                f"its body gives '{port.name}' but does not take it, so nothing is carried on. Add "
                f"'{port.name}' to the body's input, or take it out of the body's output."
            )
    if config.order == "pairs" and len(body.outputs) != 1:
        yield (
            f"pairs are joined to one value, but its body gives {len(body.outputs)}. "
            "Leave one field in the body's output, or choose the order sequence."
        )


def _knows_its_end(config: Loop, body: Body) -> Iterator[str]:
    known = [port.name for port in (*body.outputs, *body.inputs)]
    for name in expression_variables(config.until):
        if name not in known and name != ROUND:
            yield (
                f"its end is told by '{name}', which its body neither takes nor gives. "
                f"There are: {', '.join(dict.fromkeys([*known, ROUND]))}."
            )
    for reserved, use in ((ROUND, "the number of the round"), (ROUNDS, "how many there were")):
        if reserved in known:
            yield f"'{reserved}' is {use}. Give that field of its body another name."


MAP = Kind(
    name="map",
    title="Map",
    description="Runs its body for every item of a list, several at a time.",
    group="control",
    config=Map,
    inputs=_map_inputs,
    outputs=_map_outputs,
    backends=frozenset({"engine"}),
    container=True,
    check_body=_takes_item,
)

REDUCE = Kind(
    name="reduce",
    title="Reduce",
    description="Brings a list down to one value, item by item or pair by pair.",
    group="control",
    config=Reduce,
    inputs=_reduce_inputs,
    outputs=lambda config, body: body.outputs,
    backends=frozenset({"engine"}),
    container=True,
    check_body=_carries_on,
)

LOOP = Kind(
    name="loop",
    title="Loop",
    description="Runs its body again until an expression is true.",
    group="control",
    config=Loop,
    inputs=_loop_inputs,
    outputs=_loop_outputs,
    backends=frozenset({"engine"}),
    container=True,
    check_body=_knows_its_end,
)
