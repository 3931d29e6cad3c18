"""The `module` operation: builds a DSPy module from plain values, runs it, gives its outputs as JSON.

What the module needs beside a signature and plain options are stubs that ask the host: a reward is a
number that the host gives, a tool is a name that the host knows. No code of a user ever gets here.
"""

from collections.abc import Mapping
from typing import Any

import dspy
import msgspec

from runner.bridge.messages import ModuleInfo
from runner.bridge.module_options import check_options
from runner.bridge.payloads import REWARD, ModulePayload
from runner.bridge.worker_adapters import adapter
from runner.bridge.worker_context import printing
from runner.bridge.worker_interpreter import interpreter_factory
from runner.bridge.worker_lm import LM_SETTINGS, language_model, tag_predictors
from runner.bridge.worker_loop import Step
from runner.bridge.worker_registry import discover
from runner.bridge.worker_signatures import build
from runner.bridge.worker_tools import tool_stub
from runner.bridge.worker_values import plain, typed
from runner.engine.errors import InvalidConfig, InvalidInput, OutputNotProduced

NODE_TAG = "_dspex_node"
"""On the module; it survives deepcopy, reset_copy and every optimizer, which a path by name does not."""

MODULES = discover()


def run(step: Step, payload: dict[str, Any]) -> dict[str, Any]:
    """The module's outputs by field name, as JSON."""
    call = msgspec.convert(payload, ModulePayload)
    making = Making(step, call)
    module = making.module()
    lm = language_model(step, call.node, call.lm, making.lm_options)
    parameters = tuple(tool.parameters for tool in call.tools)
    settings = dspy.context(lm=lm, adapter=adapter(call.lm.adapter, parameters), trace=[])
    with settings, printing(step) as printed:
        outputs = making.outputs(module)
    if outputs is None:
        raise OutputNotProduced(
            f"{call.module} gave no prediction: each of its attempts failed.",
            printed=printed.getvalue(),
        )
    return {name: plain(value) for name, value in outputs.items()}


