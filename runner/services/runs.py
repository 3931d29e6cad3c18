"""Starting, stopping and resuming runs. Who executes them hears of it after the commit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from pipelines.graph.graph import Graph
from pipelines.models import Person, Pipeline, PipelineVersion
from pipelines.models.errors import Busy, InvalidInput, TooLarge
from pipelines.permissions import Action, require
from pipelines.services import freeze_version, resolve_references
from runner.engine.events import EventType, RunStatus, StepStatus
from runner.engine.inputs import check_inputs
from runner.engine.partial import PartialRun, check_partial
from runner.host import ready
from runner.live import project_group, run_group, tell
from runner.live.frames import event_text, events_frame
from runner.lm.errors import Exhausted
from runner.models import FINAL, Artifact, Event, Run, Step, Stream
from runner.models.run import HELD, summary
from runner.recorder.catching_up import catch_up
from runner.recorder.payload import json_text, payload
from runner.services.parts import check_base, inputs_of_step

run_wanted = Signal()
"""Sent after commit, with `run_id` and `status`: queued, or cancelling."""

MAX_INPUTS = 10_000_000
MAX_UNFINISHED = 1_000
"""Bytes of a run's inputs, and runs that a project may have waiting or going on."""

MAX_TIMEOUT = 30 * 86_400
"""Seconds after which a run may be told to end."""

_FIGURES = ("input_tokens", "output_tokens", "cost", "lm_calls")
_LEASE = ("status", "owner", "epoch", "last_seq", *_FIGURES)
_STOPPABLE_AT_ONCE = (RunStatus.QUEUED, RunStatus.WAITING, RunStatus.SUSPENDED)


