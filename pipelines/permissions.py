"""Who may do what. Every view, socket, service and admin action asks `can`; nothing else decides.

A person's standing comes from the role in the project that a thing belongs to. What belongs to no
project is the installation's: everybody who is signed in may use it, staff and superusers change it.
Superusers may do everything, as in all of Django.
"""

from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404

from pipelines.models import Credential, Membership, Person, Project, Role


class Action(Enum):
    VIEW = "view"
    EDIT = "edit"  # make, change, copy into and archive pipelines
    RUN = "run"  # and stop, repeat, answer what a run asks
    PUBLISH = "publish"
    MANAGE_COLLECTIONS = "manage collections"
    MANAGE_SIGNATURES = "manage signatures"
    USE_CREDENTIAL = "use credential"  # have calls made with it, without seeing it
    MANAGE_CREDENTIALS = "manage credentials"
    MANAGE_LM_PROFILES = "manage LM profiles"
    MANAGE_MEMBERS = "manage members"
    MANAGE_PROJECT = "manage project"  # rename it, delete it with all that is in it
    APPROVE_HOSTS = "approve hosts"
    MANAGE_ROUTER = "manage the router"
    ADMINISTER = "look after the installation"  # see what works, what is kept; scale pools
    ALLOW_TOOLS = "allow tools"  # to pipelines: what they do, they do as this installation


_VIEWER = frozenset({Action.VIEW})
_EDITOR = _VIEWER | {
    Action.EDIT,
    Action.RUN,
    Action.PUBLISH,
    Action.MANAGE_COLLECTIONS,
    Action.MANAGE_SIGNATURES,
    Action.USE_CREDENTIAL,
}
_OWNER = _EDITOR | {
    Action.MANAGE_CREDENTIALS,
    Action.MANAGE_LM_PROFILES,
    Action.MANAGE_MEMBERS,
    Action.MANAGE_PROJECT,
    Action.MANAGE_ROUTER,
}
ALLOWED_TO = {Role.VIEWER: _VIEWER, Role.EDITOR: _EDITOR, Role.OWNER: _OWNER}

# On what belongs to no project.
EVERYBODY = frozenset({Action.VIEW, Action.USE_CREDENTIAL})
STAFF = EVERYBODY | {Action.MANAGE_COLLECTIONS, Action.MANAGE_SIGNATURES}


class Owned(Protocol):
    """What can be asked about. None: it is the whole installation's."""

    @property
    def owning_project_id(self) -> UUID | None: ...


class NotAllowed(PermissionDenied):
    """You may not do this."""

    code = "not_allowed"
    retryable = False


def can(user: Person, action: Action, obj: Owned | None) -> bool:
    """Whether this person may do this to this; with None, to what belongs to the installation.

    Costs one query, on what belongs to a project.
    """
    return action in allowed(user, obj)


def allowed(user: Person, obj: Owned | None) -> frozenset[Action]:
    """Everything that `can`: for pages with many buttons, at the cost of one question."""
    if not user.is_active or not user.is_authenticated:
        return frozenset()
    if user.is_superuser:
        return frozenset(Action)
    actions = _by_standing(user, obj)
    if isinstance(obj, Credential) and Action.MANAGE_CREDENTIALS not in actions:
        return actions - {Action.VIEW}  # it is used unseen
    return actions


def _by_standing(user: User, obj: Owned | None) -> frozenset[Action]:
    project_id = obj.owning_project_id if obj is not None else None
    if project_id is None:
        return STAFF if user.is_staff else EVERYBODY
    roles = Membership.objects.filter(user=user, project_id=project_id)
    role = roles.values_list("role", flat=True).first()
    return frozenset() if role is None else ALLOWED_TO[Role(role)]


def projects_where(user: Person, action: Action) -> QuerySet[Project]:
    """The projects on which `can` says yes: for lists and choices, at the cost of one question."""
    found: QuerySet[Project] = Project.objects.visible_to(user)
    if user.is_superuser:
        return found
    roles = [role for role, actions in ALLOWED_TO.items() if action in actions]
    return found.filter(memberships__user=user.pk, memberships__role__in=roles).distinct()


def require(user: Person, action: Action, obj: Owned | None) -> None:
    """Raise NotAllowed unless `can`."""
    if not can(user, action, obj):
        raise NotAllowed(f"You may not {action.value} here. Ask an owner of the project.")


def get_or_404[M: Model](
    user: Person, action: Action, model: type[M] | QuerySet[M], **lookup: Any
) -> M:
    """The object, if the person may do this to it.

    What one may not see is answered as if it were not there (Http404), whatever the lookup looks like;
    what one may see but not do this to raises NotAllowed, which is a 403.
    """
    queryset: Any = model if isinstance(model, QuerySet) else model._default_manager.all()
    try:
        found: M = queryset.visible_to(user).get(**lookup)
    except (ObjectDoesNotExist, ValidationError, ValueError, OverflowError):
        raise Http404(f"There is no such {queryset.model._meta.verbose_name}.") from None
    require(user, action, found)  # type: ignore[arg-type]
    return found
