"""Finds everything that is wrong with a graph, all at once, each with what mends it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from pipelines.graph.graph import NODE_ID, Edge, Graph, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.kind import Kind
from pipelines.graph.kinds.sub_pipeline import SubPipeline
from pipelines.graph.kinds.sub_pipeline import pinned as pinned_config
from pipelines.graph.policy import StepPolicy
from pipelines.graph.ports import NodePorts, body_of, fits, node_ports

MAX_NODES = 5_000
MAX_EDGES = 20_000
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend. `field` is a path in the node's config, such as `signature`."""

    code: str
    message: str
    node: str | None = None
    port: str | None = None
    field: str | None = None

    def __str__(self) -> str:
        return self.message


def validate(graph: Graph) -> list[Problem]:
    """All problems of the graph; an empty list means that it can run."""
    if problems := list(_sizes(graph)):
        return problems
    found = [problem for node in graph.nodes.values() for problem in _node_problems(graph, node)]
    ports = _known_ports(graph)
    found += [problem for edge in graph.edges for problem in _edge_problems(graph, edge, ports)]
    found += _crowded_ports(graph, ports)
    found += _unconnected(graph, ports)
    found += _twin_ports(ports)
    found += _fallback_problems(graph, ports)
    found += _body_problems(graph, ports)
    found += _pinned_problems(graph)
    inside: dict[str | None, list[Node]] = {}
    for node in graph.nodes.values():
        inside.setdefault(node.parent, []).append(node)
    joins: dict[str | None, list[Edge]] = {}
    for edge in graph.edges:
        if edge.source in graph.nodes:
            joins.setdefault(graph.nodes[edge.source].parent, []).append(edge)
    for parent in (None, *(node.id for node in graph.nodes.values() if _is_container(node))):
        found += _interface_problems(parent, inside.get(parent, []))
        found += _cycles(inside.get(parent, []), joins.get(parent, []))
    return found


def _sizes(graph: Graph) -> Iterator[Problem]:
    if len(graph.nodes) > MAX_NODES:
        yield Problem(
            code="too_large",
            message=f"The pipeline has {len(graph.nodes)} nodes; {MAX_NODES} is the limit. "
            "Move parts of it into pipelines of their own.",
        )
    if len(graph.edges) > MAX_EDGES:
        yield Problem(
            code="too_large",
            message=f"The pipeline has {len(graph.edges)} edges; {MAX_EDGES} is the limit.",
        )


def _is_container(node: Node) -> bool:
    return node.kind in KINDS and KINDS[node.kind].container


# Nodes


def _node_problems(graph: Graph, node: Node) -> Iterator[Problem]:
    if not NODE_ID.match(node.id):
        yield Problem(
            code="bad_id",
            node=node.id,
            message=f"'{node.id}' can't be a node's id: it starts with a small letter and has only "
            "small letters, digits, _ and - (63 at most).",
        )
    yield from _parent_problems(graph, node)
    kind = KINDS.get(node.kind)
    if kind is None:
        yield Problem(
            code="unknown_kind",
            node=node.id,
            message=f"Node '{node.id}' is of the unknown kind '{node.kind}'. "
            f"Kinds: {', '.join(sorted(KINDS))}.",
        )
        return
    if node.kind_version != kind.version:
        yield Problem(
            code="newer_kind",
            node=node.id,
            message=f"Node '{node.id}' was made with version {node.kind_version} of '{node.kind}'; "
            f"this DSPex knows version {kind.version}. Upgrade DSPex to run it.",
        )
        return
    yield from _model_problems(node, kind.config, node.config, "config")
    for field, what in misfits(kind, node.config):
        yield _bad_value(node, "config", field, what)
    yield from _model_problems(node, StepPolicy, node.policy, "policy")
    if node.kind == "approve" and node.policy.get("timeout") is not None:
        yield Problem(
            code="bad_policy",
            node=node.id,
            field="timeout",
            message=f"Node '{node.id}', policy 'timeout': a person may take as long as it takes, "
            "restarts included. Leave it empty.",
        )


def _model_problems(
    node: Node, model: type[BaseModel], values: object, part: str
) -> Iterator[Problem]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            field = ".".join(str(place) for place in detail["loc"])
            yield _bad_value(node, part, field, detail["msg"].removeprefix("Value error, "))


def _bad_value(node: Node, part: str, field: str, what: str) -> Problem:
    return Problem(
        code=f"bad_{part}",
        node=node.id,
        field=field,
        message=f"Node '{node.id}', {part} '{field}': {what}",
    )


def misfits(kind: Kind, values: object) -> list[tuple[str, str]]:
    """Fields of a config that don't go together or are missing beside others, each with what mends it;
    nothing of a config whose values are not good by themselves."""
    try:
        return list(kind.check(kind.config.model_validate(values)))
    except ValidationError:
        return []


