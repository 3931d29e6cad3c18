"""What people tell the router, and what it keeps."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from pipelines.graph.graph import Backend
from pipelines.models import Person, Project
from pipelines.models.errors import InvalidInput
from pipelines.permissions import Action, require
from runner.bridge.messages import Ready
from runner.engine.figures import Outcome, Subject
from runner.models import DSPyModule, RouterChange, RouterSubject, RunnerSettings
from runner.models.router import BACKENDS, subject_key

type Told = tuple[Subject, Backend, Outcome]

OVERLAP = timedelta(seconds=10)
"""Clocks of several machines differ, and a transaction ends later than its time says."""


@transaction.atomic
def pin_backend(*, subject: RouterSubject, user: Person, backend: str) -> None:
    """Have every auto step of this kind, signature and LM take this backend; "" leaves it to the router."""
    require(user, Action.MANAGE_ROUTER, subject)
    if backend not in (*BACKENDS, ""):
        raise InvalidInput(f"'{backend}' is no backend. Choose native, dspy, or none.")
    if subject.pin == backend:
        return
    subject.pin = backend
    subject.updated_at = timezone.now()
    subject.save(update_fields=["pin", "updated_at"])
    _note(subject, user, f"pinned to {backend}" if backend else "left to the router")


@transaction.atomic
def reset_figures(*, subject: RouterSubject, user: Person) -> None:
    """Forget what was measured, breakers included. A pin stays."""
    require(user, Action.MANAGE_ROUTER, subject)
    subject.native = subject.dspy = "{}"
    subject.updated_at = timezone.now()
    subject.save(update_fields=["native", "dspy", "updated_at"])
    _note(subject, user, "figures reset")


@transaction.atomic
def save_runner_settings(*, user: Person, **values: bool) -> RunnerSettings:
    """Set what holds for the whole installation. What changes is noted."""
    require(user, Action.MANAGE_ROUTER, None)
    found = RunnerSettings.current()
    for name, value in values.items():
        if getattr(found, name) != value:
            setattr(found, name, value)
            RouterChange.objects.create(
                about=name, did="turned on" if value else "turned off", author_id=user.pk
            )
    found.save()
    return found


def _note(subject: RouterSubject, user: Person, did: str) -> None:
    RouterChange.objects.create(
        project_id=subject.project_id, about=str(subject), did=did, author_id=user.pk
    )


@transaction.atomic
def keep_figures(*, told: Sequence[Told], now: datetime) -> None:
    """Add outcomes to the stored figures, whoever else adds to them. For runners only."""
    by_subject: dict[Subject, list[Told]] = defaultdict(list)
    for each in told:
        by_subject[each[0]].append(each)
    projects = {UUID(subject.scope) for subject in by_subject}
    living = set(Project.objects.filter(pk__in=projects).values_list("pk", flat=True))
    keys = {subject_key(subject): subject for subject in by_subject}
    rows = {row.key: row for row in RouterSubject.objects.select_for_update().filter(key__in=keys)}
    for key, subject in keys.items():
        if UUID(subject.scope) not in living:
            continue  # deleted since
        row = rows.get(key) or _row(subject, key)
        for _, backend, outcome in by_subject[subject]:
            row.keep(backend, row.figures(backend).after(outcome))
        row.updated_at = now
        row.save()


def _row(subject: Subject, key: str) -> RouterSubject:
    return RouterSubject(
        project_id=UUID(subject.scope),
        kind=subject.kind,
        signature=subject.signature,
        lm=subject.lm[:100],
        key=key,
    )


def figures_since(moment: datetime | None) -> list[RouterSubject]:
    """What was changed since; everything, with None. For runners only."""
    rows = RouterSubject.objects.all()
    return list(rows if moment is None else rows.filter(updated_at__gte=moment - OVERLAP))


@transaction.atomic
def note_modules(*, ready: Ready) -> None:
    """Keep what a worker said of the installed DSPy's modules. For runners only."""
    version = ready.versions.get("dspy", "")
    for info in ready.modules:
        DSPyModule.objects.update_or_create(
            name=info.name,
            defaults={
                "doc": info.doc,
                "options": info.options,
                "takes": list(info.takes),
                "deprecated": info.deprecated,
                "version": version,
            },
        )
    _forget(DSPyModule.objects.exclude(name__in=[info.name for info in ready.modules]))


def _forget(rows: Iterable[DSPyModule]) -> None:
    for row in rows:
        row.delete()
