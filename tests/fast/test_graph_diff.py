"""What lies between two graphs, as operations."""

from dataclasses import replace
from itertools import permutations

import pytest

from pipelines.examples import EXAMPLES, example
from pipelines.graph import codec, ops
from pipelines.graph.diff import operations_between
from pipelines.graph.graph import Edge, Graph, Node
from tests.graphs import chain

NAMES = sorted(EXAMPLES)


def turned(before: Graph, after: Graph) -> str:
    return codec.dump(ops.apply(before, operations_between(before, after)))


@pytest.mark.parametrize(("one", "other"), list(permutations(NAMES, 2)))
def test_any_graph_turns_into_any_other(one: str, other: str) -> None:
    before, after = example(one), example(other)
    assert turned(before, after) == codec.dump(after)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_between_a_graph_and_itself(name: str) -> None:
    assert operations_between(example(name), example(name)).operations == ()


def test_only_what_differs_is_written() -> None:
    before = chain(3)
    named = ops.apply(before, ops.Rename(node="s0", label="First"))
    after = ops.apply(named, ops.SetPolicy(node="s1", field="retries", value=2))
    written = ops.footprint(after, operations_between(after, before)).writes
    assert written == {"n/s0/label", "n/s1/policy/retries"}


def test_a_field_that_was_not_there_goes_away_again() -> None:
    before = chain(2)
    after = ops.apply(before, ops.SetConfig(node="s0", field="instructions", value="Be brief."))
    assert turned(after, before) == codec.dump(before)


def test_a_node_that_changed_its_container_is_made_anew_with_its_edges() -> None:
    inner = Node(id="inner", kind="template", config={"template": "{{ x }}"})
    boxes = [Node(id="one", kind="map"), Node(id="two", kind="map")]
    edge = Edge(source="a", source_port="x", target="inner", target_port="x")
    a = Node(id="a", kind="input", config={"fields": [{"name": "x"}]})
    before = replace(Graph.of([a, *boxes, replace(inner, parent="one")]), edges=(edge,))
    after = replace(Graph.of([a, *boxes, replace(inner, parent="two")]), edges=(edge,))
    assert turned(before, after) == codec.dump(after)


def test_what_lies_in_a_container_that_goes_is_kept_outside() -> None:
    box, inner = Node(id="box", kind="map"), Node(id="inner", kind="lm", parent="box")
    before = Graph.of([box, inner])
    after = Graph.of([replace(inner, parent=None)])
    assert turned(before, after) == codec.dump(after)
