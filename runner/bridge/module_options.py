"""Checks a module's options against what its worker said of them: in the worker, and where they are typed."""

from collections.abc import Mapping
from typing import Any

from runner.bridge.messages import ModuleInfo
from runner.engine.errors import InvalidConfig

_PYTHON = {"integer": int, "number": (int, float), "boolean": bool, "string": str, "array": list}


def check_options(info: ModuleInfo, options: Mapping[str, Any]) -> None:
    """Raise InvalidConfig naming the option that is unknown, missing or not of its type."""
    known: Mapping[str, dict[str, Any]] = info.options["properties"]
    for name, value in options.items():
        if name not in known:
            raise InvalidConfig(
                f"{info.name} has no option '{name}'. Options: {', '.join(sorted(known)) or 'none'}."
            )
        if problem := problem_of(known[name], value):
            raise InvalidConfig(f"Option '{name}' of {info.name} {problem}")
    for name in info.options.get("required", ()):
        if name not in options:
            type_ = known[name]["type"]
            raise InvalidConfig(f"{info.name} needs the option '{name}' ({type_}). Set it.")


def problem_of(schema: Mapping[str, Any], value: Any) -> str:
    """What is wrong with an option's value, as the end of a sentence; empty if nothing is."""
    type_ = schema["type"]
    right: Any = _PYTHON[type_]
    if not isinstance(value, right) or (isinstance(value, bool) and type_ != "boolean"):
        return f"is a value of type {type_}, not {value!r}."
    if type_ == "array" and not all(isinstance(item, str) for item in value):
        return f"is a list of texts, not {value!r}."
    if "minimum" in schema and value < schema["minimum"]:
        return f"is at least {schema['minimum']}, not {value!r}."
    if "maximum" in schema and value > schema["maximum"]:
        return f"is at most {schema['maximum']}, not {value!r}."
    return ""
