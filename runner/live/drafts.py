"""Tells who has a draft open what others do to it, once it is in the database."""

from typing import Any
from uuid import UUID

from django.dispatch import receiver

from pipelines.services import Applied, operation_applied
from runner.live.frames import frame
from runner.live.groups import draft_group
from runner.live.publisher import tell

LARGEST = 64 * 1024
"""Characters of an operation that is sent along; a larger one is fetched by who wants it."""


@receiver(operation_applied)
def publish(pipeline_id: UUID, applied: Applied, **_: Any) -> None:
    """The revision is the sequence number: a page that misses one sees it and asks."""
    parts: dict[str, Any] = {
        "pipeline": str(pipeline_id),
        "revision": applied.revision,
        "id": applied.operation_id,
        "author": applied.author_id,
    }
    text = frame("operation", **parts, operation=applied.operation)
    if len(text) > LARGEST:
        text = frame("operation", **parts, operation=None)
    tell(draft_group(pipeline_id), "live.operation", pipeline=pipeline_id.hex, text=text)