def start_run(
    *,
    user: Person,
    inputs: Mapping[str, Any],
    pipeline: Pipeline | None = None,
    version: PipelineVersion | None = None,
    part: PartialRun | None = None,
    edited: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> Run:
    """Queue a run of a version, or of a pipeline's draft as it is now; with `part`, of a part of it.

    `inputs` are the pipeline's. Of one step that is run alone, `edited` are some of its own inputs; the
    others are what was given or recorded last. After `timeout` seconds the run ends, whatever it does.

    Raises NotAllowed, InvalidPipeline (with all problems), InvalidInput of the engine's (naming every
    input that is missing, unknown or ill-typed), TooLarge and Busy. Nothing is stored then.
    """
    if version is None:
        assert pipeline is not None, "Name a pipeline or a version."
        version = freeze_version(pipeline=pipeline, user=user)
    require(user, Action.RUN, version)
    if version.pipeline.archived:
        raise InvalidInput(f"'{version.pipeline}' is archived. Bring it back to run it.")
    ends = _deadline(timeout)
    if part is not None:
        inputs = _given(version, part, inputs, edited or {})
    stored = payload({"inputs": _checked(version, version.graph, user, inputs, part)})
    with transaction.atomic():
        run = Run.objects.create(
            project_id=version.owning_project_id,
            pipeline=version.pipeline,
            version=version,
            author_id=user.pk,
            inputs=stored.data["inputs"],
            artifacts=dict(stored.aside),
            deadline_at=ends,
            partial=json_text(msgspec.structs.replace(part, pins={})) if part else "",
            pins=json_text(part.pins) if part and part.pins else "",
        )
        Artifact.objects.bulk_create(
            Artifact(run=run, hash=digest, size=len(text.encode()), text=text)
            for digest, text in stored.texts.items()
        )
        transaction.on_commit(partial(tell_changed, run))
    return run


def cancel_run(*, run: Run, user: Person) -> RunStatus:
    """Stop a run; its status afterwards. One that waits for a runner or a person ends at once, one
    that is executed within a second, and one that has ended stays as it is."""
    require(user, Action.RUN, run)
    with transaction.atomic():
        # As it is now, and nobody claims it meanwhile.
        run.refresh_from_db(fields=_LEASE, from_queryset=Run.objects.select_for_update())
        if run.status in HELD:
            run.status = RunStatus.CANCELLING.value
            run.save(update_fields=["status"])
            transaction.on_commit(partial(tell_changed, run))
        elif run.status in _STOPPABLE_AT_ONCE:
            _end(run)
    return RunStatus(run.status)


def resume_run(*, run: Run, user: Person) -> bool:
    """Let a suspended run go on from what it recorded; False when it was not suspended."""
    require(user, Action.RUN, run)
    with transaction.atomic():
        suspended = Run.objects.filter(pk=run.pk, status=RunStatus.SUSPENDED)
        if not suspended.update(
            status=RunStatus.QUEUED, failure_code="", failure_message="", failed_step=""
        ):
            return False
        run.status = RunStatus.QUEUED.value
        transaction.on_commit(partial(tell_changed, run))
    return True


def resume_after_outage(*, runs: Sequence[UUID]) -> None:
    """Let runs go on that an outage suspended: their provider may be back. Nobody asks for it, so it is
    for a runner alone."""
    rows = Run.objects.filter(
        pk__in=runs, status=RunStatus.SUSPENDED, failure_code=Exhausted.code
    ).select_related("pipeline")
    with transaction.atomic():
        found = list(rows)
        rows.update(status=RunStatus.QUEUED, failure_code="", failure_message="", failed_step="")
        for run in found:
            run.status = RunStatus.QUEUED.value
            transaction.on_commit(partial(tell_changed, run))


def _checked(
    version: PipelineVersion,
    graph: Graph,
    user: Person,
    inputs: Mapping[str, Any],
    part: PartialRun | None,
) -> dict[str, Any]:
    """The inputs as JSON, when the run may start."""
    project = version.pipeline.project
    resolved = resolve_references(project=project, graph=graph, user=user)
    graph = replace(graph, pipelines=resolved.pipelines)
    planned = ready(graph, part, inputs, resolved.problems)
    size = len(json_text(inputs))
    if size > MAX_INPUTS:
        raise TooLarge(
            f"The inputs have {size:,} bytes; {MAX_INPUTS:,} is the limit. "
            "Put large texts into a collection."
        )
    checked = check_inputs(planned, inputs)
    unfinished = Run.objects.filter(project=project).exclude(status__in=FINAL)
    if unfinished.count() >= MAX_UNFINISHED:
        raise Busy(
            f"The project has {MAX_UNFINISHED:,} runs that are not finished. "
            "Wait for some of them, or stop them."
        )
    return {name: checked[name] for name in inputs}


def _given(
    version: PipelineVersion,
    wish: PartialRun,
    inputs: Mapping[str, Any],
    edited: Mapping[str, Any],
) -> Mapping[str, Any]:
    """The inputs of a run of a part: of the step alone, or those of the pipeline."""
    if len(json_text(wish.pins)) > MAX_INPUTS:
        raise TooLarge(
            f"The pinned outputs have more than {MAX_INPUTS:,} bytes. Unpin some of them."
        )
    check_base(version.pipeline, wish)
    check_partial(version.graph, wish)
    if wish.mode != "only":
        return inputs
    return inputs_of_step(
        pipeline=version.pipeline, graph=version.graph, wish=wish, given=inputs, edited=edited
    )


def _deadline(timeout: float | None) -> datetime | None:
    if timeout is None:
        return None
    if not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidInput(
            f"“Stop after” (timeout) is a number of seconds above 0 and up to {MAX_TIMEOUT:,}, "
            f"not {timeout!r}."
        )
    return timezone.now() + timedelta(seconds=timeout)


def _end(run: Run) -> None:
    """Cancel a run that nobody executes, with the event that says so."""
    now = timezone.now()
    catch_up(run)
    seq = run.last_seq + 1
    Run.objects.filter(pk=run.pk).update(status=RunStatus.CANCELLED, finished_at=now, last_seq=seq)
    Stream.objects.close(run.pk, seq)
    Step.objects.filter(run=run, status=StepStatus.WAITING).update(
        status=StepStatus.CANCELLED, finished_at=now
    )
    run.status, run.finished_at, run.last_seq = RunStatus.CANCELLED.value, now, seq
    data = {
        "status": RunStatus.CANCELLED,
        **{"outputs": {}, "errors": [], "failure": None, "failed_step": ""},
        **{"usage": {}, "seconds": 0.0},
    }
    event = Event.objects.create(
        run=run,
        seq=seq,
        epoch=run.epoch,
        type=EventType.RUN_FINISHED.value,
        at=now.timestamp(),
        data=json_text(data),
    )
    transaction.on_commit(partial(_ended, run, event))


def tell_changed(run: Run) -> None:
    """Tell those who watch the project, and whoever executes runs."""
    tell(project_group(run.project_id), "live.run", summary=summary(run))
    run_wanted.send_robust(sender=Run, run_id=run.pk, status=RunStatus(run.status))


def _ended(run: Run, event: Event) -> None:
    text = event_text(
        event.seq, event.type, at=event.at, step="", attempt=0, data=event.data, aside="{}"
    )
    tell(
        run_group(run.pk),
        "live.events",
        run=run.pk.hex,
        first=event.seq,
        last=event.seq,
        text=events_frame(run.pk, [text]),
    )
    tell(project_group(run.project_id), "live.run", summary=summary(run))
