"""The DSPy worker with its real sandbox, which waits three seconds for a piece of code."""

import dataclasses

import dspy

from runner.bridge import worker
from runner.bridge.worker_interpreter import LimitedInterpreter
from runner.bridge.worker_loop import Worker


def preload() -> Worker:
    made = worker.preload()

    def start() -> None:
        worker.start()
        dspy.configure(interpreter_factory=lambda: LimitedInterpreter(seconds=3))

    return dataclasses.replace(made, start=start)
