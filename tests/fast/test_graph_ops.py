from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph import codec, ops
from pipelines.graph.graph import Graph
from tests.graphs import chain, node

NODES = ["s0", "s1", "s2", "each", "inside"]


def sample() -> Graph:
    graph = chain(3).with_node(node("each", "map"))
    return graph.with_node(node("inside", parent="each"))


names = st.sampled_from(NODES)
places = st.tuples(st.integers(-500, 500).map(float), st.integers(-500, 500).map(float))
operations = st.one_of(
    st.builds(
        ops.AddNode, node=st.sampled_from(["new", "s0"]), kind=st.just("lm"), position=places
    ),
    st.builds(ops.RemoveNode, node=names),
    st.builds(ops.MoveNodes, positions=st.dictionaries(names, places, max_size=3)),
    st.builds(
        ops.SetConfig,
        node=names,
        field=st.sampled_from(["signature", "lm"]),
        value=st.one_of(st.just("x -> y: int"), st.just(msgspec.UNSET)),
    ),
    st.builds(ops.SetPolicy, node=names, field=st.just("retries"), value=st.integers(0, 3)),
    st.builds(ops.Rename, node=names, label=st.text(max_size=5)),
    st.builds(
        ops.Connect, source=names, source_port=st.just("y"), target=names, target_port=st.just("x")
    ),
    st.builds(
        ops.Disconnect,
        source=names,
        source_port=st.just("y"),
        target=names,
        target_port=st.just("x"),
    ),
    st.builds(ops.Describe, name=st.text(max_size=5)),
)
batches = st.lists(operations, max_size=4).map(lambda parts: ops.Batch(operations=tuple(parts)))


@settings(max_examples=60, deadline=None)
@given(st.one_of(operations, batches))
def test_the_inverse_takes_any_operation_back(operation: Any) -> None:
    graph = sample()
    try:
        changed = ops.apply(graph, operation)
    except ops.OperationError:
        return
    back = ops.apply(changed, ops.inverse(graph, operation))
    assert codec.dump(back) == codec.dump(graph)


@settings(max_examples=40, deadline=None)
@given(operations)
def test_an_operation_comes_back_from_the_wire(operation: Any) -> None:
    assert ops.decode(msgspec.json.decode(msgspec.json.encode(operation))) == operation


@settings(max_examples=60, deadline=None)
@given(operations, operations)
def test_operations_that_do_not_conflict_can_be_swapped(first: Any, second: Any) -> None:
    graph = sample()
    try:
        footprints = ops.footprint(graph, first), ops.footprint(graph, second)
        alone = ops.apply(graph, first), ops.apply(graph, second)
    except ops.OperationError:
        return
    moves = isinstance(first, ops.MoveNodes) and isinstance(second, ops.MoveNodes)
    if ops.conflicts(*footprints) or moves:
        return
    one_way = ops.apply(alone[0], second)
    other_way = ops.apply(alone[1], first)
    assert codec.dump(one_way) == codec.dump(other_way)


def conflict(first: Any, second: Any) -> frozenset[str]:
    graph = sample()
    return ops.conflicts(ops.footprint(graph, first), ops.footprint(graph, second))


def test_two_people_may_change_different_fields_of_a_node() -> None:
    one = ops.SetConfig(node="s0", field="signature", value="x -> y: int")
    other = ops.SetConfig(node="s0", field="instructions", value="Be brief.")
    assert not conflict(one, other)
    assert conflict(one, one) == {"n/s0/config/signature"}


def test_an_edit_of_a_node_that_another_removed_conflicts() -> None:
    edit = ops.Rename(node="s1", label="Find")
    assert conflict(edit, ops.RemoveNode(node="s1"))
    assert conflict(ops.RemoveNode(node="s1"), edit)


def test_removing_a_node_conflicts_with_a_new_edge_from_it() -> None:
    edge = ops.Connect(source="s1", source_port="y", target="inside", target_port="x")
    assert conflict(ops.RemoveNode(node="s1"), edge)


def test_removing_a_container_conflicts_with_an_edit_in_its_body() -> None:
    assert conflict(ops.RemoveNode(node="each"), ops.Rename(node="inside", label="x"))


def test_positions_never_conflict() -> None:
    move = ops.MoveNodes(positions={"s0": (1.0, 1.0)})
    assert not conflict(move, move)


def test_a_batch_is_all_or_nothing() -> None:
    graph = sample()
    batch = ops.Batch(operations=(ops.Rename(node="s0", label="A"), ops.RemoveNode(node="nowhere")))
    with pytest.raises(ops.OperationError, match="'nowhere' is gone"):
        ops.apply(graph, batch)
    assert graph.node("s0").label == ""


@pytest.mark.parametrize(
    "raw",
    [
        {"op": "eval", "code": "1"},
        {"op": "rename", "node": "s0"},
        {"op": "rename", "node": "s0", "label": 5},
        [],
        None,
    ],
)
def test_what_is_no_operation_is_refused(raw: Any) -> None:
    with pytest.raises(ops.OperationError, match="no operation"):
        ops.decode(raw)


def test_containers_that_lie_in_each_other_can_be_removed() -> None:
    graph = Graph.of([node("a", "map", parent="b"), node("b", "map", parent="a")])
    assert not ops.apply(graph, ops.RemoveNode(node="a")).nodes
