"""The `dspy` backend: runs nodes as DSPy modules in worker processes."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pipelines.graph.graph import Backend, Node
from pipelines.graph.kinds.dspy_module import WRAPPERS, DSPyModule, module_names
from pipelines.graph.kinds.predict import Predict
from pipelines.graph.kinds.retrieval import ColBERT
from pipelines.graph.signature import Field, Signature
from runner.bridge.messages import CallMessage, ErrorMessage
from runner.bridge.outputs import by_port
from runner.bridge.payloads import (
    MODULE,
    RETRIEVE,
    FieldSpec,
    LMSettings,
    ModulePayload,
    RetrievePayload,
    SignatureSpec,
)
from runner.bridge.pool import Outcome
from runner.bridge.pools import Pools
from runner.bridge.references import References, RunScope
from runner.bridge.serving import LMGateway, StepServer, Tool, plain
from runner.engine.errors import InvalidConfig
from runner.engine.events import EventType
from runner.engine.executor import Call, Executor
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
    """Runs predict, chain_of_thought, colbert and dspy_module nodes in the workers of the pools.

    `tools` are what workers may ask the host for in every step; `native` measures rewards. What a run's
    pipeline may use besides is in `scopes`, by run.
    """

    backend: Backend = "dspy"

    def __init__(
        self,
        pools: Pools,
        gateway: Profiles,
        tools: Mapping[str, Tool] | None = None,
        native: Executor | None = None,
    ) -> None:
        self._pools = pools
        self._gateway = gateway
        self._tools = tools or {}
        self._native = native
        self.scopes: dict[str, RunScope] = {}

    @property
    def warm(self) -> bool:
        """Whether a worker has been ready: a first one takes DSPy's loading time."""
        return self._pools.ready is not None

    def can(self, node: Node, config: Any) -> bool:
        """Whether the workers have the node's modules. Until the pool has a worker, that is taken for
        granted, and left to the worker to refuse."""
        names = _modules(node, config)
        ready = self._pools.ready
        return bool(names) and (ready is None or all(ready.module(name) for name in names))

    async def execute(self, call: Call) -> Mapping[str, Any]:
        """The node's outputs by port. Raises what the gateway or a tool raised, RemoteError for what
        the module raised, UnparsableAnswer for what its signature refuses, WorkerLost, or what the pool
        refuses with."""
        scope = self.scopes.get(call.run_id, RunScope())
        references = References(scope, self._native)
        answers = dict(self._tools)
        if isinstance(call.config, DSPyModule):
            await self._allow(call.config, scope)
            answers |= references.answers(call.config)
        server = StepServer(call, self._gateway, answers, getattr(call.config, "lm", None))
        try:
            outcome = await self._pools.for_modules(_modules(call.node, call.config)).run(
                call.run_id,
                self._message(call, references, scope),
                server,
                deadline=call.deadline,
                repeat=call.policy.retry != "never",
                step=call.path,
                session=scope.session,
                streams=not isinstance(call.config, ColBERT),
            )
        finally:
            await server.aclose()
        call.observer.event(EventType.TRACE, call, crossing(outcome))
        if isinstance(outcome.message, ErrorMessage):
            raise server.error_of(outcome.message)
        produced = await plain(outcome.message)
        if outcome.message.tables or outcome.traffic.shared_in:
            return await asyncio.to_thread(by_port, call, produced)  # it may take a second
        return by_port(call, produced)

    async def _allow(self, config: DSPyModule, scope: RunScope) -> None:
        """Raise InvalidConfig for a module that runs code where that is off. The worker refuses, too;
        this one says where it is turned on."""
        ready = self._pools.ready or await self._pools.start()
        for name in module_names(config):
            info = ready.module(name)
            if info is not None and info.runs_code and not scope.run_code:
                raise InvalidConfig(
                    f"{name} runs code that the language model writes. That is off in this installation; "
                    "an administrator may turn it on (Router, Settings)."
                )

    def _message(self, call: Call, references: References, scope: RunScope) -> CallMessage:
        if isinstance(call.config, ColBERT):
            return CallMessage(operation=RETRIEVE, payload=_plain(retrieve_payload(call)))
        profile = self._gateway.profile(call.config.lm)
        payload = module_payload(call, profile)
        if isinstance(call.config, DSPyModule):
            payload = msgspec.structs.replace(
                payload, tools=references.specs(call.config), run_code=scope.run_code
            )
        return CallMessage(operation=MODULE, payload=_plain(payload))


def module_payload(call: Call, profile: LMProfile) -> ModulePayload:
    """A predict, chain_of_thought or dspy_module node as the worker's payload."""
    config: Predict = call.config
    (module, *inner) = _modules(call.node, config)
    own: dict[str, Any] = {}
    if isinstance(config, DSPyModule):
        own = {
            "options": config.options,
            "inner": inner[0] if inner else "",
            "inner_options": config.inner_options if config.module in WRAPPERS else {},
            "reward": str(config.rewarded_by or ""),
        }
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
        demos=config.demos,
        **own,
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
    """What it took to cross the bridge: `ms` is the time on the way, without the worker's own
    (`worked_ms`, with what it waited for the host) and without `queued_ms`, the wait for a worker. Of
    the bytes, `shared_out` and `shared_in` went through shared memory; `tables` crossed in Arrow."""
    traffic = outcome.traffic
    return {
        "name": "bridge",
        "worker": outcome.worker.pid,
        "pool": outcome.worker.pool,
        "format": outcome.format,
        "bytes_out": traffic.bytes_out + traffic.shared_out,
        "bytes_in": traffic.bytes_in + traffic.shared_in,
        "shared_out": traffic.shared_out,
        "shared_in": traffic.shared_in,
        "tables": traffic.tables_out + traffic.tables_in,
        "ms": max(0.0, outcome.seconds - outcome.message.seconds) * 1e3,
        "worked_ms": outcome.message.seconds * 1e3,
        "queued_ms": outcome.queued * 1e3,
    }


def _modules(node: Node, config: Any) -> tuple[str, ...]:
    if isinstance(config, DSPyModule):
        return tuple(module_names(config))
    module = MODULE_OF_KIND.get(node.kind)
    return () if module is None else (module,)


def _field_spec(field: Field) -> FieldSpec:
    return FieldSpec(
        name=field.name,
        type=field.type,
        declared=field.declared,
        description=field.description,
        constraints=dict(field.constraints),
    )


def _plain(payload: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(payload)
    return plain
