"""The canonical text of a graph: JSON, sorted, one key a line, layout apart from meaning.

The text has a format number of its own and a version per node's kind; `load` lifts old configs to the
kinds' present versions. It holds no code, no timestamps and no secrets, and diffs well in git.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.graph.graph import Edge, Graph, GraphError, Node, Position
from pipelines.graph.kinds import KINDS

FORMAT = 1
MAX_TEXT = 10_000_000
MAX_NESTING = 60


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Node(_Strict):
    kind: str = Field(max_length=64)
    version: int = Field(1, ge=1)
    label: str = Field("", max_length=200)
    config: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    parent: str | None = None


class _Document(_Strict):
    format: int
    name: str = Field("", max_length=200)
    description: str = Field("", max_length=10_000)
    nodes: dict[str, _Node]
    edges: dict[str, list[str]] = {}
    layout: dict[str, tuple[float, float]] = {}


def dump(graph: Graph) -> str:
    """The canonical text. `load(dump(graph))` gives an equal graph."""
    return json.dumps(to_json(graph), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as a JSON object: what `dump` writes."""
    return {
        **_meaning(graph),
        "name": graph.name,
        "description": graph.description,
        "layout": {
            node: [_short(place.x), _short(place.y)] for node, place in graph.layout.items()
        },
    }


def _short(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def content_hash(graph: Graph) -> str:
    """SHA-256, in hex, of what the graph does: name, description, labels and layout don't count."""
    meaning = _meaning(graph)
    for node in meaning["nodes"].values():
        node.pop("label", None)
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load(text: str | bytes) -> Graph:
    """The graph of a canonical text; a GraphError that names the place when it is none.

    A node of an unknown kind keeps its config and edges; `validate` reports it.
    """
    if len(text) > MAX_TEXT:
        raise GraphError(f"The pipeline file is {len(text)} bytes long; {MAX_TEXT} is the limit.")
    try:
        raw = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_distinct)
    except RecursionError:
        raise GraphError("The pipeline file is nested too deep to be one.") from None
    except ValueError as error:
        raise GraphError(f"The pipeline file is not JSON: {error}.") from None
    return from_json(raw)


def from_json(raw: Any) -> Graph:
    """The graph of a JSON object, as `load` does."""
    if isinstance(raw, dict) and raw.get("format") != FORMAT:
        raise GraphError(
            f"The pipeline file has the format {raw.get('format')!r}; this DSPex reads {FORMAT}."
        )
    check_json(raw)
    try:
        document = _Document.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "top level"
        raise GraphError(f"The pipeline file is wrong at {place}: {first['msg']}.") from None
    graph = Graph.of(
        (_node(node_id, node) for node_id, node in document.nodes.items()),
        _edges(document.edges),
        name=document.name,
        description=document.description,
    )
    layout = {node: Position(x=x, y=y) for node, (x, y) in document.layout.items()}
    return replace(graph, layout=MappingProxyType(layout))


def _meaning(graph: Graph) -> dict[str, Any]:
    edges: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        edges.setdefault(f"{edge.target}.{edge.target_port}", []).append(edge)
    return {
        "format": FORMAT,
        "nodes": {node.id: _node_json(node) for node in graph.nodes.values()},
        "edges": {
            target: [f"{edge.source}.{edge.source_port}" for edge in sorted(into, key=_rank)]
            for target, into in edges.items()
        },
    }


def _rank(edge: Edge) -> tuple[int, str, str]:
    return (edge.order, edge.source, edge.source_port)


def _node_json(node: Node) -> dict[str, Any]:
    """Only what differs from the defaults, so that files stay short and diffs small."""
    optional: dict[str, Any] = {
        "label": node.label,
        "config": plain(node.config),
        "policy": plain(node.policy),
        "parent": node.parent,
    }
    return {
        "kind": node.kind,
        "version": node.kind_version,
        **{key: value for key, value in optional.items() if value},
    }


def plain(value: Any) -> Any:
    """The JSON value, with tuples as lists and mappings as dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _node(node_id: str, raw: _Node) -> Node:
    version, config = _upgraded(raw)
    return Node(
        id=node_id,
        kind=raw.kind,
        kind_version=version,
        label=raw.label,
        config=config,
        policy=raw.policy,
        parent=raw.parent,
    )


def _upgraded(raw: _Node) -> tuple[int, dict[str, Any]]:
    kind = KINDS.get(raw.kind)
    version, config = raw.version, raw.config
    while kind is not None and version < kind.version:
        config = kind.upgrades[version](config)
        version += 1
    return version, config


def _edges(raw: dict[str, list[str]]) -> list[Edge]:
    edges = []
    for target, sources in raw.items():
        for order, source in enumerate(sources):
            source_node, _, source_port = source.partition(".")
            target_node, _, target_port = target.partition(".")
            if not source_port or not target_port:
                raise GraphError(
                    f"The edge '{source}' → '{target}' is not written as node.port → node.port."
                )
            edges.append(
                Edge(
                    source=source_node,
                    source_port=source_port,
                    target=target_node,
                    target_port=target_port,
                    order=order,
                )
            )
    return edges


def check_json(value: Any) -> None:
    """Refuse what could be read but not written again: half a character, NaN, infinity."""
    _check_nesting(value)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise GraphError("The pipeline file holds half a character (a lone surrogate).") from None
    except (TypeError, ValueError) as error:
        raise GraphError(f"The pipeline file is not JSON: {error}.") from None


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise GraphError(f"The pipeline file is nested more than {MAX_NESTING} levels deep.")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. A key that comes twice is refused: all but the last would vanish unseen."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"the key {name!r} stands twice in one object")
        values[name] = value
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
