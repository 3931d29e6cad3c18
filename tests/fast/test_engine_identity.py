"""What makes a step another step, and what does not: a table."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph.graph import Graph, Node
from pipelines.graph.kinds.sub_pipeline import pinned
from runner.engine.identity import Facts, Identities, Meanings
from runner.engine.plan import PlannedStep, plan
from tests.graphs import chain, edges, fields, interface, node
from tests.runner_world import facts

INPUTS = {"x": "a"}


def step_of(graph: Graph, node_id: str = "s0") -> PlannedStep:
    return plan(graph).steps[node_id]


async def known(
    graph: Graph,
    *,
    inputs: dict[str, Any] | None = None,
    backend: Any = "native",
    about: Facts | None = None,
    node_id: str = "s0",
    path: str = "",
) -> str:
    found = await Identities(about or facts()).of(
        step_of(graph, node_id), path or node_id, INPUTS if inputs is None else inputs
    )
    assert found is not None
    return found.on(backend)


async def content(name: str) -> str:
    return "other content"


@pytest.mark.parametrize(
    "other",
    [
        {"graph": chain(1, temperature=0.5)},
        {"graph": chain(1, instructions="Be brief.")},
        {"graph": chain(1, demos=[{"x": "a", "y": "b"}])},
        {"graph": chain(1, lm="other")},
        {"inputs": {"x": "b"}},
        {"inputs": {"x": ["a"]}},
        {"backend": "dspy"},
        {"path": "each[1]/s0"},
        {"about": facts(profiles={"local": "2"})},
        {"about": facts(scope="another pipeline")},
        {"about": facts(default_profile="other")},
    ],
)
async def test_what_makes_it_another_step(other: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"graph": chain(1), **other}
    assert await known(asked.pop("graph"), **asked) != await known(chain(1))


@pytest.mark.parametrize(
    "other",
    [
        {"graph": chain(3)},
        {"graph": chain(1, policy={"retries": 3, "timeout": 5.0, "on_error": "continue"})},
        {"graph": replace(chain(1), name="Renamed")},
        {
            "graph": chain(1).with_node(
                Node(id="s0", kind="predict", label="Other", config={"signature": "x -> y"})
            )
        },
        {"about": facts(profiles={"local": "1", "unused": "7"})},
        {"about": facts(dspy="4")},  # it ran natively
    ],
)
async def test_what_does_not(other: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"graph": chain(1), **other}
    assert await known(asked.pop("graph"), **asked) == await known(chain(1))


async def test_the_order_of_keys_is_no_difference() -> None:
    one = await known(chain(1), inputs={"x": {"a": 1, "b": 2}})
    assert one == await known(chain(1), inputs={"x": {"b": 2, "a": 1}})


async def test_dspys_version_counts_where_dspy_ran() -> None:
    one = await known(chain(1), backend="dspy")
    assert one != await known(chain(1), backend="dspy", about=facts(dspy="4"))


async def test_what_a_collection_holds_counts() -> None:
    graph = searching()
    one = await known(graph, node_id="find", inputs={"query": "q"})
    other = replace(facts(), collection=content)
    assert one != await known(graph, node_id="find", inputs={"query": "q"}, about=other)


def searching() -> Graph:
    return Graph.of(
        [interface("input", "query"), node("find", "search"), interface("output", "passages")],
        edges("input.query -> find.query\nfind.passages -> output.passages"),
    )


def mapping(**parts: Any) -> Graph:
    return Graph.of(
        [
            interface("input", "items"),
            node("each", "map"),
            interface("input", "item", node_id="in", parent="each"),
            node("work", parent="each", **{"signature": "item -> y", **parts}),
            interface("output", "y", node_id="out", parent="each"),
            interface("output", "y"),
        ],
        edges(
            "input.items -> each.items\nin.item -> work.item\nwork.y -> out.y\neach.y -> output.y"
        ),
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"instructions": "Be brief."}, False),
        ({"policy": {"on_error": "continue"}}, False),  # it changes what the container gives
    ],
)
async def test_a_container_is_what_it_holds(other: dict[str, Any], same: bool) -> None:
    given = {"items": [1, 2]}
    one = await known(mapping(), node_id="each", backend="engine", inputs=given)
    assert (
        one == await known(mapping(**other), node_id="each", backend="engine", inputs=given)
    ) is same
    # Whatever of it could run on DSPy depends on DSPy, and on the profile that it asks.
    for about in (facts(dspy="4"), facts(profiles={"local": "2"})):
        assert one != await known(
            mapping(), node_id="each", backend="engine", inputs=given, about=about
        )


def pinning(inner: Graph, version: str = "v1") -> Graph:
    sub = Node(id="s0", kind="pipeline", config=pinned(version, inner, title=version))
    outer = Graph.of(
        [interface("input", "x"), sub, interface("output", "y")],
        edges("input.x -> s0.x\ns0.y -> output.y"),
    )
    return replace(outer, pipelines={version: inner})


async def test_a_pinned_pipeline_is_what_it_holds_not_its_number() -> None:
    one = await known(pinning(chain(2)), backend="engine")
    assert one == await known(pinning(chain(2), "v2"), backend="engine")
    assert one != await known(pinning(chain(3)), backend="engine")


def alone(node: Node, *takes: str) -> PlannedStep:
    given = {"fields": [{"name": name} for name in takes]}
    graph = Graph.of([Node(id="input", kind="input", config=given), node])
    return plan(graph).steps[node.id]


NEVER: list[Callable[[], PlannedStep]] = [
    lambda: alone(node("s", "approve")),
    lambda: alone(node("s", "http_request", url="https://a.example/")),
    lambda: alone(node("s", "colbert", url="https://a.example/")),
    lambda: alone(node("s", "dspy_module", signature="x -> y", module="ReAct", tools=["search"])),
    lambda: alone(
        node("s", "dspy_module", signature="x -> y", module="BestOfN", reward="tool: judge")
    ),
    lambda: alone(node("s", policy={"retry": "never"})),
    lambda: step_of(mapping(policy={"retry": "never"}), "each"),  # what holds one
]


@pytest.mark.parametrize("made", NEVER)
async def test_what_is_never_taken(made: Callable[[], PlannedStep]) -> None:
    step = made()
    assert Meanings().of(step).never
    assert await Identities(facts()).of(step, step.node.id, {}) is None


async def test_control_kinds_cost_nothing_and_are_not_kept() -> None:
    step = alone(Node(id="s", kind="condition", config={"expression": "x > 1"}), "x")
    assert await Identities(facts()).of(step, "s", {"x": 2}) is None


async def test_what_no_json_can_carry_has_no_identity() -> None:
    assert await Identities(facts()).of(step_of(chain(1)), "s0", {"x": "\ud800"}) is None


async def test_large_inputs_are_known_as_well() -> None:
    large = {"x": [{"text": "word " * 100} for _ in range(2_000)]}
    changed = {"x": [*large["x"][:-1], {"text": "other"}]}
    one = await known(chain(1), inputs=large)
    assert one == await known(chain(1), inputs=large) != await known(chain(1), inputs=changed)


def test_a_deep_tower_of_pins_is_read_once() -> None:
    inner = chain(1)
    for number in range(6):
        inner = tower(inner, f"v{number}")
    steps = plan(inner).steps
    meanings = Meanings()
    assert {meanings.of(step).digest for step in steps.values()}
    assert len(meanings._plans) == 6


def tower(inner: Graph, version: str) -> Graph:
    subs = [Node(id=f"n{at}", kind="pipeline", config=pinned(version, inner)) for at in range(8)]
    joins = "\n".join(f"input.x -> {sub.id}.x" for sub in subs)
    outer = Graph.of(
        [Node(id="input", kind="input", config=fields("x")), *subs, interface("output", "y")],
        edges(f"{joins}\nn0.y -> output.y"),
    )
    return replace(outer, pipelines={**inner.pipelines, version: inner})
