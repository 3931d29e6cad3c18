"""What the installation is made of and set to: Python, stored keys, retention, the sandbox for code."""

import os
import sys
from datetime import timedelta

from django.conf import settings
from django.db import connections
from django.utils import timezone

from pipelines.models import Credential
from pipelines.models.errors import CredentialUnreadable
from runner.bridge import sandbox
from runner.bridge.nursery import environment
from runner.engine.findings import Finding, broken, degraded, ok
from runner.models import Run, RunnerSettings

OLDEST_PYTHON = (3, 12)
SLACK = timedelta(days=1)
"""A runner looks for old runs once an hour; what is this much older was missed."""


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> list[Finding]:
    said = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        mend = f"Install Python {wanted} or newer and run `make setup`."
        return [broken("Python", f"{said}; DSPex needs {wanted} or newer.", mend)]
    return [ok("Python", f"{said} at {sys.executable}.")]


def stored_keys() -> list[Finding]:
    """Whether every stored key of a provider can be read."""
    part = "Stored keys"
    try:
        rows = list(Credential.objects.select_related("host"))
    finally:
        connections.close_all()
    unreadable = [each for each in rows if not _readable(each)]
    if unreadable:
        names = ", ".join(f"'{each.name}' for {each.host.origin}" for each in unreadable[:5])
        more = f" and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        mend = "Add the secret that they were stored under to DSPEX_CREDENTIAL_KEYS, or enter them again."
        return [broken(part, f"No secret of this installation opens {names}{more}.", mend)]
    by = "DSPEX_CREDENTIAL_KEYS" if settings.CREDENTIAL_KEYS else "the secret key"
    return [ok(part, f"{len(rows)} can be read; {by} encrypts them.")]


def _readable(credential: Credential) -> bool:
    try:
        credential.reveal(credential.host.origin)
    except CredentialUnreadable:
        return False
    return True


def retention() -> list[Finding]:
    """Whether what is old goes."""
    part, days = "Retention", settings.RETENTION_DAYS
    if not days:
        mend = "Set DSPEX_RETENTION_DAYS, or run `manage.py prune --days 30` now and then."
        return [degraded(part, "Finished runs are kept for good: the database only grows.", mend)]
    try:
        late = Run.objects.finished_before(timezone.now() - timedelta(days=days) - SLACK).count()
    finally:
        connections.close_all()
    if late:
        mend = "Is a runner at work? `manage.py prune` deletes them now."
        return [
            degraded(part, f"{late:,} runs are older than the {days} days they are kept.", mend)
        ]
    return [ok(part, f"Finished runs are kept for {days} days.")]


def code_sandbox() -> list[Finding]:
    """Deno, in which DSPy's modules run what a language model wrote, if an administrator lets them."""
    part = "Sandbox for code"
    try:
        wanted = RunnerSettings.current().run_code
    finally:
        connections.close_all()
    found = sandbox.ready(environment(os.environ))
    if found.ok:
        return [ok(part, found.detail if wanted else f"Off. {found.detail}")]
    if not wanted:
        return [ok(part, "Off, and not installed: modules that run code don't run.")]
    return [broken(part, f"Modules may run code, and can't: {found.detail}", sandbox.MEND)]
