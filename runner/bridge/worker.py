"""The DSPy worker: what a forkserver preloads, and what each forked worker then runs.

This file and the `worker_*.py` files that it alone imports are the only ones that may import DSPy.
"""

import logging
import platform
import re
from concurrent.futures import Future
from typing import Literal

import dspy
import msgspec

from runner.bridge import worker_context, worker_modules, worker_retrieval
from runner.bridge.messages import ModuleInfo
from runner.bridge.payloads import (
    MODULE,
    RETRIEVE,
    FieldSpec,
    LMSettings,
    ModulePayload,
    SignatureSpec,
)
from runner.bridge.worker_interpreter import CodeTimeout
from runner.bridge.worker_loop import Step, Worker
from runner.engine.errors import Failure, failure_of
from runner.lm.types import LMRequest, LMResponse

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

COLBERT = ModuleInfo(name="ColBERTv2", doc="Retrieval by late interaction.", takes=("query",))


def preload() -> Worker:
    """Load what every worker needs, so that it is shared memory and nobody waits for it. Starts no
    thread and opens no file; above all it never reads `dspy.cache`, whose default is 48 databases."""
    _warm_up()
    return Worker(
        operations={MODULE: worker_modules.run, RETRIEVE: worker_retrieval.run},
        modules=(*(info for _, info in worker_modules.MODULES.values()), COLBERT),
        versions={"dspy": dspy.__version__, "python": platform.python_version()},
        start=start,
        describe=describe,
    )


def start() -> None:
    """What each worker does first: DSPy's caches, history and retries off, because the host has them;
    and steps kept apart, should it do several at once."""
    worker_context.enter()
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    dspy.configure(
        disable_history=True,
        warn_on_type_mismatch=False,  # the host checks types; an undeclared input takes any value
    )
    logging.getLogger("dspy").setLevel(logging.ERROR)


def describe(error: BaseException) -> Failure | None:
    """DSPy's own errors as failures; None for what is not DSPy's."""
    if isinstance(error, dspy.AdapterParseError):
        wanted = ", ".join(error.signature.output_fields)
        return Failure(
            code="unparsable_answer",
            message=f"The model's answer does not have the fields {wanted}.",
            details={"answer": str(error.lm_response)},
            traceback=failure_of(error).traceback,
        )
    if isinstance(error, CodeTimeout):
        return Failure(code="code_timeout", message=str(error))
    if isinstance(error, dspy.CodeInterpreterError):
        return Failure(
            code="interpreter_failed",
            message=f"DSPy's sandbox failed: {_COLOURS.sub('', str(error))}",
            traceback=failure_of(error).traceback,
        )
    return None


class _CannedStep(Step):
    """A step whose language model has one answer."""

    def __init__(self, text: str) -> None:
        self._text = text

    def ask_lm(self, request: LMRequest, node: str = "") -> tuple[int, Future[LMResponse]]:
        future: Future[LMResponse] = Future()
        future.set_result(LMResponse(text=self._text))
        return 0, future


def _warm_up() -> None:
    """Run one module with a canned answer in each format: DSPy and pydantic load and compile much on
    first use, which each worker would otherwise do by itself in its first step (12 ms)."""
    start()
    spec = SignatureSpec(
        inputs=(FieldSpec(name="warm", type="str"),),
        outputs=(FieldSpec(name="up", type="list[str]"),),
    )
    answers: dict[Literal["chat", "json", "compact"], str] = {
        "chat": '[[ ## reasoning ## ]]\nx\n\n[[ ## up ## ]]\n["x"]\n\n[[ ## completed ## ]]',
        "json": '{"reasoning": "x", "up": ["x"]}',
        "compact": '{"reasoning": "x", "up": ["x"]}',
    }
    for adapter, answer in answers.items():
        payload = ModulePayload(
            node="warm",
            module="ChainOfThought",
            signature=spec,
            inputs={"warm": "x"},
            lm=LMSettings(adapter=adapter, structured=True),
        )
        worker_modules.run(_CannedStep(answer), msgspec.to_builtins(payload))
