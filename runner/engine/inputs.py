"""Checks what a pipeline is given against what it asks for."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.graph import signature as signatures
from pipelines.graph.graph import Port
from runner.engine.errors import InvalidInput
from runner.engine.plan import Plan


def check_inputs(plan: Plan, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as JSON, with defaults filled in. Raises InvalidInput naming every missing, unknown
    or ill-typed field at once."""
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise InvalidInput("Inputs are given as a mapping of names to values.")
    known = {port.name: port for port in plan.given}
    problems = [
        f"'{name}' is not an input of this pipeline{_nearest(name, known)}"
        for name in inputs
        if name not in known
    ]
    values: dict[str, Any] = {}
    for port in plan.given:
        if port.name in inputs:
            values[port.name], problem = _checked(port, inputs[port.name])
            problems += problem
        elif port.required:
            problems.append(f"the input '{port.name}' ({port.type}) is missing")
        else:
            values[port.name] = port.default
    if problems:
        asked = ", ".join(f"{port.name}: {port.type}" for port in plan.given) or "none"
        raise InvalidInput(f"{_sentence(problems)} Inputs: {asked}.")
    return values


def _checked(port: Port, value: Any) -> tuple[Any, list[str]]:
    if "." in port.name:  # a merge's own, which takes anything; no name of a signature
        return value, []
    try:
        return signatures.parse(f"{port.name}: {port.type} ->").inputs[port.name].check(value), []
    except ValueError as error:
        return value, [f"the input {str(error).rstrip('.')}"]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _sentence(problems: list[str]) -> str:
    text = "; ".join(problems)
    return text[0].upper() + text[1:] + "."
