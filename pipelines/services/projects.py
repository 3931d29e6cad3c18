"""Projects and who is in them."""

from django.contrib.auth.models import User
from django.db import transaction

from pipelines.models import Membership, Person, Project, Role
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, NotAllowed, require


def create_project(*, user: User, name: str) -> Project:
    """A project with its maker as owner."""
    if not user.is_active:
        raise NotAllowed("This account is closed.")
    with transaction.atomic():
        project = Project(name=name.strip())
        project.full_clean()
        project.save()
        Membership.objects.create(project=project, user=user, role=Role.OWNER)
    return project


def personal_project(*, user: User) -> Project:
    """The person's own project, made when it is first asked for."""
    if not user.is_active:
        raise NotAllowed("This account is closed.")
    with transaction.atomic():
        project, made = Project.objects.get_or_create(
            personal_of=user, defaults={"name": f"{user.get_username()}'s project"[:100]}
        )
        if made:
            Membership.objects.create(project=project, user=user, role=Role.OWNER)
    return project


def set_role(*, project: Project, user: Person, member: User, role: Role) -> Membership:
    """Take somebody in, or change what a member may do. The last owner stays one."""
    require(user, Action.MANAGE_MEMBERS, project)
    with transaction.atomic():
        _lock(project)
        if role is not Role.OWNER:
            _check_owner_left(project, member)
        membership, _ = Membership.objects.update_or_create(
            project=project, user=member, defaults={"role": role}
        )
    return membership


def remove_member(*, project: Project, user: Person, member: User) -> None:
    require(user, Action.MANAGE_MEMBERS, project)
    with transaction.atomic():
        _lock(project)
        _check_owner_left(project, member)
        Membership.objects.filter(project=project, user=member).delete()


def delete_project(*, project: Project, user: Person) -> None:
    """Delete a project and everything in it, for good."""
    require(user, Action.MANAGE_PROJECT, project)
    with transaction.atomic():
        project.delete()


def _lock(project: Project) -> None:
    Project.objects.select_for_update().get(pk=project.pk)


def _check_owner_left(project: Project, leaving: User) -> None:
    others = project.memberships.filter(role=Role.OWNER).exclude(user=leaving)
    if not others.exists():
        raise InvalidInput(f"'{project}' would have no owner. Make somebody else one first.")
