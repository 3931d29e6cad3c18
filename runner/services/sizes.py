"""How much each run left. Measured once, some time after its end, since nothing is added to it then: what
sums these up reads four numbers of a run, however much it told."""

from typing import Any

from django.db.models import BigIntegerField, Count, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from runner.models import Artifact, Event, Run, RunQuerySet, Stream
from runner.models.bytes import Bytes

AT_ONCE = 100
"""Runs that one statement measures: others want to write in between."""


def measure(runs: RunQuerySet | None = None) -> int:
    """Measure some of these runs, or of all, that have ended and are not measured; how many. Ask again
    until there are none."""
    due = (Run.objects.all() if runs is None else runs).to_be_measured().order_by()
    ids = list(due.values_list("pk", flat=True)[:AT_ONCE])
    if ids:
        Run.objects.filter(pk__in=ids, finished_at__isnull=False).update(
            event_rows=_of(Event, Count("*")) + _of(Stream, Count("*")),
            event_bytes=_of(Event, Sum(Bytes("data"))) + _of(Stream, Sum(Bytes("text"))),
            artifact_count=_of(Artifact, Count("*")),
            artifact_bytes=_of(Artifact, Sum("size")),
        )
    return len(ids)


def _of(model: Any, figure: Any) -> Any:
    rows = model.objects.order_by().filter(run=OuterRef("pk")).values("run").annotate(n=figure)
    return Coalesce(Subquery(rows.values("n")), Value(0), output_field=BigIntegerField())


def sums(runs: RunQuerySet) -> Any:
    """Of measured runs, by project: (project, runs, events, their bytes, artifacts, their bytes)."""
    figures = {f"of_{name}": Sum(name, default=0) for name in _FIGURES}
    return runs.order_by().values_list("project").annotate(runs=Count("*"), **figures)


_FIGURES = ("event_rows", "event_bytes", "artifact_count", "artifact_bytes")
