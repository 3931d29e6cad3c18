"""Nodes as the payloads of a worker's operations, and what crossed as an event."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.policy import StepPolicy
from runner.bridge.executor import crossing, module_payload, retrieve_payload, signature_spec
from runner.bridge.messages import ResultMessage
from runner.bridge.payloads import FieldSpec
from runner.bridge.pool import Outcome
from runner.bridge.wire import Traffic
from runner.engine.executor import Call
from runner.lm.types import LMProfile


def call(kind: str, inputs: dict[str, Any], **config: Any) -> Call:
    return Call(
        run_id="r",
        path="n1",
        attempt=1,
        node=Node(id="n1", kind=kind, config=config),
        config=kind_named(kind).config(**config),
        policy=StepPolicy(),
        inputs=inputs,
        observer=SimpleNamespace(),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("format_", "adapter"), [("chat", "chat"), ("json", "json"), ("compact", "compact")]
)
def test_profile_s_format_decides_dspy_s_adapter(format_: Any, adapter: str) -> None:
    profile = LMProfile(name="p", adapter="scripted", format=format_, structured=False)
    payload = module_payload(call("predict", {"a": 1}, signature="a -> b"), profile)
    assert (payload.lm.adapter, payload.lm.structured) == (adapter, False)


def test_dspy_module_goes_by_its_name_with_its_options() -> None:
    profile = LMProfile(name="p", adapter="scripted")
    config = {"module": "Predict", "signature": "a -> b", "options": {"n": 2}}
    payload = module_payload(call("dspy_module", {"a": 1}, **config), profile)
    assert (payload.module, payload.options) == ("Predict", {"n": 2})


def test_signature_travels_as_parts() -> None:
    node = call(
        "predict",
        {},
        signature="text, n: int -> score: float",
        instructions="Rate.",
        descriptions={"score": "how good"},
        constraints={"score": {"ge": 0}},
    )
    spec = signature_spec(node.config.parsed())
    assert spec.inputs == (
        FieldSpec(name="text", type="str", declared=False),
        FieldSpec(name="n", type="int"),
    )
    assert spec.outputs == (
        FieldSpec(name="score", type="float", description="how good", constraints={"ge": 0}),
    )
    assert spec.instructions == "Rate."


def test_own_types_travel_as_json_schema() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    node = call("predict", {}, signature="a -> who: Person", types={"Person": schema})
    assert signature_spec(node.config.parsed()).types == {"Person": schema}


def test_colbert_node_as_payload() -> None:
    payload = retrieve_payload(call("colbert", {"query": "q"}, collection="docs", k=3))
    assert (payload.query, payload.k, payload.collection, payload.url) == ("q", 3, "docs", "")


def test_crossing_counts_the_way_and_not_the_work() -> None:
    outcome = Outcome(
        message=ResultMessage(value=None, seconds=0.010),
        worker=SimpleNamespace(pid=7, pool="general"),  # type: ignore[arg-type]
        format="json",
        traffic=Traffic(bytes_out=100, bytes_in=20, shared_in=30, tables_in=1),
        seconds=0.0125,
        queued=0.001,
    )
    assert crossing(outcome) == {
        "name": "bridge",
        "worker": 7,
        "pool": "general",
        "format": "json",
        "bytes_out": 100,
        "bytes_in": 50,
        "shared_out": 0,
        "shared_in": 30,
        "tables": 1,
        "ms": pytest.approx(2.5),
        "worked_ms": pytest.approx(10.0),
        "queued_ms": pytest.approx(1.0),
    }
