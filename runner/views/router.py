"""The router: what it measured, what it takes now and why, and what people told it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from pipelines.graph.graph import Backend
from pipelines.graph.kinds import KINDS
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, can, get_or_404, projects_where, require
from pipelines.views.requests import person
from runner.engine.figures import Figures
from runner.engine.router import Decision, RouterSettings, decide
from runner.models import RouterChange, RouterSubject, RunnerSettings
from runner.models.router import BACKENDS
from runner.services import pin_backend, reset_figures, save_runner_settings
from runner.views import figures as words

SHOWN = 100
CHANGES = 20
_SETTINGS = ("prefer_native", "fallback_to_python", "run_code")
_WIDEST = 99.0  # percent: the bar has a border
_BREAKERS = {"closed": "", "open": "Taken out", "half_open": "Tried next"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One backend of a subject, as its line shows it. `bar` and `reach` are percent of the slower one's
    95th percentile: the median, and where 95 % of the calls end."""

    backend: Backend
    title: str
    calls: int
    p50: str
    p95: str
    errors: str
    cost: str
    breaker: str
    bar: float
    reach: float
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A subject with both backends, and the choice that an auto step would get now."""

    row: RouterSubject
    kind: str
    sides: tuple[Side, ...]
    choice: Decision
    may_change: bool

    @property
    def reason(self) -> str:
        """Why, without the backend's name before it."""
        return self.choice.reason.partition(": ")[2]


@require_safe
@never_cache
def router(request: HttpRequest) -> HttpResponse:
    """With htmx asking, the lines alone: they change while runs go on."""
    part = "#lines" if request.GET.get("part") == "lines" else ""
    return render(request, f"runner/router.html{part}", _context(request))


@require_POST
def pin(request: HttpRequest, pk: UUID) -> HttpResponse:
    """`backend` is native, dspy, or empty to let the router choose."""
    row = get_or_404(person(request), Action.VIEW, RouterSubject, pk=pk)
    try:
        pin_backend(subject=row, user=person(request), backend=request.POST.get("backend", ""))
    except PipelinesError as error:
        return HttpResponse(error.message, status=422, content_type="text/plain")
    return _again(request)


@require_POST
def reset(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = get_or_404(person(request), Action.VIEW, RouterSubject, pk=pk)
    reset_figures(subject=row, user=person(request))
    return _again(request)


@require_POST
def settings(request: HttpRequest) -> HttpResponse:
    """One switch at a time: `name` and `on`."""
    user, name = person(request), request.POST.get("name", "")
    require(user, Action.MANAGE_ROUTER, None)
    if name not in _SETTINGS:
        return HttpResponse("There is no such setting.", status=422, content_type="text/plain")
    save_runner_settings(user=user, **{name: request.POST.get("on") == "true"})
    return render(request, "runner/router.html#settings", _context(request))


def _again(request: HttpRequest) -> HttpResponse:
    return render(request, "runner/router.html#lines", _context(request))


def _context(request: HttpRequest) -> dict[str, object]:
    user = person(request)
    held = RunnerSettings.current()
    rows = RouterSubject.objects.visible_to(user).select_related("project")
    changeable = set(projects_where(user, Action.MANAGE_ROUTER).values_list("pk", flat=True))
    now = timezone.now().timestamp()
    changes = RouterChange.objects.visible_to(user).select_related("author", "project")
    return {
        "lines": [
            _line(row, held.router, row.project_id in changeable, now) for row in rows[:SHOWN]
        ],
        "more": max(0, rows.count() - SHOWN),
        "settings": [_setting(held, name) for name in _SETTINGS],
        "may_set": can(user, Action.MANAGE_ROUTER, None),
        "changes": changes[:CHANGES],
    }


def _setting(held: RunnerSettings, name: str) -> dict[str, object]:
    field: Any = RunnerSettings._meta.get_field(name)
    return {"name": name, "on": getattr(held, name), "help": field.help_text}


def _line(row: RouterSubject, settings: RouterSettings, may_change: bool, now: float) -> Line:
    entry = row.entry
    choice = decide(row.kind, wanted="auto", able=BACKENDS, settings=settings, entry=entry, now=now)
    known = {each: entry.of(each) for each in BACKENDS}
    longest = max((figures.percentile(0.95) or 0.0 for figures in known.values()), default=0.0)
    return Line(
        row=row,
        kind=KINDS[row.kind].title if row.kind in KINDS else row.kind,
        sides=tuple(
            _side(each, known[each], longest, choice.backend == each, now) for each in BACKENDS
        ),
        choice=choice,
        may_change=may_change,
    )


def _side(backend: Backend, known: Figures, longest: float, chosen: bool, now: float) -> Side:
    p50, p95 = known.percentile(0.5), known.percentile(0.95)
    calls = known.calls
    return Side(
        backend=backend,
        title="DSPy" if backend == "dspy" else "Native",
        calls=calls,
        p50=words.seconds(p50),
        p95=words.seconds(p95),
        errors=f"{known.failures / calls:.0%}" if calls else "",
        cost=words.cost(known.total_cost / calls) if calls and known.total_cost else "",
        breaker=_BREAKERS[known.breaker(now)],
        bar=_WIDEST * (p50 or 0) / longest if longest else 0,
        reach=_WIDEST * (p95 or 0) / longest if longest else 0,
        chosen=chosen,
    )
