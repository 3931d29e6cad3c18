"""DSPy's sandbox for the modules that run code: Python in WebAssembly, in a Deno process of its own.

It has no files, no network and no environment. A worker gives it nothing but calls to the host's tools,
so much memory, and so long for a piece of code (`sandbox.py`).
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dspy

from runner.bridge import sandbox
from runner.engine.errors import MissingPackages

CODE_SECONDS = 60.0
"""How long one piece of code may run; what it waits for the host is not counted."""


class CodeTimeout(dspy.CodeInterpreterError):  # type: ignore[misc]  # DSPy is not typed
    """A piece of code ran too long, and its interpreter was ended."""


class Watchdog:
    """Calls `bite` when more than so many seconds have passed within it, pauses left out."""

    def __init__(self, seconds: float, bite: Callable[[], None]) -> None:
        self.seconds = seconds
        self.has_bitten = False
        self._bite = bite
        self._depth = 0
        self._left = seconds
        self._since = 0.0
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._left = self.seconds
            self._go()

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._stop()
        try:
            yield
        finally:
            self._go()

    def _go(self) -> None:
        self._since = time.monotonic()
        self._timer = threading.Timer(max(self._left, 0), self._bites)
        self._timer.daemon = True
        self._timer.start()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._left -= time.monotonic() - self._since

    def _bites(self) -> None:
        self.has_bitten = True
        self._bite()


class LimitedInterpreter(dspy.PythonInterpreter):  # type: ignore[misc]
    """DSPy's interpreter, whose process is killed when a piece of code runs too long: DSPy itself would
    wait for ever."""

    def __init__(self, seconds: float = CODE_SECONDS) -> None:
        super().__init__(deno_command=sandbox.limited(dspy.PythonInterpreter().deno_command))
        self._watchdog = Watchdog(seconds, self._kill)

    def start(self) -> None:
        self._watched(super().start)

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        return self._watched(lambda: super(LimitedInterpreter, self).execute(code, variables))

    def _watched(self, work: Callable[[], Any]) -> Any:
        try:
            with self._watchdog:
                return work()
        except dspy.CodeInterpreterError:
            if not self._watchdog.has_bitten:
                raise
            raise CodeTimeout(
                f"The code ran for more than {self._watchdog.seconds:g} s and was ended."
            ) from None

    def _handle_tool_call(self, request: dict[str, Any]) -> None:
        with self._watchdog.paused():
            super()._handle_tool_call(request)

    def _kill(self) -> None:
        if self.deno_process is not None:
            self.deno_process.kill()


def interpreter_factory(tools: Iterable[Any] = ()) -> Callable[[], Any]:
    """What makes an interpreter in which `tools` can be called by name."""
    # The functions inside, which have their parameters by name; a tool takes any.
    functions = {tool.name: tool.func for tool in tools}

    def make() -> Any:
        factory = dspy.settings.get("interpreter_factory") or limited_interpreter
        interpreter = factory()
        interpreter.tools.update(functions)
        return interpreter

    make.execution_instructions = dspy.PythonInterpreter.execution_instructions  # type: ignore[attr-defined]
    return make


def limited_interpreter() -> Any:
    """DSPy's own interpreter with our limits. MissingPackages where it can't run."""
    found = sandbox.ready(os.environ)
    if not found.ok:
        raise MissingPackages(f"A module that runs code can't run here. {found.detail}")
    return LimitedInterpreter()
