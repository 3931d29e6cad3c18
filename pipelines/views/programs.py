"""Programs that DSPy saved, taken into the draft from the editor's menu."""

import json
import uuid
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from pipelines import services
from pipelines.forms import ImportProgramForm
from pipelines.models import Pipeline
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.services import Applied
from pipelines.views.requests import person


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def import_program(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The dialog that gives the draft's predictors what a program file says.

    Tells the page of the operation, so that it can be taken back there.
    """
    pipeline = get_or_404(person(request), Action.EDIT, Pipeline, pk=pk)
    sent = request.method == "POST"
    form = ImportProgramForm(request.POST, request.FILES) if sent else ImportProgramForm()
    if sent and form.is_valid():
        try:
            imported = services.import_program(
                pipeline=pipeline,
                user=person(request),
                data=form.cleaned_data["file"].read(),
                operation_id=uuid.uuid4(),
            )
        except PipelinesError as error:
            form.say(error, "file")
        else:
            if isinstance(imported.result, Applied):
                return _told(imported, imported.result)
            form.add_error("file", imported.result.message)
    context = {"form": form, "title": "Import a DSPy program", "does": "Import", "upload": True}
    status = 422 if form.is_bound else 200
    return render(request, "partials/dialog_form.html", context, status=status)


def _told(imported: services.Imported, result: Applied) -> HttpResponse:
    said = {
        "id": str(result.operation_id),
        "nodes": list(imported.nodes.values()),
        "ignored": list(imported.ignored),
    }
    # ASCII, as headers are: json escapes the rest.
    return HttpResponse(headers={"HX-Trigger": json.dumps({"program-imported": said})})
