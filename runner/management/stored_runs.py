"""Runs of pipelines that are in the database, followed in a terminal: recorded as those of the pages, and
executed by whoever executes runs here, else by this process."""

import asyncio
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import DatabaseError

from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from runner.dispatcher import Runner
from runner.engine.errors import Failure
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.live import since
from runner.management.claiming import claiming
from runner.models import FINAL, Run
from runner.services import cancel_run, start_run

LOOK = 0.1
"""Seconds between looks at the run."""
STOPPING = 5.0
"""Seconds that a run has to end after Ctrl+C."""
_RESTS = (RunStatus.WAITING, RunStatus.SUSPENDED)
_SHOWN = 12
"""Pipelines that are named where none or several are meant."""

type OnEvent = Callable[[Event], None]
type OnChunk = Callable[[Chunk], None]


def stored_pipeline(name: str, user: User) -> Pipeline | None:
    """The pipeline of this id or name that the user sees; None if there is none. CommandError if several
    have the name."""
    seen = Pipeline.objects.visible_to(user).filter(archived=False)
    try:
        found = list(seen.filter(pk=UUID(name)) if _is_id(name) else seen.filter(name=name))
    except DatabaseError:  # no tables yet: nothing is stored
        return None
    if len(found) > 1:
        ids = ", ".join(str(each.pk) for each in found[:_SHOWN])
        raise CommandError(f"Several pipelines are called '{name}'. Give an id: {ids}.")
    return found[0] if found else None


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def runs_as(name: str) -> User:
    """The account that a run is started by: the one of this name, else the first administrator."""
    active = User.objects.filter(is_active=True)
    try:
        found = active.filter(username=name) if name else active.filter(is_superuser=True)
        user = found.order_by("pk").first()
    except DatabaseError:
        user = None
    if user is None:
        raise CommandError(
            f"There is no account '{name}'."
            if name
            else "There is no administrator yet. Start `manage.py up` once, or name an account by --user."
        )
    return user


def start(**wish: Any) -> Run:
    """As `start_run`; what is wrong is said as a command does."""
    try:
        return start_run(**wish)
    except PipelinesError as error:
        raise CommandError(str(error)) from None


def follow(run: Run, user: User, on_event: OnEvent, on_chunk: OnChunk) -> Run:
    """Tell what happens in the run until it has ended or waits for a person. Ctrl+C stops it."""
    with _executing() as here:
        return asyncio.run(_follow(run, user, on_event, on_chunk, here=here))


@contextmanager
def _executing() -> Iterator[bool]:
    """Whether this process is to execute the run: where no other one of this machine does."""
    with (settings.DATA_DIR / "runner.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
    with claiming():
        yield True


async def _follow(run: Run, user: User, on_event: OnEvent, on_chunk: OnChunk, *, here: bool) -> Run:
    runner = Runner() if here else None
    if runner is not None:
        runner.start()
    try:
        return await _followed(run, on_event, on_chunk)
    except asyncio.CancelledError:
        await database_sync_to_async(cancel_run)(run=run, user=user)
        with suppress(TimeoutError):
            await asyncio.wait_for(_followed(run, on_event, on_chunk), STOPPING)
        raise
    finally:
        if runner is not None:
            await runner.stop()


async def _followed(run: Run, on_event: OnEvent, on_chunk: OnChunk) -> Run:
    seq, told = 0, dict[tuple[object, ...], int]()
    while True:
        found = await database_sync_to_async(since)(run, seq)
        for stream in found["streams"]:
            key = tuple(stream[name] for name in ("epoch", "step", "attempt", "call", "field"))
            fresh = stream["text"][told.get(key, 0) :]
            told[key] = len(stream["text"])
            if fresh:
                on_chunk(_chunk(run, stream, fresh))
        for text in found["events"]:
            on_event(_event(run, text))
        seq = found["seq"]
        ended = found["status"] in FINAL or found["status"] in _RESTS
        if ended and not found["more"]:
            return await database_sync_to_async(Run.objects.get)(pk=run.pk)
        await asyncio.sleep(0 if found["more"] else LOOK)


def _chunk(run: Run, stream: dict[str, object], text: str) -> Chunk:
    named = {name: stream[name] for name in ("step", "attempt", "call", "field")}
    return msgspec.convert({"run_id": str(run.pk), **named, "offset": 0, "text": text}, Chunk)


def _event(run: Run, text: str) -> Event:
    told = json.loads(text)
    data = told["data"]
    if failure := data.get("failure"):
        data["failure"] = msgspec.convert(failure, Failure)
    return Event(
        run_id=str(run.pk),
        seq=told["seq"],
        type=EventType(told["type"]),
        at=told["at"],
        step=told["step"],
        attempt=told["attempt"],
        data=data,
    )


def as_json(run: Run) -> dict[str, Any]:
    """What `--json` prints of it."""
    steps = run.steps.order_by("first_seq")
    return {
        "run_id": str(run.pk),
        "status": run.status,
        "outputs": run.outputs,
        "errors": run.errors,
        "failure": {"code": run.failure_code, "message": run.failure_message}
        if run.failure_code
        else None,
        "usage": {
            "input_tokens": run.input_tokens,
            "output_tokens": run.output_tokens,
            "cost": run.cost,
            "lm_calls": run.lm_calls,
        },
        "seconds": round(run.duration.total_seconds(), 3) if run.duration else None,
        "steps": {
            step.path: {
                "status": step.status,
                "backend": step.backend,
                "reason": step.reason,
                "seconds": None if step.seconds is None else round(step.seconds, 3),
                "taken_from": step.taken_from,
            }
            for step in steps
        },
    }
