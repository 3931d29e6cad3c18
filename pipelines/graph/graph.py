"""What a pipeline is: nodes joined from an output port to an input port. Frozen values, no behaviour
that needs anything but themselves."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

type Backend = Literal["native", "dspy", "engine"]

NODE_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
PORT_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)?\Z")

ANY = "Any"


class GraphError(ValueError):
    """The graph is not valid."""

    code = "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A named, typed end of a node. `type` is the canonical text of a type (see `signature.py`)."""

    name: str
    type: str = ANY
    required: bool = True
    many: bool = False
    default: Any = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a pipeline at design time.

    `id` is a slug, unique in the graph and never changed; `label` is what people read and rename.
    `config` and `policy` are JSON objects, checked against the kind's `Config` and `StepPolicy`.
    `parent` is the container whose body this node belongs to.
    """

    id: str
    kind: str
    kind_version: int = 1
    label: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None

    @property
    def title(self) -> str:
        return self.label or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """From an output port to an input port. `order` ranks edges that share a `many` port."""

    source: str
    source_port: str
    target: str
    target_port: str
    order: int = 0

    def __str__(self) -> str:
        return f"{self.source}.{self.source_port} → {self.target}.{self.target_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Top left corner on the canvas, in CSS pixels at zoom 1."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A pipeline: its meaning (`nodes`, `edges`) apart from its `layout`.

    Edges keep the order in which they were made only for reading; equality of two graphs is that of
    their canonical text (`codec.dump`). `pipelines` has the graphs that `pipeline` nodes pin, at
    every depth, by version: whoever runs the graph looks them up. They are no part of its text.
    """

    nodes: Mapping[str, Node] = field(default_factory=lambda: MappingProxyType({}))
    edges: tuple[Edge, ...] = ()
    layout: Mapping[str, Position] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""
    description: str = ""
    pipelines: Mapping[str, "Graph"] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(
        cls,
        nodes: Iterable[Node],
        edges: Iterable[Edge] = (),
        *,
        name: str = "",
        description: str = "",
    ) -> "Graph":
        """A graph from nodes in any order; a repeated id is refused."""
        by_id: dict[str, Node] = {}
        for node in nodes:
            if node.id in by_id:
                raise GraphError(f"Node id '{node.id}' is used twice. Give one of them another id.")
            by_id[node.id] = node
        return cls(
            nodes=MappingProxyType(by_id), edges=tuple(edges), name=name, description=description
        )

    def node(self, node_id: str) -> Node:
        """The node of this id, or a GraphError that says what there is."""
        try:
            return self.nodes[node_id]
        except KeyError:
            known = ", ".join(sorted(self.nodes)) or "none"
            raise GraphError(f"There is no node '{node_id}'. Nodes: {known}.") from None

    def children(self, parent: str | None) -> tuple[Node, ...]:
        """The body of a container; the top level for None."""
        return tuple(node for node in self.nodes.values() if node.parent == parent)

    def edges_into(self, node_id: str) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.edges if edge.target == node_id)

    def edges_from(self, node_id: str) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.edges if edge.source == node_id)

    def with_node(self, node: Node) -> "Graph":
        return replace(self, nodes=MappingProxyType({**self.nodes, node.id: node}))
