"""What is kept, and for how long."""

from datetime import datetime, timedelta

from django.conf import settings

from runner.models import CachedAnswer, Run

KEEP_ANSWERS = timedelta(days=30)
AT_ONCE = 50
"""Runs that one transaction deletes: others want to write in between."""


def prune(
    *,
    now: datetime,
    keep_runs: timedelta | None = None,
    keep_answers: timedelta = KEEP_ANSWERS,
) -> int:
    """Delete some of the runs that finished before `keep_runs` ago, with all they told, and old cached
    answers; how many runs. Ask again until there are none. What is not finished stays, however old.

    Without `keep_runs` the installation's setting counts, of which 0 days keep runs for good.
    """
    CachedAnswer.objects.filter(created_at__lt=now - keep_answers).delete()
    if keep_runs is None:
        keep_runs = timedelta(days=settings.RETENTION_DAYS)
        if not keep_runs:
            return 0
    old = Run.objects.finished_before(now - keep_runs).order_by("finished_at")
    ids = list(old.values_list("pk", flat=True)[:AT_ONCE])
    Run.objects.filter(pk__in=ids).delete()
    return len(ids)
