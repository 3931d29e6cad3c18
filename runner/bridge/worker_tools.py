"""Host tools as DSPy's modules see them: stubs that ask the host."""

import inspect
from collections.abc import Mapping
from typing import Any

import dspy

from runner.bridge.payloads import TOOL_PREFIX, ToolSpec
from runner.bridge.tables import Table
from runner.bridge.worker_loop import HostRefused, Step
from runner.bridge.worker_values import plain


class ToolStub(dspy.Tool):  # type: ignore[misc]  # DSPy is not typed
    """A tool whose arguments the host checks, and nobody else: its message names them, where DSPy's own
    comes with a traceback, which would tell the model's provider the paths of this machine."""

    def _validate_and_parse_args(self, **arguments: Any) -> dict[str, Any]:
        return arguments


def tool_stub(step: Step, spec: ToolSpec, *, raises: bool) -> Any:
    """A `dspy.Tool`. What the host refuses becomes the observation; with `raises`, for code that runs in
    a sandbox, an error."""
    properties: Mapping[str, dict[str, Any]] = spec.parameters.get("properties", {})
    required = spec.parameters.get("required", ())

    def ask(**arguments: Any) -> Any:
        # The sandbox passes None for what its code left out.
        given = {k: v for k, v in arguments.items() if v is not None or k in required}
        try:
            answer = step.ask_tool(TOOL_PREFIX + spec.name, plain(given))
            return answer.records() if isinstance(answer, Table) else answer
        except HostRefused as refused:
            if raises:
                raise RuntimeError(refused.failure.message) from None
            return f"Error: {refused.failure.message}"

    ask.__name__ = spec.name
    ask.__doc__ = spec.description
    ask.__signature__ = _signature(properties, required)  # type: ignore[attr-defined]
    definitions = spec.parameters.get("$defs")
    shown = {name: dict(schema) for name, schema in properties.items()}
    if definitions:
        shown = {name: {**schema, "$defs": definitions} for name, schema in shown.items()}
    return ToolStub(ask, name=spec.name, desc=spec.description, args=shown, arg_types={})


def _signature(properties: Mapping[str, Any], required: Any) -> inspect.Signature:
    """The tool's parameters: the sandbox makes its own function of them."""
    ordered = sorted(properties, key=lambda name: name not in required)
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if name in required else None,
            )
            for name in ordered
        ]
    )
