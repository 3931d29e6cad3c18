"""The modules of the installed DSPy that can be nodes, and what each one takes.

They are found by looking at constructors, so a module that a new DSPy brings is there without a line of
ours. A parameter is a plain option when JSON can say it; some are roles that the host fills (the
signature, tools, a reward, an inner module, an interpreter); the rest are left at their defaults, and a
module that can't do without one of those is no node.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import dspy

from runner.bridge.messages import ModuleInfo
from runner.bridge.worker_lm import LM_SETTINGS

# Constructor parameters that are no options, and what the host gives for them.
_ROLES = {
    "signature": "signature",
    "module": "inner",
    "reward_fn": "reward",
    "tools": "tools",
    "interpreter_factory": "interpreter",
}
# How to print, and what an answer that is JSON has no use for.
_LEFT_OUT = frozenset(
    {
        "access_examples",
        "disable_progress_bar",
        "provide_traceback",
        "return_failed_examples",
        "verbose",
    }
)
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
_LM_OPTIONS: Mapping[str, dict[str, Any]] = {
    "n": {"type": "integer", "minimum": 1, "maximum": 64},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "max_tokens": {"type": "integer", "minimum": 1},
    "stop": {"type": "array", "items": {"type": "string"}},
    "seed": {"type": "integer"},
}
assert _LM_OPTIONS.keys() == LM_SETTINGS

# Bounds of integers; of others it is only known that a count is not negative.
_AT_LEAST_ONE = frozenset({"N", "M", "max_iters", "max_llm_calls", "num_threads", "timeout"})
_AT_MOST = 100
_NO_SUMMARY = (".. ", "Args:", "Initializes ", "Experimental:")


def discover() -> dict[str, tuple[Any, ModuleInfo]]:
    """Class and description by name."""
    found = {}
    for name, item in sorted(vars(dspy).items()):
        if _is_candidate(item) and (info := describe(name, item)) is not None:
            found[name] = (item, info)
    return found


def _is_candidate(item: Any) -> bool:
    if not isinstance(item, type) or item is dspy.Module:
        return False
    return issubclass(item, dspy.Module) or item is dspy.Parallel


def describe(name: str, module: Any) -> ModuleInfo | None:
    """What the module takes; None when it takes what nobody here can give."""
    takes: list[str] = []
    required: list[str] = []
    properties: dict[str, Any] = {}
    for parameter in _parameters(module.__init__):
        if parameter.kind is parameter.VAR_KEYWORD:
            properties = {**_LM_OPTIONS, **properties}
        elif role := _ROLES.get(parameter.name):
            takes.append(role)
        elif (schema := _schema(parameter)) is not None:
            properties[parameter.name] = schema
            if parameter.default is parameter.empty:
                required.append(parameter.name)
        elif parameter.default is parameter.empty:
            return None
    called_with = {parameter.name for parameter in _parameters(module.forward)}
    if "completions" in called_with:
        takes.append("completions")
    if "exec_pairs" in called_with:
        takes += ["signature", "inner", "examples"]
    elif "inner" in takes:
        takes.append("signature")  # for the inner module
    if "signature" not in takes:
        return None
    options = {"type": "object", "properties": properties, "additionalProperties": False}
    return ModuleInfo(
        name=name,
        doc=_first_sentences(module),
        options=options | ({"required": required} if required else {}),
        takes=tuple(sorted(takes)),
        deprecated="deprecated" in (module.__doc__ or ""),
    )


def _parameters(function: Any) -> list[inspect.Parameter]:
    _, *rest = inspect.signature(function).parameters.values()
    return rest


def _schema(parameter: inspect.Parameter) -> dict[str, Any] | None:
    """The option as JSON Schema; None when its values are no plain JSON."""
    annotation, default = parameter.annotation, parameter.default
    if parameter.name in _LEFT_OUT:
        return None
    if annotation is parameter.empty:
        text = type(default).__name__
    else:
        text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    type_ = _TYPES.get(text.replace("None | ", "").replace(" | None", ""))
    if type_ is None:
        return None
    schema: dict[str, Any] = {"type": type_}
    if type_ == "integer":
        schema["minimum"] = 1 if parameter.name in _AT_LEAST_ONE else 0
    if parameter.name == "N":
        schema["maximum"] = _AT_MOST
    if default is not parameter.empty and default is not None:
        schema["default"] = default
    return schema


def _first_sentences(module: Any) -> str:
    """The first paragraph of what DSPy says of the module, or of its constructor, on one line."""
    for text in (vars(module).get("__doc__"), module.__init__.__doc__):
        for paragraph in inspect.cleandoc(text or "").split("\n\n"):
            line = " ".join(paragraph.split())
            if line and not line.startswith(_NO_SUMMARY):
                return line.replace("``", "`")
    return ""
