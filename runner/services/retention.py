"""What is kept, and for how long."""

from datetime import datetime, timedelta

from runner.models import CachedAnswer, Run

KEEP_RUNS = timedelta(days=90)
KEEP_ANSWERS = timedelta(days=30)
AT_ONCE = 50
"""Runs that one transaction deletes: others want to write in between."""


def prune(
    *, now: datetime, keep_runs: timedelta = KEEP_RUNS, keep_answers: timedelta = KEEP_ANSWERS
) -> int:
    """Delete some of the runs that finished before `keep_runs` ago, with all they told, and old cached
    answers; how many runs. Ask again until there are none. What is not finished stays, however old."""
    CachedAnswer.objects.filter(created_at__lt=now - keep_answers).delete()
    old = Run.objects.finished_before(now - keep_runs).order_by("finished_at")
    ids = list(old.values_list("pk", flat=True)[:AT_ONCE])
    Run.objects.filter(pk__in=ids).delete()
    return len(ids)
