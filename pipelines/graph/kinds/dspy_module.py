"""dspy_module: any module of the installed DSPy, with what it needs as references."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field, field_validator

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Kind, Ports
from pipelines.graph.kinds.predict import Predict, check_predict, input_ports, output_ports
from pipelines.graph.kinds.references import TOOL_NAME, Reward, parse_reward

MODULE_NAME = r"^[A-Za-z][A-Za-z0-9]{0,63}$"
COMPLETIONS = "completions"
EXAMPLES = "examples"
PREDICTIONS = "predictions"

_OBJECTS = "list[dict[str, Any]]"
_REASONING = Port(name="reasoning", type="str")
# What modules give beside the signature's outputs. tests/integration/test_dspy_modules.py runs each.
EXTRA_OUTPUTS: dict[str, Ports] = {
    "ChainOfThought": (_REASONING,),
    "CodeAct": (_REASONING, Port(name="trajectory", type="dict[str, Any]")),
    "MultiChainComparison": (Port(name="rationale", type="str"),),
    "ProgramOfThought": (_REASONING,),
    "ReAct": (_REASONING, Port(name="trajectory", type="dict[str, Any]")),
    "ReActV2": (Port(name="termination_reason", type="str"),),
    "RLM": (
        Port(name="final_reasoning", type="str"),
        Port(name="trajectory", type=_OBJECTS),
    ),
}
WRAPPERS = frozenset({"BestOfN", "Parallel", "Refine"})
"""They run another module, which has the signature."""
REWARDED = frozenset({"BestOfN", "Refine"})


class DSPyModule(Predict):
    """`module` and `inner` are names that the worker's registry knows; nothing is imported by them."""

    module: str = Field(pattern=MODULE_NAME, description="DSPy's class name.")
    options: dict[str, Any] = Field({}, description="Keyword arguments of the module; JSON values.")
    inner: str = Field(
        "ChainOfThought",
        pattern=MODULE_NAME,
        description="The module that BestOfN, Refine and Parallel run.",
    )
    inner_options: dict[str, Any] = Field({}, description="Keyword arguments of the inner module.")
    reward: str = Field(
        "",
        max_length=2_000,
        description="For BestOfN and Refine: an expression such as answer|length < 80, "
        "metric: f1(answer, expected), pipeline: its version, or tool: its name.",
    )
    tools: tuple[str, ...] = Field(
        (), max_length=50, description="Host tools that the model may call, by name."
    )

    @field_validator("tools")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not TOOL_NAME.match(name):
                raise ValueError(f"'{name:.100}' names no tool. Use letters, digits and _.")
        return names

    @field_validator("reward")
    @classmethod
    def _is_reference(cls, text: str) -> str:
        if text.strip():
            parse_reward(text)
        return text

    @property
    def rewarded_by(self) -> Reward | None:
        return parse_reward(self.reward) if self.reward.strip() else None

    @property
    def runs(self) -> str:
        """The module that answers in the end: the inner one of a wrapper."""
        return self.inner if self.module in WRAPPERS else self.module


def _outputs_of(config: Predict, module: str) -> Ports:
    """A module's own outputs, in DSPy's order; what the signature names itself is there once."""
    named = output_ports(config, Body())
    taken = {port.name for port in named}
    return (*(port for port in EXTRA_OUTPUTS.get(module, ()) if port.name not in taken), *named)


def _check(config: DSPyModule) -> Iterator[tuple[str, str]]:
    yield from check_predict(config)
    if config.module in REWARDED and not config.reward.strip():
        yield "reward", f"{config.module} needs a reward, for example: answer|length < 80."
    known = {*config.parsed().inputs, *(port.name for port in _outputs_of(config, config.inner))}
    for name in config.rewarded_by.names if config.rewarded_by else ():
        if name not in known:
            yield (
                "reward",
                f"The reward reads '{name}', which is no field here. "
                f"There are: {', '.join(sorted(known))}.",
            )


def _inputs(config: DSPyModule, body: Body) -> Ports:
    if config.module == "Parallel":
        fields = ", ".join(port.name for port in input_ports(config, body))
        return (Port(name=EXAMPLES, type=_OBJECTS, description=f"Each with {fields}."),)
    ports = input_ports(config, body)
    if config.module == "MultiChainComparison":
        return (*ports, Port(name=COMPLETIONS, type=_OBJECTS, description="Attempts to compare."))
    return ports


def _outputs(config: DSPyModule, body: Body) -> Ports:
    if config.module == "Parallel":
        return (Port(name=PREDICTIONS, type=_OBJECTS, description="In the order of the examples."),)
    return _outputs_of(config, config.runs)


def module_names(config: DSPyModule) -> Iterable[str]:
    """The modules that a node needs of the installed DSPy."""
    return (config.module, config.inner) if config.module in WRAPPERS else (config.module,)


DSPY_MODULE = Kind(
    name="dspy_module",
    title="DSPy module",
    description="Runs a module of DSPy over a signature, in a worker process.",
    group="language model",
    config=DSPyModule,
    check=_check,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"dspy"}),
)
