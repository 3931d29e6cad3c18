"""What the person behind a socket may see and do, asked of the database each time.

Synchronous: the consumer calls these in the threads that Channels keeps for the database.
"""

from functools import partial
from typing import Any, cast
from uuid import UUID

from channels.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import Http404

from pipelines.models import Draft, Membership, Person, Pipeline, Project
from pipelines.permissions import Action, can, get_or_404
from runner.live import since, tell, user_group
from runner.live.reading import Since
from runner.models import Run
from runner.services import cancel_run


def find_run(user: Person, run: UUID) -> Run | None:
    """The run, if the person may see it. Of another's run one learns as much as of none."""
    try:
        return get_or_404(user, Action.VIEW, Run, pk=run)
    except Http404:
        return None


def may_see_project(user: Person, project: UUID) -> bool:
    return Project.objects.visible_to(user).filter(pk=project).exists()


def draft_revision(user: Person, pipeline: UUID) -> int | None:
    """The draft's revision; None if the person may not see it, or there is none."""
    try:
        found = get_or_404(user, Action.VIEW, Pipeline, pk=pipeline)
    except Http404:
        return None
    return Draft.objects.values_list("revision", flat=True).get(pipeline=found)


def may_see_workers(user: Person) -> bool:
    return can(user, Action.VIEW, None)


def worker_figures(user: Person, stats: dict[str, Any]) -> dict[str, Any]:
    """The figures without what is not the person's to see: whose run a worker has, and at which step."""
    workers = [worker for pool in stats["pools"] for worker in pool["workers"]]
    asked = {part["run_id"] for worker in workers for part in (worker, *worker["steps"])} - {""}
    found = Run.objects.visible_to(user).filter(pk__in=asked) if asked else Run.objects.none()
    seen = set(map(str, found.values_list("pk", flat=True)))
    pools = [
        {**pool, "workers": [_of_seen(worker, seen) for worker in pool["workers"]]}
        for pool in stats["pools"]
    ]
    return {**stats, "pools": pools}


def _of_seen(worker: dict[str, Any], seen: set[str]) -> dict[str, Any]:
    """`held`: it has or is kept for a run, whosesoever. Of others' steps it is said that there are any."""
    steps = [each if each["run_id"] in seen else _HIDDEN for each in worker["steps"]]
    run = worker["run_id"]
    held = bool(run or steps)
    return {**worker, "run_id": run if run in seen else "", "steps": steps, "held": held}


_HIDDEN = {"run_id": "", "step": ""}


def stop(user: Person, run: UUID) -> str | None:
    """Stop a run; its status then, None if it can't be seen. Raises NotAllowed."""
    found = find_run(user, run)
    return None if found is None else cancel_run(run=found, user=user).value


def lost(
    user: Person, runs: list[UUID], projects: list[UUID], drafts: list[UUID], *, workers: bool
) -> bool:
    """Whether something that is subscribed may not be seen any more."""
    return (
        not user.is_active
        or Run.objects.visible_to(user).filter(pk__in=runs).count() < len(runs)
        or Project.objects.visible_to(user).filter(pk__in=projects).count() < len(projects)
        or Pipeline.objects.visible_to(user).filter(pk__in=drafts).count() < len(drafts)
        or (workers and not may_see_workers(user))
    )


async def current_user(scope: Any) -> Person:
    """Who the session says it is now: signing out, elsewhere too, or being closed makes it nobody."""
    # A session object keeps what it has read; a new one reads what is there.
    session = scope["session"]
    fresh = session.__class__(session.session_key)
    user = cast(Person, await get_user(cast(Any, {**scope, "session": fresh})))
    return user if user.is_active else AnonymousUser()


def read_since(user: Person, run: UUID, after_seq: int) -> Since | None:
    """What polling returns too; None when the run can't be seen any more."""
    found = find_run(user, run)
    return None if found is None else since(found, after_seq)


@receiver([post_save, post_delete], sender=Membership)
def _membership_changed(instance: Membership, **_: Any) -> None:
    _look_again(instance.user_id)


@receiver([post_save, post_delete], sender=User)
def _account_changed(instance: User, **_: Any) -> None:
    _look_again(instance.pk)


@receiver(user_logged_out)
def _signed_out(user: Person | None, **_: Any) -> None:
    if user is not None and user.pk is not None:
        _look_again(user.pk)


def _look_again(user_id: int) -> None:
    """Have the person's sockets ask anew at once; they do so by themselves every few seconds."""
    transaction.on_commit(partial(tell, user_group(user_id), "live.access"))
