"""The response cache of a project, when people want it gone."""

from pipelines.models import Person, Project
from pipelines.permissions import Action, require
from runner.models import CachedAnswer

AT_ONCE = 500
"""Answers that one transaction deletes: others want to write in between."""


def clear_response_cache(*, project: Project, user: Person, profile: str | None = None) -> int:
    """Forget the project's cached answers, or those of one LM profile by name; how many.

    They were paid for and are paid again when asked for, so it is for who looks after LM profiles.
    Calls under way may leave further ones.
    """
    require(user, Action.MANAGE_LM_PROFILES, project)
    rows = CachedAnswer.objects.filter(project=project)
    if profile is not None:
        rows = rows.filter(profile=profile[:100])
    count = 0
    while ids := list(rows.order_by().values_list("pk", flat=True)[:AT_ONCE]):
        count += CachedAnswer.objects.filter(pk__in=ids).delete()[0]
    return count
