"""Collections: documents that `search` looks in."""

import hashlib
from uuid import UUID

from django.db import models
from django.db.models import Q

from pipelines.models.project import OwnedQuerySet, Project
from pipelines.models.public_id import PublicId

EMPTY = hashlib.sha256().hexdigest()
"""The content hash of a collection without documents."""


class CollectionQuerySet(OwnedQuerySet["Collection"]):
    shared = True


class Collection(PublicId):
    """`content_hash` names what is in it now: indexes and recorded steps go by it. Changed by
    `services.replace_documents` alone."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="collections"
    )
    name = models.CharField(max_length=100, help_text="What nodes call it.")
    description = models.TextField(max_length=10_000, blank=True)
    content_hash = models.CharField(max_length=64, default=EMPTY, editable=False)
    document_count = models.PositiveIntegerField(default=0, editable=False)
    byte_count = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CollectionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name"]), models.Index(fields=["-updated_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="collection_name_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(project=None), name="collection_name_of_no_project"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="collection_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> UUID | None:
        return self.project_id


class DocumentQuerySet(OwnedQuerySet["Document"]):
    owner = "collection__project"
    shared = True


class Document(PublicId):
    """One text. `position` is its place in the collection, from 0, and what a passage is known by:
    the same content always has the same positions."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="documents")
    position = models.PositiveIntegerField()
    title = models.CharField(max_length=300, blank=True)
    text = models.TextField()
    source_name = models.CharField(
        max_length=255, blank=True, help_text="The file it came from; shown, never opened."
    )

    objects = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["collection", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["collection", "position"], name="one_document_at_a_position"
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"Document {self.position} of {self.collection}"

    @property
    def owning_project_id(self) -> UUID | None:
        return self.collection.project_id
