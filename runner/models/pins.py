"""Outputs that people pinned to nodes of a draft, for runs of a part of it."""

from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import models

from pipelines.models import Pipeline
from pipelines.models.project import OwnedQuerySet


class PinnedOutputQuerySet(OwnedQuerySet["PinnedOutput"]):
    owner = "pipeline__project"


class PinnedOutput(models.Model):
    """What stands for a node's outputs in one person's runs of parts. It is no part of the pipeline: it
    is neither published nor exported, and others don't see it."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="pinned_outputs")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="pinned_outputs"
    )
    node = models.CharField(max_length=63)
    outputs = models.TextField(default="{}", help_text="JSON, by port.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = PinnedOutputQuerySet.as_manager()

    class Meta:
        ordering = ["pipeline", "node"]
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "author", "node"], name="a_person_pins_a_node_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.node} of {self.pipeline}"

    @property
    def owning_project_id(self) -> UUID:
        return self.pipeline.project_id

    @property
    def value(self) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(self.outputs)
        return decoded
