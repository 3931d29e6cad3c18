"""Taking back, at the start, what a runner left that is dead."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection
from django.utils import timezone

from runner.dispatcher.claims import release_all
from runner.management.instance import executing


@contextmanager
def claiming() -> Iterator[None]:
    """Execute runs inside. When no other process of this machine does, and the database is a file of this
    machine, whoever executed a run is dead: there is no need to wait for its lease."""
    with executing(settings.DATA_DIR, _take_back):
        yield


def _take_back() -> None:
    if connection.vendor == "sqlite":
        release_all(timezone.now())