def _parent_problems(graph: Graph, node: Node) -> Iterator[Problem]:
    seen = {node.id}
    parent = node.parent
    while parent is not None:
        container = graph.nodes.get(parent)
        if container is None or not _is_container(container):
            yield Problem(
                code="bad_parent",
                node=node.id,
                message=f"Node '{node.id}' lies in '{parent}', which is no container. "
                "Move it to the top level or into a container.",
            )
            return
        if parent in seen or len(seen) > MAX_DEPTH:
            yield Problem(
                code="bad_parent",
                node=node.id,
                message=f"Node '{node.id}' lies in more than {MAX_DEPTH} containers, or in itself.",
            )
            return
        seen.add(parent)
        parent = container.parent


# Edges


def _known_ports(graph: Graph) -> dict[str, NodePorts]:
    """Ports of the nodes whose kind and config are good; the others are reported already."""
    ports = {}
    for node in graph.nodes.values():
        kind = KINDS.get(node.kind)
        if kind is None or node.kind_version != kind.version:
            continue
        try:
            ports[node.id] = node_ports(graph, node)
        except ValidationError:
            continue
    return ports


def _edge_problems(graph: Graph, edge: Edge, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    for end in (edge.source, edge.target):
        if end not in graph.nodes:
            yield Problem(
                code="unknown_node",
                message=f"The edge {edge} leads to '{end}', which is not there. Remove the edge.",
            )
            return
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    if source.parent != target.parent:
        yield Problem(
            code="crosses_container",
            node=edge.target,
            port=edge.target_port,
            message=f"The edge {edge} crosses the border of a container. "
            "Pass the value through the container's input or output.",
        )
        return
    yield from _port_problems(edge, ports)


def _port_problems(edge: Edge, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    if edge.source not in ports or edge.target not in ports:
        return
    output = ports[edge.source].output(edge.source_port)
    target = ports[edge.target].input(edge.target_port)
    if output is None:
        names = ", ".join(port.name for port in ports[edge.source].outputs) or "none"
        yield Problem(
            code="unknown_port",
            node=edge.source,
            port=edge.source_port,
            message=f"Node '{edge.source}' has no output '{edge.source_port}'. Outputs: {names}.",
        )
    if target is None:
        names = ", ".join(port.name for port in ports[edge.target].inputs) or "none"
        yield Problem(
            code="unknown_port",
            node=edge.target,
            port=edge.target_port,
            message=f"Node '{edge.target}' has no input '{edge.target_port}'. Inputs: {names}.",
        )
    if output and target and not fits(output.type, target.type):
        yield Problem(
            code="type_mismatch",
            node=edge.target,
            port=edge.target_port,
            message=f"The edge {edge} carries {output.type}, but '{edge.target}.{edge.target_port}' "
            f"takes {target.type}. Change one of the types, or put a step between them.",
        )


def _crowded_ports(graph: Graph, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    feeding: dict[tuple[str, str], list[Edge]] = {}
    for edge in graph.edges:
        feeding.setdefault((edge.target, edge.target_port), []).append(edge)
    for (node, name), edges in feeding.items():
        port = ports[node].input(name) if node in ports else None
        if len(edges) > 1 and port is not None and not port.many:
            sources = " and ".join(f"{edge.source}.{edge.source_port}" for edge in edges)
            yield Problem(
                code="two_sources",
                node=node,
                port=name,
                message=f"The input '{node}.{name}' takes one edge but gets {len(edges)}: {sources}. "
                "Remove one, or join them with a merge.",
            )


def _twin_ports(ports: dict[str, NodePorts]) -> Iterator[Problem]:
    """A map has a port `items` of its own; a field of its body may have the same name."""
    for node, sides in ports.items():
        names = [port.name for port in sides.inputs]
        for name in {name for name in names if names.count(name) > 1}:
            yield Problem(
                code="twin_ports",
                node=node,
                port=name,
                message=f"Node '{node}' has two inputs '{name}'. Rename the field in its body.",
            )


def _fallback_problems(graph: Graph, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    for node, sides in ports.items():
        policy = graph.nodes[node].policy
        given = policy.get("fallback") or {}
        if policy.get("on_error") != "fallback_value" or not isinstance(given, Mapping):
            continue
        unknown = [str(name) for name in given if sides.output(name) is None]
        if unknown or not given:
            what = f"there is no output '{unknown[0]}'" if unknown else "it is missing"
            names = ", ".join(port.name for port in sides.outputs) or "none"
            yield Problem(
                code="bad_policy",
                node=node,
                field="fallback",
                message=f"Node '{node}', policy 'fallback': {what}. "
                f"Give values by output. Outputs: {names}.",
            )


def _body_problems(graph: Graph, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    """What a container asks of its body. One without an input or output node is reported as such."""
    for node_id in ports:
        kind = KINDS[graph.nodes[node_id].kind]
        if not kind.container or not _has_interface(graph, node_id):
            continue
        config = kind.config.model_validate(graph.nodes[node_id].config)
        for message in kind.check_body(config, body_of(graph, node_id)):
            yield Problem(code="bad_body", node=node_id, message=f"Node '{node_id}': {message}")


def _has_interface(graph: Graph, container: str) -> bool:
    return {"input", "output"} <= {node.kind for node in graph.children(container)}


def _pinned_problems(graph: Graph) -> Iterator[Problem]:
    """Where pinned pipelines are at hand: whether they are sound, and still as the nodes say."""
    for node in graph.nodes.values():
        if node.kind != "pipeline":
            continue
        yield from _other_interface(node, graph.pipelines)
        inner = [
            problem
            for pinned in _pinned_below(node, graph.pipelines)
            for problem in (
                *validate(pinned),
                *(
                    problem
                    for inner_node in pinned.nodes.values()
                    for problem in _other_interface(inner_node, graph.pipelines)
                ),
            )
        ]
        if inner:
            yield Problem(
                code="bad_pipeline",
                node=node.id,
                message=f"Node '{node.id}' pins a pipeline that can't run; mend {len(inner)} "
                f"there and pin the new version. The first: {inner[0]}",
            )


def _pinned_below(node: Node, pipelines: Mapping[str, Graph]) -> list[Graph]:
    """What the node pins, and what that pins, each once."""
    found: dict[str, Graph] = {}
    nodes = [node]
    while nodes:
        node = nodes.pop()
        version = str(node.config.get("version"))
        if node.kind == "pipeline" and version in pipelines and version not in found:
            found[version] = pipelines[version]
            nodes.extend(pipelines[version].nodes.values())
    return list(found.values())


def _other_interface(node: Node, pipelines: Mapping[str, Graph]) -> Iterator[Problem]:
    pinned = pipelines.get(str(node.config.get("version")))
    if node.kind != "pipeline" or pinned is None:
        return
    try:
        real = SubPipeline.model_validate(pinned_config(str(node.config["version"]), pinned))
        told = SubPipeline.model_validate(node.config)
    except ValidationError:
        return  # reported at the node
    for side in ("inputs", "outputs"):
        if getattr(real, side) != getattr(told, side):
            yield Problem(
                code="other_interface",
                node=node.id,
                field=side,
                message=f"Node '{node.id}': its {side} are not those of the pipeline that it pins. "
                "Choose the version again.",
            )


def _unconnected(graph: Graph, ports: dict[str, NodePorts]) -> Iterator[Problem]:
    connected = {(edge.target, edge.target_port) for edge in graph.edges}
    for node, sides in ports.items():
        for port in sides.inputs:
            if port.required and (node, port.name) not in connected:
                yield Problem(
                    code="not_connected",
                    node=node,
                    port=port.name,
                    message=f"The input '{node}.{port.name}' is not connected. "
                    f"Join it to an output that gives {port.type}.",
                )


# Scopes


def _interface_problems(parent: str | None, inside: list[Node]) -> Iterator[Problem]:
    place = f"The body of '{parent}'" if parent else "The pipeline"
    for kind in ("input", "output"):
        nodes = [node.id for node in inside if node.kind == kind]
        if len(nodes) > 1:
            yield Problem(
                code="two_interfaces",
                node=nodes[1],
                message=f"{place} has {len(nodes)} {kind} nodes: {', '.join(nodes)}. Keep one.",
            )
        if not nodes and (kind == "output" or parent):
            yield Problem(
                code="no_interface",
                node=parent,
                message=f"{place} has no {kind} node. Add one and connect it.",
            )


def _cycles(inside: list[Node], joins: list[Edge]) -> Iterator[Problem]:
    """What is left after taking away, again and again, all nodes that wait for nobody."""
    here = {node.id for node in inside}
    waits = dict.fromkeys(here, 0)
    after: dict[str, list[str]] = {node: [] for node in here}
    for edge in joins:
        if edge.source in here and edge.target in here:
            waits[edge.target] += 1
            after[edge.source].append(edge.target)
    free = [node for node, count in waits.items() if not count]
    while free:
        for node in after[free.pop()]:
            waits[node] -= 1
            if not waits[node]:
                free.append(node)
    if circle := _one_circle({node for node, count in waits.items() if count}, after):
        yield Problem(
            code="cycle",
            node=circle[0],
            message=f"These nodes wait for each other: {' → '.join([*circle, circle[0]])}. "
            "Remove one of the edges between them.",
        )


def _one_circle(stuck: set[str], after: dict[str, list[str]]) -> list[str]:
    """A circle among the stuck nodes; nodes that only hang behind one are not in it."""
    before: dict[str, str] = {}
    for node in sorted(stuck):
        for following in after[node]:
            if following in stuck:
                before[following] = node
    if not before:
        return []
    walk: list[str] = []
    node = min(before)
    while node not in walk:
        walk.append(node)
        node = before[node]
    circle = walk[walk.index(node) :]
    return circle[::-1]
