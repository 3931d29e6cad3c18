"""What the list of pipelines says of their runs: the last one, the last twenty, time and cost."""

from datetime import timedelta
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.models import Pipeline
from pipelines.views.requests import person
from runner.engine.events import RunStatus
from runner.models import Run
from runner.views import figures

MOST = 100
LAST = 20
"""Pipelines asked about at once, and runs of each that are looked at."""


@require_safe
@never_cache
def pipeline_figures(request: HttpRequest) -> HttpResponse:
    """Of the pipelines named by `pipeline`, those that the person may see. Three queries."""
    asked = [pk for text in request.GET.getlist("pipeline")[:MOST] if (pk := _uuid(text))]
    pipelines = Pipeline.objects.visible_to(person(request)).filter(pk__in=asked)
    seen = list(pipelines.values_list("pk", flat=True))
    runs = _last_runs(seen)
    week = _of_a_week(seen)
    rows = [{"pk": pk, "runs": week.get(pk, 0), **_row(runs.get(pk, []))} for pk in seen]
    return render(request, "runner/pipeline_figures.html", {"rows": rows})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _last_runs(pipelines: list[UUID]) -> dict[UUID, list[Run]]:
    place = Window(RowNumber(), partition_by=[F("pipeline")], order_by=[F("created_at").desc()])
    found: dict[UUID, list[Run]] = {}
    rows = (
        Run.objects.filter(pipeline__in=pipelines)
        .annotate(place=place)
        .filter(place__lte=LAST)
        .only("pipeline", "status", "created_at", "started_at", "finished_at", "cost")
        .order_by("-created_at")
    )
    for run in rows:
        found.setdefault(run.pipeline_id, []).append(run)
    return found


def _of_a_week(pipelines: list[UUID]) -> dict[UUID, int]:
    since = timezone.now() - timedelta(days=7)
    rows = Run.objects.filter(pipeline__in=pipelines, created_at__gte=since).order_by()
    return dict(rows.values_list("pipeline").annotate(count=Count("pk")))


def _row(runs: list[Run]) -> dict[str, Any]:
    """The cells of one pipeline; `runs` from the last one back."""
    good = [run for run in runs if run.status == RunStatus.SUCCEEDED]
    lengths = {run.pk: figures.between(run.started_at, run.finished_at) or 0.0 for run in runs}
    took = [lengths[run.pk] for run in good]
    return {
        "last": runs[0] if runs else None,
        "glyph": figures.GLYPHS[runs[0].status] if runs else "",
        "word": figures.WORDS[runs[0].status] if runs else "",
        "p50": figures.seconds(median(took)) if took else "",
        "cost": figures.cost(sum(run.cost for run in good) / len(good)) if good else "",
        "bars": _bars(runs[::-1], lengths),
        "said": f"{len(good)} of the last {len(runs)} runs succeeded",
    }


def _bars(runs: list[Run], lengths: dict[UUID, float]) -> list[dict[str, Any]]:
    """A bar for each run, as high as it took long, in a box of 100 by 20."""
    longest = max(lengths.values(), default=0.0) or 1.0
    bars = []
    for number, run in enumerate(runs):
        height = round(3 + 15 * lengths[run.pk] / longest, 1)
        look = figures.GLYPHS[run.status]
        bars.append({"x": number * 5, "y": round(19 - height, 1), "height": height, "look": look})
    return bars
