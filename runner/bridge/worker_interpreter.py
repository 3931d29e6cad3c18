"""DSPy's sandbox for the modules that run code: Python in WebAssembly, in a Deno process of its own.

It has no files, no network and no environment. A worker gives it nothing but calls to the host's tools.
"""

import importlib.util
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import dspy

from runner.engine.errors import MissingPackages


def interpreter_factory(tools: Iterable[Any] = ()) -> Callable[[], Any]:
    """What makes an interpreter in which `tools` can be called by name."""
    functions = {tool.name: tool for tool in tools}

    def make() -> Any:
        factory = dspy.settings.get("interpreter_factory") or sandbox
        interpreter = factory()
        interpreter.tools.update(functions)
        return interpreter

    make.execution_instructions = dspy.PythonInterpreter.execution_instructions  # type: ignore[attr-defined]
    return make


def sandbox() -> Any:
    """DSPy's own interpreter. MissingPackages without Deno."""
    if shutil.which("deno") is None and importlib.util.find_spec("deno") is None:
        raise MissingPackages(
            "Modules that run code need Deno 2, the sandbox's runtime, and it is not installed here. "
            "Install it (`.venv/bin/uv pip install deno`, or from your system) and start DSPex again."
        )
    return dspy.PythonInterpreter()
