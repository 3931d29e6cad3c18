from dataclasses import replace

import pytest

from pipelines.graph.graph import Edge, Graph, GraphError, Node
from pipelines.graph.kinds import KINDS
from pipelines.graph.kinds.kind import Kind
from pipelines.graph.ports import fits, node_ports
from pipelines.graph.validate import validate
from tests.graphs import chain, edges, fields, interface, node


def codes(graph: Graph) -> list[str]:
    return [problem.code for problem in validate(graph)]


def with_edges(graph: Graph, text: str) -> Graph:
    return replace(graph, edges=(*graph.edges, *edges(text)))


def test_a_sound_graph_has_no_problems() -> None:
    assert validate(chain(3)) == []


def test_all_problems_come_at_once() -> None:
    graph = Graph.of(
        [
            node("a", "summon"),
            node("b", signature="x -> y: strr"),
            node("c", policy={"retries": -1}),
        ]
    )
    assert set(codes(graph)) == {
        "unknown_kind",
        "bad_config",
        "bad_policy",
        "not_connected",
        "no_interface",
    }


def test_an_unknown_kind_names_the_kinds_there_are() -> None:
    (problem,) = [p for p in validate(Graph.of([node("a", "summon")])) if p.node == "a"]
    assert "'summon'" in problem.message
    assert "chain_of_thought" in problem.message


def test_a_node_made_by_a_newer_version_is_named() -> None:
    assert "newer_kind" in codes(Graph.of([replace(node("a"), kind_version=9)]))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("s0.z -> output.y", "unknown_port", "has no output 'z'. Outputs: y."),
        ("s0.y -> s1.q", "unknown_port", "has no input 'q'. Inputs: x."),
        ("s0.y -> nowhere.x", "unknown_node", "'nowhere', which is not there"),
        ("input.x -> s1.x", "two_sources", "s0.y and input.x"),
    ],
)
def test_a_bad_edge_is_named_with_its_mend(line: str, code: str, words: str) -> None:
    problem = next(p for p in validate(with_edges(chain(2), line)) if p.code == code)
    assert words in problem.message


def test_a_cycle_names_its_nodes_and_not_those_behind_it() -> None:
    graph = Graph.of(
        [node("a"), node("b"), node("behind"), interface("output", "y")],
        edges("a.y -> b.x\nb.y -> a.x\nb.y -> behind.x\nbehind.y -> output.y"),
    )
    (problem,) = validate(graph)
    assert problem.code == "cycle"
    assert "a → b → a" in problem.message or "b → a → b" in problem.message


def test_a_type_mismatch_names_both_types() -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("a", signature="x -> y: list[int]"),
            node("b", signature="x: dict[str, int] -> y"),
            interface("output", "y"),
        ],
        edges("input.x -> a.x\na.y -> b.x\nb.y -> output.y"),
    )
    (problem,) = validate(graph)
    assert "list[int]" in problem.message
    assert "dict[str, int]" in problem.message


def test_a_field_error_names_the_field() -> None:
    graph = Graph.of([node("a", "search", k=0)])
    problem = next(p for p in validate(graph) if p.code == "bad_config")
    assert (problem.node, problem.field) == ("a", "k")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_no_config_is_refused_for_how_its_fields_go_together(kind: Kind) -> None:
    """Else fields could be set in one order only: `Kind.check` says it, and lists it as a problem."""
    assert not kind.config.__pydantic_decorators__.model_validators


@pytest.mark.parametrize("first", ["module", "reward"])
def test_a_module_and_its_reward_are_set_in_any_order(first: str) -> None:
    config = {"signature": "question -> answer", "module": "Predict"}
    steps = [("module", "BestOfN"), ("reward", "answer|length < 80")]
    for field, value in sorted(steps, key=lambda each: each[0] != first):
        config[field] = value
        best = node("it", "dspy_module", **config)
        assert node_ports(Graph.of([best]), best).output("answer")  # its edges stay
        lacks = [each.field for each in validate(Graph.of([best])) if each.code == "bad_config"]
        assert lacks == (["reward"] if "reward" not in config else [])


def test_what_is_said_of_a_field_that_was_renamed_is_a_problem_and_its_ports_are_there() -> None:
    kept = {"descriptions": {"old": "Asked"}, "constraints": {"y": {"min_length": 2}}}
    renamed = node("it", signature="fresh -> y: int", **kept)
    found = [each.field for each in validate(Graph.of([renamed])) if each.code == "bad_config"]
    assert found == ["descriptions.old", "constraints.y"]
    assert [port.name for port in node_ports(Graph.of([renamed]), renamed).inputs] == ["fresh"]


