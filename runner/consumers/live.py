"""The one socket of a page: runs to watch, the list of a project, drafts, the workers.

What comes through the channel layer is a hint. Layers may drop messages, so events are passed on only
when they follow on what was sent; otherwise the socket reads the database from there. A reader who is
slow gets nothing until it has caught up with what is on the way, then what it missed, read in the
same way: so nothing is queued for it, and nobody waits for it.

Of a run that another process executes the database has the text of up to a second ago; the rest is asked of
that process, which answers through the same layer (see `runner.live.publisher`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer
from django.db import DatabaseError

from pipelines.models import Person
from pipelines.permissions import NotAllowed
from runner.consumers import access, limits
from runner.consumers.following import Following
from runner.consumers.messages import (
    MAX_MESSAGE,
    Cancel,
    Here,
    Mark,
    SubscribeDraft,
    SubscribeProject,
    SubscribeRun,
    SubscribeWorkers,
    Unsubscribe,
    read_message,
)
from runner.consumers.presence import Presence
from runner.consumers.watched import Watched
from runner.consumers.window import Window
from runner.live import HERE, RUNNERS, WORKERS, project_group, run_group, user_group
from runner.live.frames import batches, events_frame, frame, streams_frame
from runner.models.run import HELD

PROTOCOL = 1
LOOK_AGAIN = 10.0
"""Seconds between looks at whether the person may still see what is subscribed; also the heartbeat."""
PATIENCE = 40.0
"""Seconds until a reader that sends no mark back is let go."""
ANSWERED = 2.0
"""Seconds until a runner that was asked for text, and has not sent it, is asked again."""

# Close codes, as docs/reference/live.md lists them.
SIGNED_OUT, NO_ACCESS, TOO_SLOW, TOO_MUCH, TOO_LONG = 4401, 4403, 4408, 4429, 1009


class LiveConsumer(AsyncWebsocketConsumer):
    look_again = LOOK_AGAIN

    async def connect(self) -> None:
        self.user = cast(Person, self.scope["user"])
        self.user_id = self.user.pk or 0
        self.runs: dict[UUID, Watched] = {}
        self.projects: set[UUID] = set()
        self.presence = Presence(self.channel_layer, self.channel_name)
        self.behind: set[UUID] = set()
        """Drafts of which an operation was not sent, as the reader is slow."""
        self.workers = False
        self.counted = False
        self.heart: asyncio.Task[None] | None = None
        self.following = Following(self.runs, self._catch_up)
        if not (self.user.is_authenticated and self.user.is_active):
            await self.close()
            return
        await self.accept()
        if not limits.take_socket(self.user_id):
            await self.close(TOO_MUCH)
            return
        self.counted = True
        self.loop = asyncio.get_running_loop()
        self.window, self.rate = Window(self.loop.time()), limits.Rate()
        await self.channel_layer.group_add(user_group(self.user_id), self.channel_name)
        await self._push(frame("hello", protocol=PROTOCOL, heartbeat=self.look_again))
        self.heart = self.loop.create_task(self._beat())

    async def disconnect(self, code: int) -> None:
        if self.heart is not None:
            self.heart.cancel()
        self.following.stop()
        if not self.counted:
            return
        limits.give_socket_back(self.user_id)
        for pipeline in tuple(self.presence.drafts):
            await self.presence.leave(pipeline)
        for group in self._groups():
            await self.channel_layer.group_discard(group, self.channel_name)

    # What the browser sends

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > MAX_MESSAGE:
            await self.close(TOO_LONG)
            return
        try:
            message = read_message(text_data)
        except ValueError as error:
            if await self._within_rate():
                await self._refuse("invalid_message", str(error))
            return
        if isinstance(message, Mark) and self.window.came_back(message.n, self.loop.time()):
            await self._go_on()  # as often as we asked for it
        elif await self._within_rate() and await self._still_signed_in():
            await self._do(message)

    async def _within_rate(self) -> bool:
        if self.rate.allows(self.loop.time()):
            return True
        await self.close(TOO_MUCH)
        return False

    async def _do(self, message: Any) -> None:
        match message:
            case SubscribeRun(run=run, after_seq=after_seq):
                await self._subscribe_run(run, after_seq)
            case SubscribeProject(project=project):
                await self._subscribe_project(project)
            case SubscribeWorkers():
                await self._subscribe_workers()
            case SubscribeDraft(pipeline=pipeline):
                await self._subscribe_draft(pipeline)
            case Here(pipeline=pipeline, node=node):
                await self._here(pipeline, node)
            case Unsubscribe(pipeline=pipeline) if pipeline is not None:
                await self.presence.leave(pipeline)
            case Unsubscribe(run=run, project=project):
                await self._unsubscribe(run, project)
            case Cancel(run=run):
                await self._cancel(run)

    async def _subscribe_run(self, run: UUID, after_seq: int) -> None:
        if await database_sync_to_async(access.find_run)(self.user, run) is None:
            await self._not_found(run=str(run))
        elif run in self.runs or await self._has_room():
            self.runs[run] = Watched(after_seq)
            # First listen, then read: what happens in between comes twice and is dropped by its number.
            await self.channel_layer.group_add(run_group(run), self.channel_name)
            await self._catch_up(run)
            self.following.start(self.channel_layer)

    async def _subscribe_project(self, project: UUID) -> None:
        if not await database_sync_to_async(access.may_see_project)(self.user, project):
            await self._not_found(project=str(project))
        elif project in self.projects or await self._has_room():
            self.projects.add(project)
            await self.channel_layer.group_add(project_group(project), self.channel_name)
            await self._push(frame("subscribed", project=str(project)))

    async def _subscribe_workers(self) -> None:
        if not await database_sync_to_async(access.may_see_workers)(self.user):
            await self._not_found()
            return
        self.workers = True
        await self.channel_layer.group_add(WORKERS, self.channel_name)
        await self._push(frame("subscribed", workers=True))

    async def _subscribe_draft(self, pipeline: UUID) -> None:
        asked = database_sync_to_async(access.draft_revision)
        if await asked(self.user, pipeline) is None:
            await self._not_found(pipeline=str(pipeline))
        elif pipeline in self.presence.drafts or await self._has_room():
            await self.presence.join(self.user, pipeline)
            # Read after we listen: nothing is missed in between.
            await self._tell_revision(pipeline)

    async def _tell_revision(self, pipeline: UUID) -> None:
        self.behind.discard(pipeline)
        revision = await database_sync_to_async(access.draft_revision)(self.user, pipeline)
        if revision is None:
            await self.close(NO_ACCESS)
        else:
            await self._push(frame("draft", pipeline=str(pipeline), revision=revision))

    async def _here(self, pipeline: UUID, node: str | None) -> None:
        if await database_sync_to_async(access.draft_revision)(self.user, pipeline) is None:
            await self._not_found(pipeline=str(pipeline))
        else:
            await self.presence.select(self.user, pipeline, node)

    async def _unsubscribe(self, run: UUID | None, project: UUID | None) -> None:
        if run is not None:
            group = run_group(run)
            self.runs.pop(run, None)
        elif project is not None:
            group = project_group(project)
            self.projects.discard(project)
        else:
            group, self.workers = WORKERS, False
        await self.channel_layer.group_discard(group, self.channel_name)

    async def _cancel(self, run: UUID) -> None:
        try:
            status = await database_sync_to_async(access.stop)(self.user, run)
        except NotAllowed as error:
            await self._refuse(error.code, str(error), run=str(run))
            return
        if status is None:
            await self._not_found(run=str(run))
        else:
            await self._push(frame("cancelling", run=str(run), status=status))

    async def _go_on(self) -> None:
        for run, watched in tuple(self.runs.items()):
            if watched.behind and self.window.is_open:
                await self._catch_up(run)
        for pipeline in tuple(self.behind):
            if self.window.is_open:
                await self._tell_revision(pipeline)

    async def _has_room(self) -> bool:
        if (
            sum(map(len, (self.runs, self.projects, self.presence.drafts)))
            < limits.SUBSCRIPTIONS_PER_SOCKET
        ):
            return True
        most = limits.SUBSCRIPTIONS_PER_SOCKET
        await self._refuse("too_many", f"A socket watches {most} things at most. Drop some first.")
        return False

    # What the channel layer brings

    async def live_events(self, message: dict[str, Any]) -> None:
        run = UUID(hex=message["run"])
        watched = self.runs.get(run)
        if watched is None or watched.behind or message["last"] <= watched.seq:
            return
        if not self.window.is_open:
            watched.behind = True
        elif message["first"] == watched.seq + 1 and watched.has_text(
            message["epoch"], message["number"]
        ):
            watched.seq = message["last"]
            await self._push(message["text"])
        else:
            await self._catch_up(run)

    async def live_chunks(self, message: dict[str, Any]) -> None:
        run = UUID(hex=message["run"])
        watched = self.runs.get(run)
        epoch, number = message["epoch"], message["number"]
        if watched is None or watched.behind or epoch < watched.epoch:
            return
        if not self.window.is_open:
            watched.behind = True
        elif watched.takes(epoch, number):
            watched.epoch, watched.number, watched.joining = epoch, number, None
            await self._push(message["text"])
        elif watched.joining is None or self.loop.time() > watched.joining:
            await self._catch_up(run)

    async def live_streams(self, message: dict[str, Any]) -> None:
        watched = self.runs.get(UUID(hex=message["run"]))
        if watched is None or watched.behind or watched.joining is None:
            return
        watched.joining = None
        watched.epoch, watched.number = message["epoch"], message["number"]
        for text in message["texts"]:
            await self._push(text)

    async def live_run(self, message: dict[str, Any]) -> None:
        if self.window.is_open:
            await self._push(frame("run", **message["summary"]))

    async def live_operation(self, message: dict[str, Any]) -> None:
        pipeline = UUID(hex=message["pipeline"])
        if pipeline not in self.presence.drafts:
            return
        if self.window.is_open:
            await self._push(message["text"])
        else:
            self.behind.add(pipeline)

    async def live_presence(self, message: dict[str, Any]) -> None:
        text = await self.presence.heard(self.user, message)
        if text is not None and self.window.is_open:
            await self._push(text)

    live_left = live_presence

    async def live_workers(self, message: dict[str, Any]) -> None:
        if self.window.is_open:
            figures = database_sync_to_async(access.worker_figures)
            await self._push(frame("workers", **await figures(self.user, message["stats"])))

    async def live_access(self, message: dict[str, Any]) -> None:
        await self._check_access()

    # Sending

    async def _catch_up(self, run: UUID) -> None:
        """Send what happened since, and the streams. Ends early when the reader is too slow."""
        watched = self.runs[run]
        watched.behind = True
        try:
            await self._read(run, watched)
        except BaseException:
            watched.behind = False
            raise

    async def _read(self, run: UUID, watched: Watched) -> None:
        while self.window.is_open:
            read = database_sync_to_async(access.read_since)
            found = await read(self.user, run, watched.seq)
            if found is None:
                await self.close(NO_ACCESS)
                return
            # Text first: who leaves in between asks from the event before, and gets it again.
            for stream in found["streams"]:
                await self._push(streams_frame(run, [stream]))
            for events in batches(found["events"]):
                await self._push(events_frame(run, events))
            watched.seq = found["seq"]
            if found["more"]:
                continue
            await self._push(
                frame("caught_up", run=str(run), seq=watched.seq, status=found["status"])
            )
            watched.behind = False
            watched.epoch, watched.number, watched.joining = found["epoch"], None, None
            if found["status"] in HELD and run not in HERE:
                await self._join(run, watched)
            return

    async def _join(self, run: UUID, watched: Watched) -> None:
        """Ask the process that executes the run for the text that it has in hand."""
        if not isinstance(self.channel_layer, InMemoryChannelLayer):
            watched.joining = self.loop.time() + ANSWERED
            asks = {"run": run.hex, "epoch": watched.epoch, "to": self.channel_name}
            with suppress(Exception):  # the layer is away, and with it what would come
                await self.channel_layer.group_send(RUNNERS, {"type": "live.ask", **asks})

    async def _push(self, text: str) -> None:
        self.window.count(text)
        await self.send(text_data=text)
        if self.window.mark_is_due:
            await self._mark()

    async def _mark(self) -> None:
        await self.send(text_data=frame("mark", n=self.window.mark()))

    async def _refuse(self, code: str, message: str, **about: str) -> None:
        await self._push(frame("error", code=code, message=message, **about))

    async def _not_found(self, **about: str) -> None:
        await self._refuse("not_found", "There is no such thing, or you may not see it.", **about)

    # Staying allowed

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.look_again)
            if self.window.waits_for_mark and self.loop.time() - self.window.returned_at > PATIENCE:
                await self.close(TOO_SLOW)
                return
            await self._mark()
            try:
                if not await self._check_access():
                    return
            except DatabaseError:
                continue  # nobody can be asked; the next beat may find it back
            with suppress(Exception):  # the layer is away, and with it who would hear
                await self.presence.say_again(self.user)

    async def _still_signed_in(self) -> bool:
        self.user = await access.current_user(self.scope)
        if self.user.pk == self.user_id:
            return True
        await self.close(SIGNED_OUT)
        return False

    async def _check_access(self) -> bool:
        if not await self._still_signed_in():
            return False
        lost = database_sync_to_async(access.lost)
        seen = list(self.runs), list(self.projects), list(self.presence.drafts)
        if await lost(self.user, *seen, workers=self.workers):
            await self.close(NO_ACCESS)
            return False
        return True

    def _groups(self) -> Iterator[str]:
        yield user_group(self.user_id)
        yield from map(run_group, self.runs)
        yield from map(project_group, self.projects)
        if self.workers:
            yield WORKERS