class Making:
    """One call's module, made of its parts. `lm_options` are what belongs to its LM."""

    def __init__(self, step: Step, call: ModulePayload) -> None:
        self.step = step
        self.call = call
        self.signature = build(call.signature)
        self.lm_options: dict[str, Any] = {}

    def module(self) -> Any:
        """The module, with node and predictors tagged and demos given."""
        call = self.call
        module_class, info = _known(call.module)
        module = self._made(module_class, info, call.options)
        setattr(module, NODE_TAG, call.node)
        if isinstance(module, dspy.Module):
            _give_demos(module, call.demos)
            tag_predictors(module)
        return module

    def outputs(self, module: Any) -> Mapping[str, Any] | None:
        """Run it once. None when it gave nothing."""
        inputs = dict(self.call.inputs)
        if isinstance(module, dspy.Parallel):
            return {"predictions": self._of_each(module, inputs.get("examples"))}
        if self.call.module == "MultiChainComparison":
            completions = _completions(inputs.pop("completions", None), self.signature)
            return dict(module(completions, **self._typed(inputs)))
        prediction = module(**self._typed(inputs))
        return None if prediction is None else dict(prediction)

    def _made(self, module_class: Any, info: ModuleInfo, options: Mapping[str, Any]) -> Any:
        if info.runs_code and not self.call.run_code:
            raise InvalidConfig(
                f"{info.name} runs code that the language model writes, which is off here. "
                "An administrator may turn it on."
            )
        check_options(info, options)
        own = dict(options)
        taken = {name for name in own if name in LM_SETTINGS and not _is_own(module_class, name)}
        self.lm_options |= {name: own.pop(name) for name in taken}
        if "completions" in info.takes:
            own.setdefault("M", len(self.call.inputs.get("completions") or ()))
        if "inner" in info.takes:
            return self._wrapped(module_class, info, own)
        return self._bare(module_class, info, own)

    def _wrapped(self, module_class: Any, info: ModuleInfo, options: dict[str, Any]) -> Any:
        """A module that runs another one."""
        inner_class, inner_info = _known(self.call.inner)
        if "inner" in inner_info.takes:
            raise InvalidConfig(
                f"{info.name} can't run {inner_info.name}, which runs a module itself."
            )
        if "completions" in inner_info.takes:
            raise InvalidConfig(
                f"{info.name} can't run {inner_info.name}, which compares attempts."
            )
        inner = self._made(inner_class, inner_info, self.call.inner_options)
        if "reward" not in info.takes:
            self._inner = inner
            tag_predictors(inner)
            return module_class(**options, disable_progress_bar=True)
        module = module_class(module=inner, reward_fn=self._reward, **options)
        if hasattr(module, "reward_fn_code"):
            # Refine shows it to the language model, which has no use for the source of a stub.
            module.reward_fn_code = self.call.reward
        return module

    def _bare(self, module_class: Any, info: ModuleInfo, options: dict[str, Any]) -> Any:
        tools = [tool_stub(self.step, spec, raises=info.runs_code) for spec in self.call.tools]
        arguments: dict[str, Any] = {}
        if "tools" in info.takes:
            arguments["tools"] = tools
        elif tools:
            raise InvalidConfig(f"{info.name} takes no tools. Remove them, or use ReAct.")
        if info.runs_code:
            arguments["interpreter_factory"] = interpreter_factory(
                tools if issubclass(module_class, dspy.CodeAct) else ()
            )
        module = module_class(self.signature, **arguments, **options)
        if issubclass(module_class, dspy.CodeAct):
            # It would run their source in the sandbox; the interpreter has them as calls to the host.
            module.tools = {}
        return module

    def _reward(self, inputs: Any, prediction: Any) -> float:
        values = {"inputs": plain(dict(inputs)), "outputs": plain(dict(prediction))}
        return float(self.step.ask_tool(REWARD, values))

    def _of_each(self, parallel: Any, examples: Any) -> list[Any]:
        if not isinstance(examples, list) or not all(isinstance(each, dict) for each in examples):
            raise InvalidInput("'examples' is a list of objects, each with the inputs by name.")
        pairs = [(self._inner, self._typed(each)) for each in examples]
        found = parallel(pairs) if pairs else []
        return [None if each is None else plain(dict(each)) for each in found]

    def _typed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.signature.input_fields
        unknown = sorted(set(inputs) - set(fields))
        if unknown:
            raise InvalidInput(
                f"'{unknown[0]}' is not an input of this step. It has: {', '.join(fields)}."
            )
        return {name: typed(name, value, fields[name].annotation) for name, value in inputs.items()}


def _known(name: str) -> tuple[Any, ModuleInfo]:
    found = MODULES.get(name)
    if found is None:
        raise InvalidConfig(
            f"The installed DSPy has no module '{name}' that can be a node. "
            f"There are: {', '.join(MODULES)}."
        )
    return found


def _is_own(module_class: Any, name: str) -> bool:
    """Whether the module's constructor names this setting itself."""
    return (
        name
        in module_class.__init__.__code__.co_varnames[: module_class.__init__.__code__.co_argcount]
    )


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


def _completions(value: Any, signature: Any) -> list[dict[str, Any]]:
    """What MultiChainComparison compares: each with its reasoning and the last output."""
    *_, last = signature.output_fields
    if not isinstance(value, list) or not value:
        raise InvalidInput("'completions' is a list of attempts, at least one.")
    for number, each in enumerate(value, 1):
        reasons = isinstance(each, dict) and (each.get("rationale") or each.get("reasoning"))
        if not isinstance(reasons, str) or last not in each:
            raise InvalidInput(
                f"Attempt {number} of 'completions' needs a text 'reasoning' and a value '{last}'."
            )
    return value