def test_an_edge_may_not_cross_a_container() -> None:
    graph = Graph.of(
        [interface("input", "x"), node("each", "map"), node("inside", parent="each")],
        edges("input.x -> inside.x"),
    )
    assert "crosses_container" in codes(graph)


@pytest.mark.parametrize("parent", ["nowhere", "a", "b"])
def test_a_parent_is_a_container_and_not_the_node_itself(parent: str) -> None:
    graph = Graph.of([node("a", parent=parent), node("b")])
    assert "bad_parent" in codes(graph)


def test_a_container_in_itself_is_refused() -> None:
    graph = Graph.of([node("a", "map", parent="b"), node("b", "map", parent="a")])
    assert "bad_parent" in codes(graph)


def test_ten_thousand_nodes_are_refused_at_once() -> None:
    graph = Graph.of(node(f"n{number}") for number in range(10_000))
    assert codes(graph) == ["too_large"]


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(GraphError, match="'a' is used twice"):
        Graph.of([node("a"), node("a")])


def test_two_inputs_are_refused() -> None:
    graph = Graph.of([*chain(1).nodes.values(), interface("input", "z", node_id="input2")])
    assert "two_interfaces" in codes(graph)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"fields": [{"name": "a b"}]}, "not a field name"),
        ({"fields": [{"name": "a"}, {"name": "a"}]}, "declared twice"),
        ({"fields": [{"name": "a", "type": "os.system"}]}, "os.system"),
    ],
)
def test_interface_fields_are_checked(config: dict[str, object], words: str) -> None:
    graph = Graph.of([Node(id="input", kind="input", config=config)])
    assert any(words in problem.message for problem in validate(graph))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("int", "float", True),
        ("float", "int", False),
        ("bool", "int", True),
        ("list[int]", "list[float]", True),
        ("list[str]", "list[int]", False),
        ("str", "Optional[str]", True),
        ("Optional[str]", "int", False),
        ("Literal['a', 'b']", "str", True),
        ("str", "Literal['a', 'b']", True),
        ("int", "Literal['a', 'b']", False),
        ("dict[str, int]", "str", True),
        ("Any", "list[int]", True),
        ("list", "list[int]", True),
        ("tuple[int, ...]", "list[int]", True),
        ("Union[int, str]", "int", True),
        ("dict[str, Any]", "list[str]", False),
    ],
)
def test_which_types_fit(source: str, target: str, expected: bool) -> None:
    assert fits(source, target) is expected


def test_edges_read_as_arrows() -> None:
    edge = Edge(source="a", source_port="y", target="b", target_port="x")
    assert str(edge) == "a.y → b.x"


def test_map_ports_come_from_its_body() -> None:
    graph = Graph.of(
        [
            interface("input", "x"),
            node("each", "map"),
            Node(id="in", kind="input", parent="each", config=fields("item", "by")),
            Node(id="out", kind="output", parent="each", config=fields("sum")),
            interface("output", "y"),
        ],
        edges("input.x -> each.items\neach.sum -> output.y\nin.item -> out.sum"),
    )
    (problem,) = validate(graph)
    assert (problem.node, problem.port) == ("each", "by")


@pytest.mark.parametrize("fallback", [None, {}, {"nope": 1}])
def test_a_fallback_has_a_value_for_outputs_that_there_are(fallback: object) -> None:
    policy = {"on_error": "fallback_value", "fallback": fallback}
    (problem,) = validate(chain(1, policy=policy))
    assert (problem.code, problem.field) == ("bad_policy", "fallback")
    assert "Outputs: y." in problem.message


def test_a_field_of_a_maps_body_can_not_take_the_name_of_its_port() -> None:
    body = [
        interface("input", "item", "items", node_id="in", parent="each"),
        interface("output", "y", node_id="out", parent="each"),
    ]
    assert "twin_ports" in codes(Graph.of([node("each", "map"), *body]))


def test_a_template_that_is_too_long_is_not_even_read() -> None:
    graph = Graph.of([node("a", "template", template="{{a}}" * 400_000)])
    problem = next(problem for problem in validate(graph) if problem.code == "bad_config")
    assert "at most 100000 characters" in problem.message


def test_a_port_may_not_nest_in_another_one() -> None:
    graph = Graph.of([node("a", "merge", inputs=["x", "x.y"], strategy="dict")])
    assert any("nests in 'x'" in problem.message for problem in validate(graph))
