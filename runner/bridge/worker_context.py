"""What belongs to one step in a process that does several: its DSPy settings, and what it prints.

Both are context variables. DSPy hands its settings on to the threads of its own primitives only, and a
module may start others; so every thread of a worker begins in the context that it was started in, as
threads do from Python 3.14 on where that is asked for.
"""

import contextvars
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from runner.bridge.worker_step import Step

MAX_PRINTED = 4_000
_PRINTED: ContextVar[io.StringIO | None] = ContextVar("printed", default=None)


class StepOutput(io.TextIOBase):
    """Standard output, for each step its own; outside of steps what there was before."""

    def __init__(self, before: TextIO) -> None:
        self._before = before

    def write(self, text: str) -> int:
        return (_PRINTED.get() or self._before).write(text)

    def flush(self) -> None:
        (_PRINTED.get() or self._before).flush()

    def fileno(self) -> int:
        return self._before.fileno()


def enter() -> None:
    """Have this process keep its steps apart. Again: nothing."""
    if not isinstance(sys.stdout, StepOutput):
        sys.stdout = StepOutput(sys.stdout)
    if threading.Thread.start is not _start_in_context:
        threading.Thread.start = _start_in_context  # type: ignore[method-assign, assignment]


@contextmanager
def printing(step: Step) -> Iterator[io.StringIO]:
    """What DSPy prints (BestOfN tells of a failed attempt in no other way) becomes a trace."""
    printed = io.StringIO()
    token = _PRINTED.set(printed)
    try:
        yield printed
    finally:
        _PRINTED.reset(token)
    if text := printed.getvalue():
        step.trace("printed", {"text": text[:MAX_PRINTED]})


_start = threading.Thread.start


def _start_in_context(thread: threading.Thread) -> None:
    context, run = contextvars.copy_context(), thread.run

    def run_in_context() -> Any:
        return context.run(run)

    thread.run = run_in_context  # type: ignore[method-assign]
    _start(thread)
