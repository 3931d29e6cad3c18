"""Builders that tests share: small graphs in few words."""

from typing import Any

from pipelines.graph.graph import Edge, Graph, Node


def node(node_id: str, kind: str = "predict", parent: str | None = None, **parts: Any) -> Node:
    """A node; every keyword but `policy` is a config field."""
    policy = parts.pop("policy", {})
    if kind == "predict" and "signature" not in parts:
        parts["signature"] = "x -> y"
    return Node(id=node_id, kind=kind, parent=parent, config=parts, policy=policy)


def fields(*names: str, **types: str) -> dict[str, Any]:
    """The config of an input or output node."""
    plain = [{"name": name} for name in names]
    return {"fields": plain + [{"name": name, "type": type_} for name, type_ in types.items()]}


def interface(kind: str, *names: str, node_id: str = "", parent: str | None = None) -> Node:
    return Node(id=node_id or kind, kind=kind, parent=parent, config=fields(*names))


def edges(text: str) -> list[Edge]:
    """Edges of lines such as `a.y -> b.x`."""
    found = []
    for line in text.strip().splitlines():
        source, target = (end.strip().partition(".") for end in line.split("->"))
        found.append(
            Edge(source=source[0], source_port=source[2], target=target[0], target_port=target[2])
        )
    return found


def chain(length: int = 3, **parts: Any) -> Graph:
    """input.x → s0 → s1 → … → output.y, every step a predict from x to y."""
    steps = [node(f"s{number}", **parts) for number in range(length)]
    ends = ["input.x", *(f"s{number}.y" for number in range(length))]
    starts = [*(f"s{number}.x" for number in range(length)), "output.y"]
    lines = "\n".join(f"{end} -> {start}" for end, start in zip(ends, starts, strict=True))
    return Graph.of([interface("input", "x"), *steps, interface("output", "y")], edges(lines))
