"""Runs, their steps and attempts: what lists, filters and charts read.

Only the recorder writes steps and attempts, and of a run what its runner tells: they are a projection
of the run's events up to `last_seq`, some milliseconds behind what is committed. Values (inputs and
outputs of steps, prompts, answers) are in the events alone.
"""

from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import models
from django.db.models import Q

from pipelines.models import Pipeline, PipelineVersion, Project
from pipelines.models.project import OwnedQuerySet
from pipelines.models.public_id import PublicId
from runner.engine.doubts import NeedsDecision
from runner.engine.events import RunStatus, StepStatus
from runner.engine.partial import PartialRun
from runner.engine.waits import Answer
from runner.models.json_column import JSONColumn
from runner.models.row_id import RowId

FINAL = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
"""A run that is here stays as it is."""

HELD = (RunStatus.RUNNING, RunStatus.CANCELLING)
"""A runner has it, or had it when it died. One that waits for a person is in nobody's hands."""


def answers_of(text: str) -> dict[str, Answer]:
    """The answers that a run's row keeps, by step path."""
    return msgspec.json.decode(text, type=dict[str, Answer])


def stops_of(text: str) -> dict[str, str]:
    """Who stopped what, by path."""
    return msgspec.json.decode(text, type=dict[str, str])


def _choices(statuses: type[RunStatus] | type[StepStatus]) -> list[tuple[str, str]]:
    return [(status.value, status.value.capitalize()) for status in statuses]


class RunQuerySet(OwnedQuerySet["Run"]):
    def claimable(self, now: datetime) -> Self:
        """What waits for a runner, or lost the one it had."""
        lost = Q(status__in=HELD, lease_until__lt=now)
        stands = (RunStatus.WAITING, RunStatus.SUSPENDED)
        late = Q(status__in=stands, deadline_at__lt=now)  # so that it ends
        return self.filter(Q(status=RunStatus.QUEUED) | lost | late)

    def listed(self) -> Self:
        """For lists: with what a line shows, without the values."""
        return self.select_related("pipeline", "version", "author").defer(
            "inputs", "outputs", "errors", "artifacts", "pins", "version__text", "version__note"
        )

    def given_pipeline_inputs(self) -> Self:
        """Without the runs of one step, whose inputs are the step's own."""
        return self.exclude(partial__contains='"mode":"only"')

    def to_be_measured(self) -> Self:
        return self.filter(finished_at__isnull=False, event_bytes__isnull=True)

    def finished_before(self, moment: datetime) -> Self:
        return self.filter(status__in=FINAL, finished_at__lt=moment)


class Run(PublicId):
    """One execution of one version. Runs belong to the project, and outlive the account that started
    them."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(PipelineVersion, on_delete=models.CASCADE, related_name="runs")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="runs"
    )
    status = models.CharField(
        max_length=10, choices=_choices(RunStatus), default=RunStatus.QUEUED.value
    )
    inputs = JSONColumn(default=dict, blank=True)
    outputs = JSONColumn(default=dict, blank=True)
    errors = JSONColumn(default=list, blank=True, help_text="Failures that did not stop it.")
    # Large values by where they belong, such as `outputs/text`; the value itself is null then.
    artifacts = JSONColumn(default=dict, blank=True)
    # By step path, JSON as text: what people said to the steps that wait for them.
    answers = models.TextField(default="{}", editable=False)
    # By path, JSON as text: the steps and items that a person stopped, and who.
    stops = models.TextField(default="{}", editable=False)
    # Of a run of a part: what was asked for, and apart from it the outputs that stand for nodes' own.
    partial = models.TextField(blank=True, default="", editable=False)
    pins = models.TextField(blank=True, default="", editable=False)
    deadline_at = models.DateTimeField(null=True, blank=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.TextField(blank=True)
    failed_step = models.CharField(max_length=500, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.FloatField(default=0.0, help_text="US dollars.")
    lm_calls = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Who runs it, until when that holds unless renewed, and how often it changed hands. A runner's
    # writes carry its epoch: one that lost the run can't write any more, however late it wakes up.
    owner = models.CharField(max_length=100, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    epoch = models.PositiveIntegerField(default=0, editable=False)
    last_seq = models.PositiveIntegerField(default=0, editable=False)
    # What it left, measured some time after its end (`runner.services.sizes`): its events with the texts of
    # its streams, and its large values.
    event_rows = models.PositiveIntegerField(null=True, editable=False)
    event_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    artifact_count = models.PositiveIntegerField(null=True, editable=False)
    artifact_bytes = models.PositiveBigIntegerField(null=True, editable=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"]),
            models.Index(fields=["project", "-created_at"]),
            models.Index(fields=["project", "status", "-created_at"]),
            models.Index(fields=["pipeline", "-created_at"]),
            # The dispatcher looks here once a second: only unfinished runs are in it.
            models.Index(
                fields=["status", "created_at"],
                name="runs_that_are_not_finished",
                condition=~Q(status__in=[status.value for status in FINAL]),
            ),
            models.Index(fields=["finished_at"]),
            # So that sums by project read nothing else; and what is still to be measured.
            models.Index(
                fields=["project", "event_rows", "event_bytes", "artifact_count", "artifact_bytes"],
                name="sizes_of_runs",
            ),
            models.Index(
                fields=["finished_at"],
                name="runs_that_are_not_measured",
                condition=Q(event_bytes__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk.hex[-12:]} of {self.pipeline}"

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id

    @property
    def given_answers(self) -> dict[str, Answer]:
        return answers_of(self.answers)

    @property
    def given_stops(self) -> dict[str, str]:
        return stops_of(self.stops)

    @property
    def part(self) -> PartialRun | None:
        """What of the pipeline is run, without the pins; None: all of it."""
        return msgspec.json.decode(self.partial, type=PartialRun) if self.partial else None

    @property
    def whole_part(self) -> PartialRun | None:
        """With the pins."""
        if (part := self.part) is None or not self.pins:
            return part
        return msgspec.structs.replace(part, pins=msgspec.json.decode(self.pins))

    @property
    def timeout(self) -> float | None:
        """Seconds that it may take from being queued on."""
        if self.deadline_at is None:
            return None
        return round((self.deadline_at - self.created_at).total_seconds(), 3)

    @property
    def needs_decision(self) -> bool:
        """Whether it is suspended until somebody says what became of a step."""
        suspended = self.status == RunStatus.SUSPENDED
        return suspended and self.failure_code == NeedsDecision.code

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def duration(self) -> timedelta | None:
        """From the first start to the end; None while either is missing."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class StepQuerySet(OwnedQuerySet["Step"]):
    owner = "run__project"


