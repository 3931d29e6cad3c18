"""What a person answers to a step that waits for one."""

from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from pipelines.models.errors import InvalidInput, PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.views.requests import go_to, person
from runner.models import Run
from runner.services import answer_step


@require_POST
def answer(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take `path`, `approved` (yes or no), and as the person likes `comment` and `value` (JSON)."""
    rows = Run.objects.select_related("pipeline__project")
    run = get_or_404(person(request), Action.RUN, rows, pk=pk)
    try:
        answer_step(
            run=run,
            user=person(request),
            path=request.POST.get("path", ""),
            approved=_approved(request.POST.get("approved", "")),
            comment=request.POST.get("comment", ""),
            value=_value(request.POST.get("value", "")),
        )
    except PipelinesError as error:
        messages.error(request, str(error))
    return go_to(reverse("runner:run", args=[pk]))


def _approved(text: str) -> bool:
    if text not in ("yes", "no"):
        raise InvalidInput("Say whether the value may pass: approved is yes or no.")
    return text == "yes"


def _value(text: str) -> object:
    """The changed value; what was not filled in is not changed."""
    if not text.strip():
        return msgspec.UNSET
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"The value is not JSON: {error}. A text stands in quotes.") from None
