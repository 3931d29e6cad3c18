"""Figures for Prometheus: to administrators, and to whoever has the token that the operator set."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pipelines.permissions import Action, can
from pipelines.views.requests import person
from runner.lm.metrics import CONTENT_TYPE, METRICS, gauge_text
from runner.models import FINAL, Run
from runner.services.pools import last_figures
from runner.views.pool_metrics import pool_text


@login_not_required  # a scraper has no session
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    if not (_has_token(request) or can(person(request), Action.APPROVE_HOSTS, None)):
        raise Http404
    pools = pool_text(last_figures(now=timezone.now()))
    return HttpResponse(METRICS.text() + _unfinished_runs() + pools, content_type=CONTENT_TYPE)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    expected: str = settings.METRICS_TOKEN
    return (
        bool(expected)
        and scheme.lower() == "bearer"
        and constant_time_compare(token.strip(), expected)
    )


def _unfinished_runs() -> bytes:
    rows = Run.objects.exclude(status__in=FINAL).order_by().values_list("status")
    counts = {str(status): float(count) for status, count in rows.annotate(Count("pk"))}
    return gauge_text("dspex_runs", "Runs that are not finished, by status.", "status", counts)
