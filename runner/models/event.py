"""What a run told: its events, the large values they refer to, and the text of its streams."""

from typing import Any, Self
from uuid import UUID

import msgspec
from django.db import models

from pipelines.models.project import OwnedQuerySet
from runner.models.row_id import RowId
from runner.models.run import Run, Step


class EventQuerySet(OwnedQuerySet["Event"]):
    owner = "run__project"

    def after(self, run: UUID, seq: int) -> Self:
        return self.filter(run_id=run, seq__gt=seq).order_by("seq")

    def of_step(self, step: Step) -> Self:
        """Within the step's span, so that no index by step is needed, which every event would pay."""
        span = (step.first_seq, step.last_seq)
        return self.filter(run_id=step.run_id, seq__range=span, step=step.path).order_by("seq")


class Event(models.Model):
    """A numbered durable fact of a run; see `runner.engine.events` for types and keys of `data`.

    `data` is JSON as text: it goes to browsers as it is, and holds what a database's own JSON type
    refuses. `artifacts` names large values by their place (`outputs/text`), which are null in `data`.
    """

    id = RowId(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField()
    type = models.CharField(max_length=30)
    step = models.CharField(max_length=500, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    at = models.FloatField(help_text="Seconds since 1970.")
    data = models.TextField(default="{}")
    artifacts = models.TextField(default="{}")

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="one_event_of_a_number")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type} {self.step}".rstrip()

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id

    @property
    def value(self) -> dict[str, Any]:
        """`data`, with nulls where large values were put aside."""
        decoded: dict[str, Any] = msgspec.json.decode(self.data)
        return decoded

    @property
    def artifact_hashes(self) -> dict[str, str]:
        """The hash of each value that was put aside, by its place in `data`."""
        decoded: dict[str, str] = msgspec.json.decode(self.artifacts)
        return decoded


class ArtifactQuerySet(OwnedQuerySet["Artifact"]):
    owner = "run__project"


class Artifact(models.Model):
    """A large value of a run, stored once however often its events name it. It goes with the run."""

    id = RowId(primary_key=True)
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="artifact_rows", db_index=False
    )
    hash = models.CharField(max_length=64, help_text="SHA-256 of the text.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    text = models.TextField(help_text="JSON.")

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        ordering = ["run", "hash"]
        constraints = [
            models.UniqueConstraint(fields=["run", "hash"], name="an_artifact_is_kept_once_a_run")
        ]

    def __str__(self) -> str:
        return self.hash

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.text)


class StreamQuerySet(OwnedQuerySet["Stream"]):
    owner = "run__project"

    def between(self, run: UUID, after_seq: int, last_seq: int | None) -> Self:
        """What was closed after the one event, up to the other; None: and what is open."""
        closed = models.Q(closed_seq__gt=after_seq)
        if last_seq is None:
            closed |= models.Q(closed_seq__isnull=True)
        else:
            closed &= models.Q(closed_seq__lte=last_seq)
        return self.filter(closed, run_id=run).order_by("pk")

    def close(self, run: UUID, seq: int) -> None:
        """What a runner left open that is no more: nothing will be added to it."""
        self.filter(run_id=run, closed_seq__isnull=True).update(closed_seq=seq)


class Stream(models.Model):
    """The text of one field of one LM call: at most a second old while it is open, then whole.

    `closed_seq` is the event with which it became whole.
    """

    id = RowId(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="streams", db_index=False)
    epoch = models.PositiveIntegerField()
    step = models.CharField(max_length=500)
    attempt = models.PositiveIntegerField()
    call = models.PositiveIntegerField()
    field = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    closed_seq = models.PositiveIntegerField(null=True, blank=True)

    objects = StreamQuerySet.as_manager()

    class Meta:
        ordering = ["run", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "step", "attempt", "call", "field", "epoch"],
                name="a_field_streams_once_a_call",
            )
        ]

    def __str__(self) -> str:
        return f"{self.field} of {self.step}"

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id
