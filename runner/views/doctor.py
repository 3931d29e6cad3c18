"""The doctor's page: what of this installation works, found out when somebody asks."""

import time
from threading import Lock

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from pipelines.permissions import Action, require
from pipelines.views.requests import person
from runner.engine.findings import State
from runner.services.doctor import examine

GLYPHS = {State.OK: "ok", State.DEGRADED: "warn", State.BROKEN: "failed"}
_one_at_a_time = Lock()
"""Looking loads DSPy and a model: those who ask at the same time wait for each other."""


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def doctor(request: HttpRequest) -> HttpResponse:
    """The page; a POST, which it sends at once, looks at everything and answers with what was found."""
    require(person(request), Action.ADMINISTER, None)
    if request.method != "POST":
        return render(request, "runner/doctor.html")
    with _one_at_a_time:
        began = time.monotonic()
        findings = examine()
        took = time.monotonic() - began
    context = {
        "findings": [(each, GLYPHS[each.state]) for each in findings],
        "counts": [
            (GLYPHS[state], state.value, sum(each.state is state for each in findings))
            for state in State
        ],
        "seconds": f"{took:.1f} s",
        "at": timezone.localtime(),
    }
    return render(request, "runner/doctor.html#findings", context)
