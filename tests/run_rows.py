"""Runs as the recorder leaves them, row by row, for tests of what shows them."""

import json
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from runner.engine.events import EventType, RunStatus, StepStatus
from runner.models import Event, Run, Step
from tests.runner_world import World


def client_of(world: World, name: str = "owner") -> Client:
    client = Client()
    client.force_login(world.person(name))
    return client


def a_step(run: Run, path: str = "s0", **fields: Any) -> Step:
    """A step that has begun with the run and taken a second."""
    begin = run.started_at or timezone.now()
    fields = {"status": StepStatus.SUCCEEDED, "seconds": 1.0, "backend": "native", **fields}
    fields = {"started_at": begin, "finished_at": begin + timedelta(seconds=1), **fields}
    return Step.objects.create(run=run, path=path, kind="predict", **fields)


def an_event(run: Run, seq: int, type_: EventType, step: str = "", **data: Any) -> Event:
    at = timezone.now().timestamp()
    Run.objects.filter(pk=run.pk, last_seq__lt=seq).update(last_seq=seq)
    return Event.objects.create(
        run=run, seq=seq, epoch=1, type=type_, step=step, at=at, data=json.dumps(data)
    )


def ended(world: World, **fields: Any) -> Run:
    begin = timezone.now() - timedelta(seconds=5)
    end = begin + timedelta(seconds=2)
    fields = {"status": RunStatus.SUCCEEDED, "started_at": begin, "finished_at": end, **fields}
    return world.run(**fields)