class Step(models.Model):
    """One node in a run, by path: `analyse`, `each[3]/retrieve`."""

    id = RowId(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    path = models.CharField(max_length=500)
    kind = models.CharField(max_length=60, blank=True)
    status = models.CharField(max_length=10, choices=_choices(StepStatus))
    backend = models.CharField(max_length=10, blank=True)
    reason = models.TextField(blank=True, help_text="Why this backend.")
    attempt_count = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.FloatField(default=0.0)
    lm_calls = models.PositiveIntegerField(default=0)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.TextField(blank=True)
    cause = models.TextField(blank=True, help_text="Why it was skipped.")
    # What it is known by (`runner.engine.identity`), when its outputs may stand for a later step's; and
    # the run that its own outputs are of, or `pinned`, when it did not run.
    identity = models.CharField(max_length=32, blank=True, default="", editable=False)
    taken_from = models.CharField(max_length=36, blank=True, default="")
    # Its events are between these two (with those of steps that ran at the same time).
    first_seq = models.PositiveIntegerField(default=0, editable=False)
    last_seq = models.PositiveIntegerField(default=0, editable=False)

    objects = StepQuerySet.as_manager()

    class Meta:
        ordering = ["run", "started_at", "path"]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_step_at_a_path")]
        indexes = [
            models.Index(
                fields=["identity"], name="steps_that_may_be_taken", condition=~Q(identity="")
            )
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id

    @property
    def node(self) -> str:
        """The node's id, without the containers around it."""
        return self.path.rpartition("/")[2]

    @property
    def attempts(self) -> "AttemptQuerySet":
        return Attempt.objects.filter(run_id=self.run_id, step=self.path)


class AttemptQuerySet(OwnedQuerySet["Attempt"]):
    owner = "run__project"


class Attempt(models.Model):
    """One try of a step. A runner that takes a run over counts attempts anew: `epoch` tells them
    apart. `step` is the step's path, as in events and streams."""

    id = RowId(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    step = models.CharField(max_length=500)
    epoch = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    backend = models.CharField(max_length=10)
    status = models.CharField(max_length=10, choices=_choices(StepStatus))
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    wait = models.FloatField(null=True, blank=True, help_text="Seconds until the next one.")
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.TextField(blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["run", "step", "epoch", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "step", "epoch", "number"],
                name="attempts_are_numbered_within_a_step",
            )
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number} of {self.step}"

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id


def summary(run: Run) -> dict[str, Any]:
    """A run as a line of a list, JSON."""
    return {
        "id": str(run.pk),
        "pipeline": str(run.pipeline_id),
        "version": str(run.version_id),
        "author": run.author_id,
        "status": run.status,
        "created_at": run.created_at.timestamp(),
    }
