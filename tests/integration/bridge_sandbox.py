"""The DSPy worker with an interpreter in place of its sandbox, which needs Deno: it understands lines of
`SUBMIT(name=<JSON>)`, `print(<JSON>)` and `print(<tool>(name=<JSON>))`, and nothing else."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import dspy

from runner.bridge import worker
from runner.bridge.worker_loop import Worker

CALL = re.compile(r"(\w+)\((?:(\w+)=)?(.*)\)", re.DOTALL)


class LineInterpreter:
    def __init__(self) -> None:
        self.tools: dict[str, Callable[..., Any]] = {}

    def start(self) -> None: ...

    def shutdown(self) -> None: ...

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        printed = []
        for line in code.splitlines():
            match = CALL.fullmatch(line.strip())
            if match is None:
                continue  # the facade that RLM installs
            name, argument, rest = match.groups()
            if name == "SUBMIT":
                return dspy.primitives.code_interpreter.FinalOutput({argument: json.loads(rest)})
            if name == "print":
                inner = CALL.fullmatch(rest)
                printed.append(str(self._called(*inner.groups()) if inner else json.loads(rest)))
            if name == "fail":
                raise dspy.primitives.code_interpreter.CodeExecutionError("it failed")
        return "\n".join(printed) or None

    def _called(self, tool: str, argument: str, text: str) -> Any:
        return self.tools[tool](**{argument: json.loads(text)})


def preload() -> Worker:
    made = worker.preload()

    def start() -> None:
        worker.start()
        dspy.configure(interpreter_factory=LineInterpreter)

    return dataclasses.replace(made, start=start)
