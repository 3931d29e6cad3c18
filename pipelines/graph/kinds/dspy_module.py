"""dspy_module: any module of the installed DSPy that needs nothing but a signature and plain options."""

from typing import Any

from pydantic import Field

from pipelines.graph.kinds.kind import Kind
from pipelines.graph.kinds.predict import Predict, input_ports, output_ports


class DSPyModule(Predict):
    """`module` is a name that the worker's registry knows; it is never imported by that name."""

    module: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}$", description="DSPy's class name.")
    options: dict[str, Any] = Field({}, description="Keyword arguments of the module; JSON values.")


DSPY_MODULE = Kind(
    name="dspy_module",
    title="DSPy module",
    description="Runs a module of DSPy over a signature, in a worker process.",
    group="language model",
    config=DSPyModule,
    inputs=input_ports,
    outputs=output_ports,
    backends=frozenset({"dspy"}),
)
