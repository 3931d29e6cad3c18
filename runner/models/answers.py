"""Stored answers of language models: of one run, for resuming it, and of a project, to save money."""

from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Count, Max, Sum

from pipelines.models import Project
from pipelines.models.project import OwnedQuerySet
from runner.models.row_id import RowId
from runner.models.run import Run


class ReplayAnswer(models.Model):
    """What was answered in a run that has not ended. `key` is the hash of a `ReplayKey`."""

    id = RowId(primary_key=True)
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="replay_answers", db_index=False
    )
    key = models.CharField(max_length=32)
    value = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="one_answer_of_a_replay_key")
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def owning_project_id(self) -> UUID:
        return self.run.project_id


class CachedAnswerQuerySet(OwnedQuerySet["CachedAnswer"]):
    def held(self) -> list[dict[str, Any]]:
        """How many answers there are of each project and LM profile, their bytes, and the newest."""
        rows = self.order_by("project__name", "profile").values(
            "project", "project__name", "profile"
        )
        held = rows.annotate(answers=Count("*"), taken=Sum("size"), newest=Max("created_at"))
        return [dict(row) for row in held]


class CachedAnswer(models.Model):
    """An answer that the runs of a project share. `key` is the hash of a `CacheKey`."""

    id = RowId(primary_key=True)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="cached_answers", db_index=False
    )
    key = models.CharField(max_length=32)
    profile = models.CharField(max_length=100)
    value = models.TextField()
    created_at = models.DateTimeField(db_index=True)
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the value.")

    objects = CachedAnswerQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="one_answer_of_a_cache_key")
        ]
        indexes = [
            # So that sums and counts read no value.
            models.Index(
                fields=["project", "profile", "size", "created_at"], name="sizes_of_cached_answers"
            )
        ]

    def __str__(self) -> str:
        return f"{self.profile} {self.key}"

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id
