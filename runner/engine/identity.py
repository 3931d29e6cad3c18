"""When a step is the same step as before: then its recorded outputs may stand for it.

A step's identity covers the kind and its version, the config (with it the program), the resolved
backend, the inputs, the revisions of the LM profiles, the content of the collections, what a container
or a pinned pipeline holds, DSPy's version, and, beside those, the step's path: two nodes that ask a
language model the same are asked twice, and their answers stay apart. It starts with the scope (project
and pipeline), so that a look-up by identity never leads into another one.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipelines.graph.codec import plain
from pipelines.graph.graph import Backend, Port
from pipelines.graph.kinds.predict import LMConfig
from runner.engine.control import CONTROLS
from runner.engine.errors import RunnerError
from runner.engine.plan import Plan, PlannedStep, Source

LARGE = 500_000
"""Characters and items of inputs from which they are hashed in a thread: some milliseconds."""

type _Wires = Sequence[tuple[Port, tuple[Source, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the names in a graph mean at the moment. `profiles` maps a profile's name to whatever changes
    with it, `collection` gives the content hash of one."""

    scope: str
    profiles: Mapping[str, str]
    default_profile: str
    dspy: str
    collection: Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What is known of a step before the run. `never` says why its outputs are never taken."""

    digest: str
    profiles: frozenset[str | None] = frozenset()
    collections: frozenset[str] = frozenset()
    dspy: bool = False
    never: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A step with its inputs; on a backend it is 32 hexadecimal digits."""

    text: bytes
    dspy: str
    in_dspy: bool  # whether a step inside may run there

    def on(self, backend: Backend) -> str:
        dspy = self.dspy if self.in_dspy or backend == "dspy" else ""
        return _digest(self.text, f"{backend}:{dspy}".encode())


def why_never(step: PlannedStep) -> str:
    """Why this step, apart from what it holds, is always run anew; empty when it need not be."""
    kind, config = step.node.kind, step.config
    if kind == "approve":
        return "a person is asked each time"
    if kind == "http_request" or (kind == "colbert" and config.url):
        return "another system is asked each time"
    if getattr(config, "tools", ()):
        return "it may use tools"
    reward = getattr(config, "rewarded_by", None)
    if reward is not None and reward.by in ("tool", "pipeline"):
        return f"its reward is a {reward.by}"
    if step.policy.retry == "never":
        return "its policy says that it has side effects"
    return ""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The meanings of a plan's steps, each made once: many nodes may hold one pinned pipeline."""

    _steps: dict[int, tuple[PlannedStep, Meaning]] = field(default_factory=dict)
    _plans: dict[int, tuple[Plan, Meaning]] = field(default_factory=dict)

    def of(self, step: PlannedStep) -> Meaning:
        if id(step) not in self._steps:  # kept with the step, or its id could be another's
            self._steps[id(step)] = (step, self._step(step))
        return self._steps[id(step)][1]

    def _step(self, step: PlannedStep) -> Meaning:
        node, inside = step.node, self._body(step.body) if step.body else None
        config = plain(node.config)
        if node.kind == "pipeline":  # what it holds counts, not what it is called
            config = {name: config.get(name) for name in ("inputs", "outputs")}
        own = [node.kind, node.kind_version, config, inside.digest if inside else ""]
        within = inside or Meaning(digest="")
        lm, collection = step.config, getattr(step.config, "collection", None)
        asked: list[str | None] = [lm.lm] if isinstance(lm, LMConfig) else []
        return Meaning(
            digest=_digest(_json(own)),
            profiles=within.profiles.union(asked),
            collections=within.collections | ({collection} if collection else frozenset()),
            dspy=within.dspy,
            never=why_never(step) or within.never,
        )

    def _body(self, plan: Plan) -> Meaning:
        if id(plan) not in self._plans:
            self._plans[id(plan)] = (plan, self._whole(plan))
        return self._plans[id(plan)][1]

    def _whole(self, plan: Plan) -> Meaning:
        inner = {step_id: self.of(step) for step_id, step in plan.steps.items()}
        steps = {
            step_id: [inner[step_id].digest, step.policy.model_dump(), _wires(step.sources)]
            for step_id, step in plan.steps.items()
        }
        given = [[port.name, port.type, port.required, port.default] for port in plan.given]
        able = any(
            inner[step_id].dspy
            or ("dspy" in step.kind.backends and step.policy.backend != "native")
            for step_id, step in plan.steps.items()
        )
        return Meaning(
            digest=_digest(_json([steps, given, plan.input_id, _wires(plan.results)])),
            profiles=frozenset[str | None]().union(*(each.profiles for each in inner.values())),
            collections=frozenset[str]().union(*(each.collections for each in inner.values())),
            dspy=able,
            never=next((each.never for each in inner.values() if each.never), ""),
        )


class Identities:
    """The identities of one run's steps, by what the names mean to it. `meanings` may be shared by the
    runs of one plan."""

    def __init__(self, facts: Facts, meanings: Meanings | None = None) -> None:
        self.facts = facts
        self._meanings = meanings or Meanings()

    async def of(self, step: PlannedStep, path: str, inputs: Mapping[str, Any]) -> Identity | None:
        """None for a step whose outputs are never taken, or that need not be: control kinds cost
        nothing."""
        if step.node.kind in CONTROLS:
            return None
        meaning = self._meanings.of(step)
        if meaning.never:
            return None
        try:
            collections = {name: await self.facts.collection(name) for name in meaning.collections}
            given = await _digest_of(inputs)
        except (RunnerError, UnicodeEncodeError, TypeError, ValueError, msgspec.MsgspecError):
            return None  # the step itself says what is wrong, if it is
        return identity(meaning, path, given, facts=self.facts, collections=collections)


def identity(
    meaning: Meaning,
    path: str,
    inputs: str,
    *,
    facts: Facts,
    collections: Mapping[str, str],
) -> Identity:
    """A step's identity, of what is known and the digest of its inputs."""
    names = {name or facts.default_profile for name in meaning.profiles}
    profiles = {name: facts.profiles.get(name, "") for name in names}
    parts = [facts.scope, path, meaning.digest, inputs, profiles, dict(collections)]
    return Identity(text=_json(parts), dspy=facts.dspy, in_dspy=meaning.dspy)


def digest_of(inputs: Mapping[str, Any]) -> str:
    """Of JSON values, whatever the order of their keys."""
    return _digest(_json(inputs))


async def _digest_of(inputs: Mapping[str, Any]) -> str:
    if _measured(inputs, LARGE) < LARGE:
        return digest_of(inputs)
    return await asyncio.to_thread(digest_of, inputs)


def _measured(value: Any, enough: int) -> int:
    """About how much there is of it; `enough` is where to stop counting."""
    if isinstance(value, str):
        return len(value)
    size = 1
    for inner in value.values() if isinstance(value, Mapping) else ():
        size += _measured(inner, enough - size)
        if size >= enough:
            break
    if isinstance(value, list | tuple):
        if len(value) > 1_000:  # one of them tells of the others: counting would cost as much
            return len(value) * max(_measured(value[0], enough), _measured(value[-1], enough))
        for inner in value:
            size += _measured(inner, enough - size)
            if size >= enough:
                break
    return size


def _wires(sources: _Wires) -> list[Any]:
    return [[port.name, sorted(map(list, fed)) if not port.many else fed] for port, fed in sources]


_encoder = msgspec.json.Encoder(order="sorted")


def _json(value: Any) -> bytes:
    return _encoder.encode(value)


def _digest(*parts: bytes) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()
