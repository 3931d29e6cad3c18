"""The registry of signatures: named, described, in versions."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q

from pipelines.graph import signature as signatures
from pipelines.models.errors import Unchangeable
from pipelines.models.pipeline import Pipeline, PipelineQuerySet, Reference
from pipelines.models.project import OwnedQuerySet, Person, Project
from pipelines.models.public_id import PublicId


class SignatureQuerySet(OwnedQuerySet["Signature"]):
    shared = True


class Signature(PublicId):
    """A name in the registry; what it asks for is in its versions. Of a project, or of none: then
    everybody can use it."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="signatures"
    )
    name = models.CharField(max_length=100)
    description = models.TextField(max_length=10_000, blank=True)
    archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SignatureQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name"])]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="signature_name_in_its_project"
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(project=None), name="signature_name_of_no_project"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="signature_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> UUID | None:
        return self.project_id

    @property
    def latest(self) -> "SignatureVersion | None":
        return self.versions.first()

    def used_by(self, user: Person) -> PipelineQuerySet:
        """The pipelines that use any of its versions, as far as the person may see them."""
        hashes = self.versions.values("hash")
        return Pipeline.objects.visible_to(user).referring_to(Reference.Kind.SIGNATURE, hashes)


class SignatureVersionQuerySet(OwnedQuerySet["SignatureVersion"]):
    owner = "signature__project"
    shared = True


class SignatureVersion(PublicId):
    """What a signature asked for at one time. Never changed; deleted only while nothing uses it.

    A node uses it when the signature in its config has the same hash: so a link can't go stale, and
    an imported pipeline finds its signatures again.
    """

    signature = models.ForeignKey(Signature, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField(max_length=signatures.MAX_TEXT)
    instructions = models.TextField(max_length=100_000, blank=True)
    descriptions = models.JSONField(default=dict, blank=True)
    constraints = models.JSONField(default=dict, blank=True)
    types = models.JSONField(default=dict, blank=True)
    hash = models.CharField(max_length=64)
    note = models.CharField(max_length=2_000, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SignatureVersionQuerySet.as_manager()

    class Meta:
        ordering = ["signature", "-number"]
        indexes = [models.Index(fields=["hash"])]
        constraints = [
            models.UniqueConstraint(
                fields=["signature", "number"], name="a_number_names_one_signature_version"
            ),
            models.UniqueConstraint(
                fields=["signature", "hash"], name="one_signature_version_for_a_content"
            ),
            models.CheckConstraint(
                condition=Q(number__gte=1), name="signature_versions_count_from_1"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.signature}, version {self.number}"

    def save(self, **options: Any) -> None:
        if not self._state.adding:
            raise Unchangeable(f"{self} is kept as it was made. Make a new version instead.")
        super().save(**options)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        if self.is_used:
            raise Unchangeable(f"Pipelines use {self}. It can be deleted when none does.")
        return super().delete(*args, **options)

    @property
    def owning_project_id(self) -> UUID | None:
        return self.signature.project_id

    @property
    def is_used(self) -> bool:
        """Whether any pipeline that could have taken it from here has it, seen or not."""
        naming = Reference.objects.filter(kind=Reference.Kind.SIGNATURE, key=self.hash)
        if project := self.owning_project_id:
            naming = naming.filter(pipeline__project=project)
        return naming.exists()

    def used_by(self, user: Person) -> PipelineQuerySet:
        """The pipelines that use it, in draft or some version, as far as the person may see them."""
        return Pipeline.objects.visible_to(user).referring_to(Reference.Kind.SIGNATURE, [self.hash])

    def parsed(self) -> signatures.Signature:
        return signatures.parse(
            self.text,
            instructions=self.instructions,
            descriptions=self.descriptions,
            constraints=self.constraints,
            types=self.types,
        )
