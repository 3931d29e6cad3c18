"""What a person answers to a step that waits for one, or decides about one in doubt."""

from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from pipelines.graph.graph import ANY, Port
from pipelines.models.errors import InvalidInput, PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.views.requests import go_to, person
from runner.models import Run
from runner.services import answer_step, decide_step, decided_ports, question_about
from runner.services.decisions import Decision


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
        return _refused(request, error)
    return go_to(reverse("runner:run", args=[pk]))


@require_POST
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take `path`, `decision` (happened, again or failed), `comment`, and with `happened` an
    `output.NAME` for each output: JSON, or a text where the output is one."""
    rows = Run.objects.select_related("pipeline__project", "version")
    run = get_or_404(person(request), Action.RUN, rows, pk=pk)
    path = request.POST.get("path", "")
    try:
        decide_step(
            run=run,
            user=person(request),
            path=path,
            decision=_decision(request.POST.get("decision", "")),
            outputs=_outputs(run, path, request.POST),
            comment=request.POST.get("comment", ""),
        )
    except PipelinesError as error:
        return _refused(request, error)
    return go_to(reverse("runner:run", args=[pk]))


def _refused(request: HttpRequest, error: PipelinesError) -> HttpResponse:
    """Say why beside the form: what was typed stays."""
    return render(request, "runner/step.html#refused", {"refused": str(error)}, status=422)


def _decision(text: str) -> Decision:
    match text:
        case "happened" | "again" | "failed":
            return text
    raise InvalidInput("Say what became of the step: decision is happened, again or failed.")


def _outputs(run: Run, path: str, given: QueryDict) -> dict[str, object]:
    """What was filled in."""
    asked = question_about(run, path)
    ports = decided_ports(run, asked["kind"], path) if asked else ()
    texts = {port: given.get(f"output.{port.name}", "") for port in ports}
    return {port.name: _output(port, text) for port, text in texts.items() if text.strip()}


def _output(port: Port, text: str) -> object:
    if port.type == "str":
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        if port.type == ANY:
            return text
        raise InvalidInput(
            f"The output '{port.name}' ({port.type}) is not JSON: {error}."
        ) from None


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
