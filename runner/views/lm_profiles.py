"""Whether an LM profile works: one short call, as the person who asks."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from pipelines.graph.graph import Node
from pipelines.graph.policy import StepPolicy
from pipelines.models import LMProfile as ProfileRow
from pipelines.models.errors import PipelinesError
from pipelines.permissions import Action, get_or_404
from pipelines.views.requests import person
from runner.engine.errors import RunnerError
from runner.engine.events import Chunk, EventType
from runner.engine.executor import Call
from runner.lm.gateway import Gateway
from runner.lm.types import LMProfile, LMRequest, Message
from runner.services import callable_profile
from runner.views import figures

PATIENCE = 15.0
ANSWER = 16
"""Seconds, and tokens, that a test may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    ok: bool
    says: str


@require_POST
def test(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = ProfileRow.objects.select_related("project", "credential__host")
    row = get_or_404(person(request), Action.USE_CREDENTIAL, rows, pk=pk)
    try:
        tested = async_to_sync(_tested)(callable_profile(row=row, user=person(request)))
    except PipelinesError as error:
        tested = Tested(ok=False, says=error.message)
    return render(request, "runner/tested.html", {"tested": tested})


async def _tested(profile: LMProfile) -> Tested:
    """One call of a few tokens. Of the embedded model only whether it could be had: a second copy of
    it would cost more than the answer is worth."""
    gateway = Gateway({profile.name: profile}, default=profile.name)
    try:
        if profile.adapter == "local":
            (health,) = gateway.health()
            return Tested(ok=health.ok, says=health.detail)
        started = asyncio.get_running_loop().time()
        response = await gateway.complete(_question(), _call(started + PATIENCE))
        took = figures.seconds(asyncio.get_running_loop().time() - started)
        return Tested(
            ok=True, says=f"Answered in {took}: {response.text[:60].strip() or 'nothing'}"
        )
    except RunnerError as error:
        return Tested(ok=False, says=error.message[:300])
    finally:
        await gateway.aclose()


def _question() -> LMRequest:
    return LMRequest(messages=(Message(role="user", content="Say ok."),), max_tokens=ANSWER)


class _Unheard:
    """Nobody watches a test."""

    def chunk(self, chunk: Chunk) -> None:
        pass

    def event(self, type_: EventType, call: Call, data: dict[str, Any]) -> None:
        pass


def _call(deadline: float) -> Call:
    return Call(
        run_id="test",
        path="test",
        attempt=1,
        node=Node(id="test", kind="predict"),
        config=None,
        policy=StepPolicy(),
        inputs={},
        observer=_Unheard(),
        deadline=deadline,
    )
