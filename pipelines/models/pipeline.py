"""Pipelines: the draft that people edit, the log of its operations, and its versions."""

from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q

from pipelines.graph import codec
from pipelines.graph.graph import Graph
from pipelines.models.project import OwnedQuerySet, Project
from pipelines.models.public_id import PublicId
from pipelines.models.unchangeable import WrittenOnce


class PipelineQuerySet(OwnedQuerySet["Pipeline"]):
    def active(self) -> Self:
        return self.filter(archived=False)

    def referring_to(self, kind: "Reference.Kind", keys: Any) -> Self:
        """Those whose draft or some version names one of the keys (texts, or a query for texts)."""
        naming = Reference.objects.filter(kind=kind, key__in=keys)
        return self.filter(pk__in=naming.values("pipeline"))


class Pipeline(PublicId):
    """`name` and `description` are those of the draft's graph, kept here for lists."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pipelines")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, db_index=False)
    description = models.TextField(max_length=10_000, blank=True)
    archived = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = PipelineQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        indexes = [
            models.Index(fields=["archived", "-updated_at"]),
            models.Index(fields=["project", "archived", "-updated_at"]),
            models.Index(fields=["name"]),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project", "slug"], name="slug_names_one_pipeline"),
            models.CheckConstraint(condition=~Q(name=""), name="pipeline_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id


class Draft(models.Model):
    """What the editor shows. A table of its own, so that lists of pipelines don't carry the texts.

    Changed by `services.apply_operation` alone: every change raises `revision` by one and leaves an
    OperationRecord of that revision.
    """

    pipeline = models.OneToOneField(
        Pipeline, on_delete=models.CASCADE, primary_key=True, related_name="draft"
    )
    text = models.TextField()
    revision = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Draft of {self.pipeline}, revision {self.revision}"

    @property
    def graph(self) -> Graph:
        """Read anew at each use: some 10 ms for 500 nodes."""
        return codec.load(self.text)


class OperationRecordQuerySet(OwnedQuerySet["OperationRecord"]):
    owner = "pipeline__project"

    def between(self, base: int, now: int) -> Self:
        """What was done after revision `base`, up to and with `now`, in that order."""
        return self.filter(revision__gt=base, revision__lte=now).order_by("revision")


class OperationRecord(WrittenOnce):
    """One operation that was applied. `revision` is the draft's after it."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="operations")
    revision = models.PositiveIntegerField()
    operation_id = models.UUIDField(help_text="Made by the client; a resend carries it again.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    operation = models.JSONField()
    footprint = models.JSONField()
    inverse = models.JSONField()
    at = models.DateTimeField(auto_now_add=True)

    objects = OperationRecordQuerySet.as_manager()

    class Meta:
        ordering = ["pipeline", "-revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "revision"], name="one_operation_makes_a_revision"
            ),
            models.UniqueConstraint(
                fields=["pipeline", "operation_id"], name="an_operation_is_applied_once"
            ),
            models.CheckConstraint(condition=Q(revision__gte=1), name="revisions_count_from_1"),
        ]

    def __str__(self) -> str:
        return f"Operation {self.operation_id} (revision {self.revision})"

    @property
    def owning_project_id(self) -> UUID:
        return self.pipeline.project_id


class PipelineVersionQuerySet(OwnedQuerySet["PipelineVersion"]):
    owner = "pipeline__project"

    def published(self) -> Self:
        return self.filter(number__isnull=False).order_by("-number")


class PipelineVersion(PublicId, WrittenOnce):
    """A graph as it was. A run points to one; publishing gives it its number, once."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(null=True, blank=True)
    # Of the whole text, layout and labels too: a run is shown as the pipeline looked when it started.
    content_hash = models.CharField(max_length=64)
    text = models.TextField()
    note = models.CharField(max_length=2_000, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    objects = PipelineVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["pipeline", "-created_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "content_hash"], name="one_version_for_a_content"
            ),
            models.UniqueConstraint(
                fields=["pipeline", "number"], name="a_number_names_one_version"
            ),
            models.CheckConstraint(
                condition=Q(number__isnull=True, published_at__isnull=True)
                | Q(number__gte=1, published_at__isnull=False),
                name="a_number_comes_with_publishing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline}, {self.title}"

    @property
    def title(self) -> str:
        return f"version {self.number}" if self.number else f"version {self.content_hash[:8]}"

    @property
    def owning_project_id(self) -> UUID:
        return self.pipeline.project_id

    @property
    def graph(self) -> Graph:
        return codec.load(self.text)


class ReferenceQuerySet(OwnedQuerySet["Reference"]):
    owner = "pipeline__project"


class Reference(models.Model):
    """That a node of a draft (no `version`) or of a version names something outside its graph.

    Follows from the texts; kept so that "who uses this?" is one look-up.
    """

    class Kind(models.TextChoices):
        """What is named, and what `key` is."""

        SIGNATURE = "signature"  # the hash of a signature
        COLLECTION = "collection"  # a name
        LM_PROFILE = "lm_profile", "LM profile"  # a name

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="references")
    version = models.ForeignKey(
        PipelineVersion, on_delete=models.CASCADE, null=True, blank=True, related_name="references"
    )
    node = models.CharField(max_length=63)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    key = models.CharField(max_length=100)

    objects = ReferenceQuerySet.as_manager()

    class Meta:
        ordering = ["pipeline", "node"]
        indexes = [models.Index(fields=["kind", "key"])]
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "node", "kind"],
                condition=Q(version__isnull=True),
                name="a_draft_node_names_one_of_a_kind",
            ),
            models.UniqueConstraint(
                fields=["version", "node", "kind"], name="a_version_node_names_one_of_a_kind"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["signature", "collection", "lm_profile"]),
                name="reference_kind_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.node} uses {self.get_kind_display()} {self.key}"
