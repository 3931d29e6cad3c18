"""People, whose relations are what tests of permissions need, and what they have."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from pipelines import services
from pipelines.graph.graph import Graph
from pipelines.models import (
    ApprovedHost,
    Credential,
    LMProfile,
    Membership,
    Person,
    Pipeline,
    Project,
    Role,
)
from tests.graphs import chain

SECRET = "sk-canary-0123456789-abcd"


@dataclass(frozen=True, kw_only=True)
class People:
    """A project, those who are in it, and those who are not."""

    project: Project
    owner: User
    editor: User
    viewer: User
    outsider: User
    staff: User
    superuser: User
    anonymous: AnonymousUser

    def named(self, name: str) -> Person:
        person: Person = getattr(self, name)
        return person


def people() -> People:
    project = Project.objects.create(name="Support desk")
    users = [User(username=name) for name in (*Role.values, "outsider")]
    users += [User(username="staff", is_staff=True)]
    users += [User(username="superuser", is_staff=True, is_superuser=True)]
    named = {user.username: user for user in User.objects.bulk_create(users)}
    Membership.objects.bulk_create(
        Membership(project=project, user=named[role], role=role) for role in Role.values
    )
    return People(project=project, anonymous=AnonymousUser(), **named)


def pipeline_of(who: People, graph: Graph | None = None, **parts: Any) -> Pipeline:
    """A pipeline in their project: input → s0 → s1 → s2 → output."""
    parts = {"name": "Answer mail", **parts}
    return services.create_pipeline(
        project=who.project, user=who.owner, graph=graph or chain(), **parts
    )


def apply(pipeline: Pipeline, user: Person, base: int, **operation: Any) -> Any:
    """One operation under a new id."""
    return services.apply_operation(
        pipeline=pipeline,
        user=user,
        operation_id=uuid.uuid4(),
        base_revision=base,
        operation=operation,
    )


def host(origin: str = "https://api.example.com") -> ApprovedHost:
    return ApprovedHost.objects.get_or_create(origin=origin)[0]


def credential_of(who: People, name: str = "Provider", secret: str = SECRET) -> Credential:
    return services.store_credential(
        project=who.project, user=who.owner, name=name, host=host(), secret=secret
    )


def profile_of(who: People, **parts: Any) -> LMProfile:
    """A scripted profile unless said otherwise."""
    parts = {"project": who.project, "name": "fast", "adapter": "scripted", **parts}
    return services.save_lm_profile(profile=LMProfile(**parts), user=who.superuser)
