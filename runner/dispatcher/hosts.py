"""Hosts: one for the names of each project, with the costly parts shared by all.

So a name in a graph can't lead into another project, answers are cached within a project, and a key is
masked wherever calls could carry it; but there is one pool of workers and one embedded model.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import msgspec

from runner.dispatcher.assignments import Assignment, Names
from runner.dispatcher.corpus import ProjectCorpus
from runner.host import Host, HostSettings, Shared
from runner.lm.adapters.local import LocalAdapter
from runner.lm.call_record import CallRecord
from runner.lm.local_model import LOCAL_PROFILE
from runner.recorder import (
    DatabaseFigures,
    DatabaseReplayLog,
    DatabaseResponseCache,
    DatabaseThread,
    Recorder,
)

KEPT = 32
"""Hosts that nobody uses, kept for the next run of their project."""


class Hosts:
    """The hosts of a process, by project and by what the names mean there."""

    def __init__(
        self,
        settings: HostSettings,
        recorder: Recorder,
        thread: DatabaseThread,
        *,
        tell: Sequence[Callable[[CallRecord], None]] = (),
    ) -> None:
        self.settings = settings
        self.figures = DatabaseFigures(thread)
        self.shared = Shared(settings, tell=tell, figures=self.figures)
        self._thread = thread
        self._replay_log = DatabaseReplayLog(recorder)
        self._hosts: OrderedDict[bytes, Host] = OrderedDict()
        self._users: dict[bytes, int] = {}

    @asynccontextmanager
    async def host(self, assignment: Assignment) -> AsyncIterator[Host]:
        """The host that a run is executed with."""
        key = _key(assignment.project_id, assignment.names)
        if key not in self._hosts:
            self._hosts[key] = self._make(assignment.project_id, assignment.names)
        self._hosts.move_to_end(key)
        self._users[key] = self._users.get(key, 0) + 1
        try:
            yield self._hosts[key]
        finally:
            self._users[key] -= 1
            await self._drop_unused()

    async def aclose(self) -> None:
        """End what is under way, the workers and the embedded model."""
        for host in self._hosts.values():
            await host.aclose()
        await self.shared.aclose()

    async def start_local_model(self) -> None:
        adapter = self.shared.adapters.named(LOCAL_PROFILE.adapter)
        assert isinstance(adapter, LocalAdapter)
        await asyncio.to_thread(adapter.model(LOCAL_PROFILE).endpoint)

    def _make(self, project_id: UUID, names: Names) -> Host:
        folder = self.settings.cache_directory / "collections"
        return Host(
            replace(
                self.settings,
                profiles=names.profiles,
                default_profile=names.default_profile,
                sites=names.sites,
                router=names.router,
            ),
            corpus=ProjectCorpus(folder, names.collections),
            replay_log=self._replay_log,
            response_cache=DatabaseResponseCache(project_id, self._thread),
            shared=self.shared,
            scope=project_id.hex,
        )

    async def _drop_unused(self) -> None:
        unused = [key for key in self._hosts if not self._users[key]]
        for key in unused[: max(0, len(unused) - KEPT)]:
            del self._users[key]
            await self._hosts.pop(key).aclose()


def _key(project_id: UUID, names: Names) -> bytes:
    profiles = sorted(names.profiles.items())
    collections = sorted((name, pk.hex) for name, pk in names.collections.items())
    meant = [profiles, names.default_profile, collections, names.sites, names.router]
    return msgspec.json.encode([project_id.hex, *meant], order="sorted")
