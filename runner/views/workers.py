"""Worker processes: the page. Its figures come over the socket, from whoever executes runs."""

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.permissions import Action, can
from pipelines.views.requests import person
from runner.engine.events import RunStatus
from runner.models import FINAL, Run
from runner.views import figures


@require_safe
@never_cache
def workers(request: HttpRequest) -> HttpResponse:
    """With `part=waiting`, the person's runs that have not ended alone, by status."""
    unfinished = Run.objects.visible_to(person(request)).exclude(status__in=FINAL)
    counts = dict(unfinished.order_by().values_list("status").annotate(count=Count("pk")))
    waiting = [
        {
            "status": status.value,
            "glyph": figures.GLYPHS[status.value],
            "word": figures.WORDS[status.value],
            "count": counts.get(status.value, 0),
        }
        for status in RunStatus
        if status not in FINAL
    ]
    part = "#waiting" if request.GET.get("part") == "waiting" else ""
    return render(
        request,
        f"runner/workers.html{part}",
        {"waiting": waiting, "may_administer": can(person(request), Action.ADMINISTER, None)},
    )
