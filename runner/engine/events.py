"""What a run tells: numbered durable events, and chunks, which are not durable alone."""

from enum import StrEnum
from typing import Any

import msgspec


class RunStatus(StrEnum):
    """The states of a run."""

    QUEUED = "queued"  # waits for a runner
    RUNNING = "running"
    WAITING = "waiting"  # for a person
    SUSPENDED = "suspended"  # auth, billing, budget, outage: holds no worker until resumed
    CANCELLING = "cancelling"  # told to stop; connections and workers are being closed
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """The states of a step: a run's without `suspended`, and `skipped`."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a required input is dead; the event names the cause


class EventType(StrEnum):
    """What an event tells; in brackets the keys of its `data`."""

    RUN_STARTED = "run_started"  # inputs
    RUN_FINISHED = "run_finished"  # status, outputs, errors, usage, failure
    STEP_STARTED = "step_started"  # kind, inputs; of a map, reduce or loop also times and steps
    STEP_WAITING = "step_waiting"  # question, editable: a person is asked; the value is its input.
    # Of a step in doubt also kind, begun (which beginning of it) and begun_at; of one that an earlier
    # runner began kind and begun_at
    STEP_ANSWERED = "step_answered"  # approved, comment, by; of a step in doubt also decision,
    # kind, begun and begun_at
    STEP_ROUTED = "step_routed"  # backend, reason, figures, first (its first attempt, unless 1)
    # outputs, usage, seconds; identity, and taken_from: the run, or `pinned`, that the outputs are of
    STEP_SUCCEEDED = "step_succeeded"
    STEP_FAILED = "step_failed"  # failure, seconds, suspends (the run)
    STEP_SKIPPED = "step_skipped"  # cause
    STEP_CANCELLED = "step_cancelled"  # seconds, failure when a person stopped it alone
    ATTEMPT_FAILED = (
        "attempt_failed"  # failure, wait (seconds before the next one), next (its number)
    )
    LM_CALL = "lm_call"  # one call through the gateway: see runner/lm
    RETRACT = "retract"  # call, reason: the streamed text of that call is not part of the result
    TRACE = "trace"  # what else a backend reports about the attempt: name and its data


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered fact of a run. `at` is seconds since the epoch; `seq` counts from 1 within the run."""

    run_id: str
    seq: int
    type: EventType
    at: float
    step: str = ""
    attempt: int = 0
    data: dict[str, Any] = {}


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a stream. `call` numbers the LM calls of an attempt; `offset` counts the characters
    of this field that came before. `predictor` is its path in the step's module, where it has several."""

    run_id: str
    step: str
    attempt: int
    call: int
    field: str
    offset: int
    text: str
    predictor: str = ""
