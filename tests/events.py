"""Events and chunks as a run tells them."""

from typing import Any

from runner.engine.errors import Failure
from runner.engine.events import Chunk, Event, EventType, RunStatus


def event(type_: EventType, step: str = "", attempt: int = 0, **data: Any) -> Event:
    return Event(run_id="", seq=0, type=type_, at=1e9, step=step, attempt=attempt, data=data)


def started(step: str = "s") -> Event:
    return event(EventType.STEP_STARTED, step, kind="predict", inputs={})


def succeeded(step: str = "s", **outputs: Any) -> Event:
    return event(EventType.STEP_SUCCEEDED, step, outputs=outputs, seconds=0.5, usage=None)


def finished(status: RunStatus = RunStatus.SUCCEEDED, **data: Any) -> Event:
    nothing = {"outputs": {}, "errors": [], "failure": None, "failed_step": "", "usage": {}}
    return event(EventType.RUN_FINISHED, status=status, seconds=1.0, **{**nothing, **data})


def failure(code: str = "server", message: str = "No.") -> Failure:
    return Failure(code=code, message=message, traceback="File '/secret'")


def chunk(text: str, offset: int = 0, step: str = "s", call: int = 1) -> Chunk:
    return Chunk(run_id="", step=step, attempt=1, call=call, field="y", offset=offset, text=text)
