"""What is running when something dies."""

from typing import Any

from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds.sub_pipeline import pinned
from tests.graphs import chain, edges, fields, node

PAID: dict[str, Any] = {"lm": "counting", "policy": {"cache": False, "backend": "native"}}
DSPY: dict[str, Any] = {"lm": "counting", "policy": {"cache": False, "backend": "dspy"}}
ONCE = {"cache": False, "retry": "never"}
TOOLS = ("send", "send_if_let")


def graphs(origin: str) -> dict[str, Graph]:
    """By name. `origin` is the site to which requests go."""
    return {
        "native": chain(3, **PAID),
        "dspy": chain(2, **DSPY),
        "dspy once": chain(1, lm="counting", policy={**ONCE, "backend": "dspy"}),
        "local": chain(1, lm="local", max_tokens=600, policy={"cache": False}),
        "map": mapping(node("work", parent="each", signature="item -> y", **PAID), "item"),
        "loop": _loop(),
        "best of n": _module(
            "BestOfN", options={"N": 2, "threshold": 1.0}, reward="y == 'none'", inner="Predict"
        ),
        "approve": _between(node("ask", "approve"), "value", "approved"),
        "http once": _between(_request(origin, "POST", ONCE), "body", "body"),
        "http": _between(_request(origin, "PUT", {}), "body", "body"),
        "tool": _module("ReAct", tools=("send",)),
        "tool let": _module("ReAct", tools=("send_if_let",)),
    }


def mapping(work: Node, takes: str) -> Graph:
    """input.x, a list → each item through the work → output.y."""
    return Graph.of(
        [
            Node(id="input", kind="input", config=fields("x")),
            node("each", "map", concurrency=2),
            Node(id="in", kind="input", parent="each", config=fields("item")),
            work,
            Node(id="out", kind="output", parent="each", config=fields("y")),
            Node(id="output", kind="output", config=fields("y")),
        ],
        edges(
            f"""
            input.x -> each.items
            in.item -> {work.id}.{takes}
            {work.id}.y -> out.y
            each.y -> output.y
            """
        ),
    )


def sub_pipelines(version: str, graph: Graph) -> Graph:
    """A map whose items each run another pipeline, known as this version."""
    return mapping(node("work", "pipeline", parent="each", **pinned(version, graph)), "x")


def _loop() -> Graph:
    return Graph.of(
        [
            Node(id="input", kind="input", config=fields("x")),
            node("again", "loop", until="round >= 3"),
            Node(id="in", kind="input", parent="again", config=fields("x")),
            node("work", parent="again", **PAID),
            Node(id="out", kind="output", parent="again", config=fields("x")),
            Node(id="output", kind="output", config=fields("y")),
        ],
        edges(
            """
            input.x -> again.x
            in.x -> work.x
            work.y -> out.x
            again.x -> output.y
            """
        ),
    )


def _module(name: str, **parts: Any) -> Graph:
    """One of DSPy's modules, from x to y."""
    step = node("s0", "dspy_module", module=name, signature="x -> y", **DSPY, **parts)
    ends = [Node(id=end, kind=end, config=fields(port)) for end, port in _ENDS]
    return Graph.of([*ends, step], edges("input.x -> s0.x\ns0.y -> output.y"))


_ENDS = (("input", "x"), ("output", "y"))


def _request(origin: str, method: str, policy: dict[str, Any]) -> Node:
    return node("send", "http_request", method=method, url=f"{origin}/send", policy=policy)


def _between(middle: Node, takes: str, gives: str) -> Graph:
    """input.x → s0 → this one → s1 → output.y."""
    return Graph.of(
        [
            Node(id="input", kind="input", config=fields("x")),
            node("s0", **PAID),
            middle,
            node("s1", **PAID),
            Node(id="output", kind="output", config=fields("y")),
        ],
        edges(
            f"""
            input.x -> s0.x
            s0.y -> {middle.id}.{takes}
            {middle.id}.{gives} -> s1.x
            s1.y -> output.y
            """
        ),
    )
