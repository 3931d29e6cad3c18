import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from pipelines.graph import codec
from pipelines.graph.graph import Graph, GraphError, Position
from pipelines.graph.kinds import KINDS
from tests.graphs import chain, node


def placed(graph: Graph, x: float) -> Graph:
    return replace(graph, layout=MappingProxyType({"s0": Position(x=x, y=2)}))


def test_a_graph_comes_back_from_its_text() -> None:
    graph = placed(replace(chain(3), name="Näme", description="…"), 1)
    text = codec.dump(graph)
    assert codec.dump(codec.load(text)) == text
    assert codec.load(text).node("s1").config["signature"] == "x -> y"


def test_the_order_of_making_does_not_show() -> None:
    graph = chain(3)
    backwards = Graph.of(reversed(graph.nodes.values()), reversed(graph.edges))
    assert codec.dump(backwards) == codec.dump(graph)


def test_one_changed_field_is_one_changed_line() -> None:
    graph = chain(3)
    changed = graph.with_node(node("s1", signature="x -> y: int"))
    before, after = codec.dump(graph).splitlines(), codec.dump(changed).splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_layout_and_labels_are_not_part_of_the_hash() -> None:
    graph = chain(2)
    moved = placed(graph, 5).with_node(replace(graph.node("s0"), label="Find"))
    assert codec.content_hash(moved) == codec.content_hash(graph)
    other = graph.with_node(node("s0", signature="x -> y: int"))
    assert codec.content_hash(other) != codec.content_hash(graph)


def test_a_node_of_an_unknown_kind_keeps_config_and_edges() -> None:
    graph = chain(1).with_node(node("s0", "summon", spell="x"))
    loaded = codec.load(codec.dump(graph))
    assert loaded.node("s0").config == {"spell": "x"}
    assert len(loaded.edges) == 2


def test_an_old_config_is_lifted_to_the_present_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(config: dict[str, Any]) -> dict[str, Any]:
        return {"k": config["top_k"]}

    newer = replace(KINDS["search"], version=2, upgrades={1: rename})
    monkeypatch.setitem(KINDS, "search", newer)
    raw = {"format": 1, "nodes": {"a": {"kind": "search", "version": 1, "config": {"top_k": 3}}}}
    loaded = codec.from_json(raw).node("a")
    assert (loaded.kind_version, loaded.config) == (2, {"k": 3})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ('{"format": 1, "nodes": {}, "code": "import os"}', "wrong at code"),
        ('{"format": 7, "nodes": {}}', "has the format 7"),
        ('{"format": 1, "nodes": {"a": {"kind": 3}}}', "wrong at nodes.a.kind"),
        ('{"format": 1, "nodes": {}, "edges": {"a.x": ["b"]}}', "node.port → node.port"),
        ('{"format": 1, "nodes": {"a": {"kind": "lm", "config": {"x": NaN}}}}', "NaN"),
        ('{"a":' * 20_000, "nested"),
        ("[]", "wrong at top level"),
    ],
)
def test_a_broken_file_is_refused_and_the_place_is_named(text: str, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        codec.load(text)


def test_a_deeply_nested_config_is_refused() -> None:
    config: Any = 1
    for _ in range(100):
        config = [config]
    raw = {"format": 1, "nodes": {"a": {"kind": "lm", "config": {"system": config}}}}
    with pytest.raises(GraphError, match="levels deep"):
        codec.load(json.dumps(raw))


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(GraphError, match="is the limit"):
        codec.load(" " * (codec.MAX_TEXT + 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 1, "nodes": {"a": {"kind": "lm"}, "a": {"kind": "map"}}}', "'a' stands twice"),
        (
            '{"format": 1, "nodes": {"a": {"kind": "lm", "label": "\\ud800"}}}',
            "half a character",
        ),
        ('{"format": 1, "nodes": {}, "layout": {"a": [1e999, 0]}}', "not JSON compliant"),
    ],
)
def test_what_could_not_be_written_again_is_refused(text: str, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        codec.load(text)
