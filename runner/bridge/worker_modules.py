"""The DSPy modules that a worker can run, found by looking at the installed DSPy.

A module is taken when a signature and plain options are all it needs. One that wants tools, rewards or
metrics gets them as references to the host, which is a kind of its own; one that runs code (it takes an
interpreter) is left out, because what a user types is data.
"""

import inspect
from typing import Any

import dspy
import msgspec

from runner.bridge.payloads import ModulePayload
from runner.bridge.worker_lm import LM_SETTINGS, adapter, language_model
from runner.bridge.worker_loop import Step
from runner.bridge.worker_signatures import build
from runner.bridge.worker_values import plain, typed
from runner.engine.errors import InvalidConfig, InvalidInput

NODE_TAG = "_dspex_node"
"""On the module; it survives deepcopy, reset_copy and every optimizer, which a path by name does not."""


def discover() -> dict[str, Any]:
    """Name to class."""
    return {name: item for name, item in sorted(vars(dspy).items()) if _is_simple_module(item)}


def _is_simple_module(item: Any) -> bool:
    if not isinstance(item, type) or not issubclass(item, dspy.Module) or item is dspy.Module:
        return False
    return _needs_only_a_signature(item)


def _needs_only_a_signature(module: Any) -> bool:
    parameters = _parameters(module)
    signature = parameters.pop("signature", None)
    if signature is None or "interpreter_factory" in parameters:
        return False
    return _takes_only_fields(module) and not any(
        parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        for parameter in parameters.values()
    )


def _takes_only_fields(module: Any) -> bool:
    """Whether it is called with the signature's inputs and nothing else (MultiChainComparison wants
    completions too)."""
    _, *rest = inspect.signature(module.forward).parameters.values()
    return [parameter.kind for parameter in rest] == [inspect.Parameter.VAR_KEYWORD]


def _parameters(module: Any) -> dict[str, inspect.Parameter]:
    _, *rest = inspect.signature(module.__init__).parameters.values()
    return {parameter.name: parameter for parameter in rest}


def accepted_options(module: Any) -> frozenset[str]:
    """Options whose value can be JSON; and the LM's settings, where the module passes them on."""
    parameters = _parameters(module).values()
    own = {
        parameter.name
        for parameter in parameters
        if isinstance(parameter.default, str | int | float | bool)
    }
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return frozenset(own | (LM_SETTINGS if passes_on else set()))


MODULES = discover()


def run(step: Step, payload: dict[str, Any]) -> dict[str, Any]:
    """The `module` operation: the module's outputs by field name, as JSON."""
    call = msgspec.convert(payload, ModulePayload)
    module_class = _module_class(call)
    signature = build(call.signature)
    lm_options = {key: value for key, value in call.options.items() if key in LM_SETTINGS}
    own_options = {key: value for key, value in call.options.items() if key not in LM_SETTINGS}
    module = module_class(signature, **own_options)
    setattr(module, NODE_TAG, call.node)
    _give_demos(module, call.demos)
    inputs = _inputs(call, signature)
    lm = language_model(step, call.node, call.lm, lm_options)
    # Not dspy.context: a thread that a module starts by itself sees only what was configured.
    dspy.configure(lm=lm, adapter=adapter(call.lm.adapter))
    prediction = module(**inputs)
    return {name: plain(value) for name, value in prediction.items()}


def _module_class(call: ModulePayload) -> Any:
    module_class = MODULES.get(call.module)
    if module_class is None:
        raise InvalidConfig(
            f"There is no DSPy module '{call.module}' here that needs only a signature. "
            f"There are: {', '.join(MODULES)}."
        )
    accepted = accepted_options(module_class)
    unknown = sorted(set(call.options) - accepted)
    if unknown:
        raise InvalidConfig(
            f"{call.module} has no option '{unknown[0]}'. Options: {', '.join(sorted(accepted))}."
        )
    return module_class


def _give_demos(module: Any, demos: tuple[dict[str, Any], ...]) -> None:
    if not demos:
        return
    predictors = module.predictors()
    if len(predictors) != 1:
        raise InvalidConfig(
            f"{type(module).__name__} has {len(predictors)} predictors: demos can't be told apart. "
            "Remove the demos, or use a program."
        )
    predictors[0].demos = [dict(demo) for demo in demos]


def _inputs(call: ModulePayload, signature: Any) -> dict[str, Any]:
    fields = signature.input_fields
    unknown = sorted(set(call.inputs) - set(fields))
    if unknown:
        raise InvalidInput(
            f"'{unknown[0]}' is not an input of this step. It has: {', '.join(fields)}."
        )
    return {
        name: typed(name, value, fields[name].annotation) for name, value in call.inputs.items()
    }
