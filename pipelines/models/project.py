"""Projects: what people share. Everything that a user makes belongs to one; what belongs to none is
the whole installation's, and administrators look after it."""

from typing import ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.db.models import Q

from pipelines.models.public_id import PublicId

type Person = User | AnonymousUser


class Role(models.TextChoices):
    """What a member may do; `permissions.py` has the table."""

    OWNER = "owner"  # everything, and decides who else
    EDITOR = "editor"  # builds, runs and publishes
    VIEWER = "viewer"  # looks


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: Person) -> Self:
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user)

    def owned_by(self, user: Person) -> Self:
        """Those whose secrets the person looks after."""
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user, memberships__role=Role.OWNER)


class Project(PublicId):
    name = models.CharField(max_length=100)
    # Protected: a person's work goes only when somebody deletes it on purpose.
    personal_of = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="personal_project",
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="projects"
    )
    keep_days = models.PositiveSmallIntegerField(
        "days that runs are kept",
        null=True,
        blank=True,
        help_text="Of finished runs. 0: for good. Empty: as the installation says.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name"])]
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="project_has_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> UUID:
        return self.pk


class MembershipQuerySet(models.QuerySet["Membership"]):
    def visible_to(self, user: Person) -> Self:
        return self.filter(project__in=Project.objects.visible_to(user))


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["project", "user"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_in_a_project"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.role} of {self.project}"

    @property
    def owning_project_id(self) -> UUID:
        return self.project_id


class OwnedQuerySet[M: models.Model](models.QuerySet[M]):
    """Rows that belong to a project by way of `owner`; with `shared`, those of no project are
    everybody's to see."""

    owner: ClassVar[str] = "project"
    shared: ClassVar[bool] = False

    def visible_to(self, user: Person) -> Self:
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        seen = Q(**{f"{self.owner}__in": Project.objects.visible_to(user)})
        if self.shared:
            seen |= Q(**{f"{self.owner}__isnull": True})
        return self.filter(seen)

    def within(self, project: Project) -> Self:
        """What a name in one of the project's pipelines can mean: its own first, then everybody's."""
        own = Q(**{self.owner: project})
        if self.shared:
            own |= Q(**{f"{self.owner}__isnull": True})
        return self.filter(own).order_by(models.F(f"{self.owner}_id").asc(nulls_last=True))
