"""Who has a draft open and what they have selected. It lives in the channel layer alone: every socket
says it again with each heartbeat, and a page forgets whom it has not heard of for a while."""

import secrets
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.exceptions import ChannelFull
from django.contrib.auth.models import User

from pipelines.models import Person
from runner.live import draft_group
from runner.live.frames import frame

type Message = dict[str, Any]


class Presence:
    """One socket's presence: the drafts it has open, by what is selected in each."""

    def __init__(self, layer: Any, channel: str) -> None:
        self._layer = layer
        self._channel = channel
        # Channel names are for the layer; what browsers see says nothing about it.
        self._key = secrets.token_hex(8)
        self.drafts: dict[UUID, str | None] = {}

    async def join(self, user: Person, pipeline: UUID) -> None:
        """Come in, and ask the others to say that they are there."""
        again = pipeline in self.drafts
        self.drafts.setdefault(pipeline, None)
        if not again:
            await self._layer.group_add(draft_group(pipeline), self._channel)
        await self._tell(pipeline, user, answer_to=self._channel)

    async def select(self, user: Person, pipeline: UUID, node: str | None) -> None:
        if pipeline in self.drafts and self.drafts[pipeline] != node:
            self.drafts[pipeline] = node
            await self._tell(pipeline, user)

    async def leave(self, pipeline: UUID) -> None:
        if pipeline not in self.drafts:
            return
        del self.drafts[pipeline]
        await self._layer.group_discard(draft_group(pipeline), self._channel)
        message = {"type": "live.left", "pipeline": pipeline.hex, "key": self._key}
        await self._layer.group_send(draft_group(pipeline), message)

    async def say_again(self, user: Person) -> None:
        for pipeline in tuple(self.drafts):
            await self._tell(pipeline, user)

    async def heard(self, user: Person, message: Message) -> str | None:
        """The frame for the browser, of what another socket has said; who has just come is answered."""
        pipeline = UUID(hex=message["pipeline"])
        if pipeline not in self.drafts or message["key"] == self._key:
            return None
        if newcomer := message.get("answer_to"):
            await self._tell(pipeline, user, only=newcomer)
        if message["type"] == "live.left":
            return frame("left", pipeline=str(pipeline), key=message["key"])
        said = {name: message[name] for name in ("key", "person", "node")}
        return frame("presence", pipeline=str(pipeline), **said)

    async def _tell(
        self, pipeline: UUID, user: Person, *, answer_to: str = "", only: str = ""
    ) -> None:
        message = {
            "type": "live.presence",
            "pipeline": pipeline.hex,
            "key": self._key,
            "person": {"id": user.pk, "name": _name(user)},
            "node": self.drafts[pipeline],
            "answer_to": answer_to,
        }
        if not only:
            await self._layer.group_send(draft_group(pipeline), message)
            return
        with suppress(ChannelFull):  # lost, as what goes to a group would be
            await self._layer.send(only, message)


def _name(user: Person) -> str:
    return (user.get_full_name() if isinstance(user, User) else "") or user.get_username()
