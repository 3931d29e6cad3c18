"""What every view does with what comes in and goes out."""

import json
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from pipelines.models import Person


def person(request: HttpRequest) -> Person:
    """Who asks. Strangers don't come this far."""
    return request.user


def body_json(request: HttpRequest) -> dict[str, Any]:
    """The JSON object of a request that says it is one: a foreign page can't send that type."""
    if request.content_type != "application/json":
        raise BadRequest("Send application/json.")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is not a JSON object.")
    return body


def go_to(address: str) -> HttpResponse:
    """Sends htmx to another page."""
    return HttpResponse(status=204, headers={"HX-Redirect": address})


def uuid_in(body: dict[str, Any], key: str) -> UUID:
    try:
        return UUID(str(body.get(key)))
    except ValueError:
        raise BadRequest(f"{key} is a UUID.") from None


def number_in(body: dict[str, Any], key: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise BadRequest(f"{key} is a whole number.")
    return value
