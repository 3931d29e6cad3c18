"""The `dspy` backend: runs nodes as DSPy modules in worker processes."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pipelines.graph.graph import Backend, Node
from pipelines.graph.kinds import kind_named
from pipelines.graph.kinds.dspy_module import DSPyModule
from pipelines.graph.kinds.kind import Body
from pipelines.graph.kinds.predict import Predict
from pipelines.graph.kinds.retrieval import ColBERT
from pipelines.graph.signature import Field, Signature
from runner.bridge.messages import CallMessage, ErrorMessage
from runner.bridge.payloads import (
    MODULE,
    RETRIEVE,
    FieldSpec,
    LMSettings,
    ModulePayload,
    RetrievePayload,
    SignatureSpec,
)
from runner.bridge.pool import Outcome, Pool
from runner.bridge.serving import LMGateway, StepServer, Tool
from runner.engine.errors import OutputNotProduced
from runner.engine.events import EventType
from runner.engine.executor import Call
from runner.lm.types import LMProfile

MODULE_OF_KIND = {
    "predict": "Predict",
    "chain_of_thought": "ChainOfThought",
    "colbert": "ColBERTv2",
}


class Profiles(LMGateway, Protocol):
    """The gateway, with its profiles."""

    def profile(self, name: str | None) -> LMProfile: ...


class DSPyExecutor:
    """Runs predict, chain_of_thought, colbert and dspy_module nodes in the workers of a pool.

    `tools` are what workers may ask the host for; `retrieve` answers ColBERTv2.
    """

    backend: Backend = "dspy"

    def __init__(
        self, pool: Pool, gateway: Profiles, tools: Mapping[str, Tool] | None = None
    ) -> None:
        self._pool = pool
        self._gateway = gateway
        self._tools = tools or {}

    def can(self, node: Node, config: Any) -> bool:
        """Whether the workers have the node's module. Until the pool has a worker, what DSPy always
        has is taken for granted, and a module by name is for the worker to refuse."""
        module = _module_name(node, config)
        if module is None:
            return False
        ready = self._pool.ready
        return ready is None or module in ready.modules

    async def execute(self, call: Call) -> Mapping[str, Any]:
        """The node's outputs by port. Raises what the gateway or a tool raised, RemoteError for what
        the module raised, WorkerLost, PoolBusy."""
        server = StepServer(call, self._gateway, self._tools, getattr(call.config, "lm", None))
        try:
            outcome = await self._pool.run(
                call.run_id,
                self._message(call),
                server,
                deadline=call.deadline,
                repeat=call.policy.retry != "never",
            )
        finally:
            await server.aclose()
        call.observer.event(EventType.TRACE, call, crossing(outcome))
        if isinstance(outcome.message, ErrorMessage):
            raise server.error_of(outcome.message)
        return _by_port(call, outcome.message.value)

    def _message(self, call: Call) -> CallMessage:
        if isinstance(call.config, ColBERT):
            return CallMessage(operation=RETRIEVE, payload=_plain(retrieve_payload(call)))
        profile = self._gateway.profile(call.config.lm)
        return CallMessage(operation=MODULE, payload=_plain(module_payload(call, profile)))


def module_payload(call: Call, profile: LMProfile) -> ModulePayload:
    """A predict, chain_of_thought or dspy_module node as the worker's payload."""
    config: Predict = call.config
    module = _module_name(call.node, config)
    assert module is not None
    return ModulePayload(
        node=call.node.id,
        module=module,
        signature=signature_spec(config.parsed()),
        inputs=dict(call.inputs),
        lm=LMSettings(
            adapter=profile.format,
            structured=profile.structured,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
        ),
        options=config.options if isinstance(config, DSPyModule) else {},
        demos=config.demos,
    )


def retrieve_payload(call: Call) -> RetrievePayload:
    """A colbert node as the worker's payload."""
    config: ColBERT = call.config
    return RetrievePayload(
        query=str(call.inputs["query"]),
        k=config.k,
        collection=config.collection,
        candidates=config.candidates,
        url=config.url,
    )


def signature_spec(signature: Signature) -> SignatureSpec:
    """A signature as the worker builds it anew."""
    return SignatureSpec(
        inputs=tuple(_field_spec(field) for field in signature.inputs.values()),
        outputs=tuple(_field_spec(field) for field in signature.outputs.values()),
        instructions=signature.instructions,
        types={name: dict(schema) for name, schema in signature.types.items()},
    )


def crossing(outcome: Outcome) -> dict[str, Any]:
    """What it took to cross the bridge: `ms` is the time on the way, without the worker's own and
    without `queued_ms`, the wait for a worker."""
    return {
        "name": "bridge",
        "worker": outcome.worker.pid,
        "format": outcome.format,
        "bytes_out": outcome.bytes_out,
        "bytes_in": outcome.bytes_in,
        "ms": max(0.0, outcome.seconds - outcome.message.seconds) * 1e3,
        "queued_ms": outcome.queued * 1e3,
    }


def _module_name(node: Node, config: Any) -> str | None:
    if isinstance(config, DSPyModule):
        return config.module
    return MODULE_OF_KIND.get(node.kind)


def _field_spec(field: Field) -> FieldSpec:
    return FieldSpec(
        name=field.name,
        type=field.type,
        declared=field.declared,
        description=field.description,
        constraints=dict(field.constraints),
    )


def _by_port(call: Call, produced: Mapping[str, Any]) -> dict[str, Any]:
    ports = kind_named(call.node.kind).outputs(call.config, Body())
    for port in ports:
        if port.name not in produced:
            raise OutputNotProduced(f"{call.node.title} did not produce '{port.name}'.")
    return {port.name: produced[port.name] for port in ports}


def _plain(payload: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(payload)
    return plain
