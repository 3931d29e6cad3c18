"""Which backend runs a node. The decision is a pure function of the node's policy, what the backends
can do and the settings; it says its reason in words."""

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.graph.graph import Backend
from runner.engine.errors import OperationNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """`prefer_native`: take native where both can. `fallback_to_python`: let DSPy do what native
    can't, and what native failed at where the step policy asks for the other backend."""

    prefer_native: bool = True
    fallback_to_python: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The chosen backend and why."""

    backend: Backend
    reason: str


def decide(
    kind: str, *, wanted: str, able: Collection[Backend], settings: RouterSettings
) -> Decision:
    """Choose among the backends that are `able` to run a node of this kind.

    `wanted` is the policy's backend. Raises OperationNotFound, saying what was looked for.
    """
    if wanted != "auto":
        for backend in able:
            if backend == wanted:
                return Decision(backend=backend, reason=f"{backend}: set on the node")
        raise OperationNotFound(
            f"The node asks for {wanted}, which can't run a {kind}. "
            f"Able: {', '.join(sorted(able)) or 'none'}. Set the backend to auto.",
            kind=kind,
        )
    if "native" in able and "dspy" in able:
        return _preferred(settings)
    if "native" in able:
        return Decision(backend="native", reason="native: the only implementation")
    if "dspy" in able and settings.fallback_to_python:
        return Decision(backend="dspy", reason="dspy: there is no native implementation")
    hint = " fallback_to_python is off." if "dspy" in able else ""
    raise OperationNotFound(
        f"No backend can run a {kind} with this configuration.{hint}", kind=kind
    )


def _preferred(settings: RouterSettings) -> Decision:
    if settings.prefer_native:
        return Decision(backend="native", reason="native: both can, and native is preferred")
    return Decision(backend="dspy", reason="dspy: both can, and prefer_native is off")


def other_backend(
    failed: Backend, *, able: Collection[Backend], settings: RouterSettings
) -> Decision | None:
    """The backend to turn to after `failed` gave up, or None."""
    other: Backend = "dspy" if failed == "native" else "native"
    if other not in able or (other == "dspy" and not settings.fallback_to_python):
        return None
    return Decision(backend=other, reason=f"{other}: fallback after {failed} failed")
