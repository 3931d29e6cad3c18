"""The dispatcher: claims queued runs and executes them on this event loop.

It is woken when a run is queued or stopped in this process, and looks by itself, often enough that a run
is stopped within a second, for what other processes did. Its leases are renewed at a third of their time; a
run whose runner died is claimed by the next one when the lease has passed, and goes on from what was
recorded.
"""

import asyncio
import logging
import math
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.utils import timezone

from pipelines.graph.graph import GraphError
from pipelines.models.errors import CredentialUnreadable, HostNotApproved, PipelinesError
from runner.dispatcher import claims
from runner.dispatcher.assignments import Assignment
from runner.dispatcher.reading import Reader
from runner.engine.errors import Failure, RunnerError, failure_of
from runner.engine.events import RunStatus
from runner.engine.waits import Answer, RunControl
from runner.host import Host
from runner.live import project_group
from runner.live.publisher import Publisher
from runner.models import Run
from runner.recorder import DatabaseStepStore, DatabaseThread, Recorder, RunJournal
from runner.recorder.patience import mend
from runner.services import run_answered, run_wanted, step_stopped

logger = logging.getLogger(__name__)

CLAIMED_AT_ONCE = 200
"""Runs in one transaction; the first of them begin while the next are claimed."""

_MENDED_BY_A_PERSON = (HostNotApproved, CredentialUnreadable)


class HostSource(Protocol):
    """Gives the host that a run is executed with: `Hosts`, and the tests' own."""

    def host(self, assignment: Assignment) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherSettings:
    """`concurrency` runs go on at a time; times are seconds. `owner` is this runner's own name."""

    concurrency: int = 64
    lease: float = 30.0
    poll: float = 0.5
    owner: str = field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    )


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[None] = field(init=False)
    control: RunControl = field(default_factory=RunControl)
    journal: RunJournal | None = None
    cancelling: bool = False


class Dispatcher:
    """Executes runs until it is stopped."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        recorder: Recorder,
        thread: DatabaseThread,
        hosts: HostSource,
        settings: DispatcherSettings | None = None,
    ) -> None:
        self.settings = settings or DispatcherSettings()
        self._publisher = publisher
        self._recorder = recorder
        self._thread = thread
        self._reader = Reader(thread, self.settings.owner)
        self._hosts = hosts
        self._running: dict[UUID, _Running] = {}
        self._awake = asyncio.Event()
        self._renewed = -math.inf
        self._loops: list[asyncio.Task[None]] = []

    @property
    def running(self) -> int:
        """How many runs go on."""
        return len(self._running)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        run_wanted.connect(self._heard)
        run_answered.connect(self._heard_answer)
        step_stopped.connect(self._heard_stop)
        self._loops = [
            self._loop.create_task(self._repeat(self._claim)),
            self._loop.create_task(self._repeat(self._tend, wakes=False)),
        ]

    async def stop(self) -> None:
        """Take no more runs, and leave those that go on to whoever starts next."""
        run_wanted.disconnect(self._heard)
        run_answered.disconnect(self._heard_answer)
        step_stopped.disconnect(self._heard_stop)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        left = dict(self._running)
        for running in left.values():
            if running.journal is not None:
                running.journal.release()
            running.task.cancel()
        await asyncio.gather(*(r.task for r in left.values()), return_exceptions=True)
        with suppress(DatabaseError):
            await self._thread.do(self._release, list(left))

    # What keeps it going

    def _heard(self, *, run_id: UUID, status: RunStatus, **_: Any) -> None:
        """From any thread."""
        act = self._awake.set if status is RunStatus.QUEUED else lambda: self._cancel(run_id)
        self._loop.call_soon_threadsafe(act)

    def _heard_answer(self, *, run_id: UUID, path: str, answer: Answer, **_: Any) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._answer, run_id, {path: answer})

    def _heard_stop(self, *, run_id: UUID, path: str, by: str, **_: Any) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._stop_steps, run_id, {path: by})

    def _stop_steps(self, run_id: UUID, stops: Mapping[str, str]) -> None:
        if (running := self._running.get(run_id)) is not None:
            for path, by in stops.items():
                running.control.stops.stop(path, by)

    def _answer(self, run_id: UUID, answers: Mapping[str, Answer]) -> None:
        if (running := self._running.get(run_id)) is not None:
            for path, answer in answers.items():
                running.control.answer(path, answer)

    async def _repeat(self, work: Callable[[], Awaitable[None]], *, wakes: bool = True) -> None:
        away = False
        while True:
            if wakes:
                self._awake.clear()
            try:
                await work()
                away = False
            except DatabaseError as error:
                if not away:  # once is enough
                    logger.warning("%s", mend(error))
                away = True
            except Exception:
                logger.exception("The dispatcher made a mistake; it goes on")
            if wakes:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), self.settings.poll)
            else:
                await asyncio.sleep(self.settings.poll)

    async def _claim(self) -> None:
        while (free := self.settings.concurrency - len(self._running)) > 0:
            limit = min(free, CLAIMED_AT_ONCE)
            lapsed = self._loop.time() - self._renewed > self.settings.lease
            mine = list(self._running) if lapsed else []  # each length is a statement to prepare
            claimed = await self._thread.do(self._claim_in_database, limit, mine)
            for run_id in claimed:
                running = self._running[run_id] = _Running()
                running.task = self._loop.create_task(self._execute(run_id, running))
            if len(claimed) < limit:
                return

    async def _tend(self) -> None:
        """Hold on to what we have; stop what was stopped elsewhere, leave what was lost."""
        if not self._running:
            return
        known = dict(self._running)
        renews = self._loop.time() - self._renewed >= self.settings.lease / 3
        found = await self._thread.do(self._hold, list(known), renews)
        if renews:
            self._renewed = self._loop.time()
        held = {holding.id: holding for holding in found}
        for run_id, running in known.items():
            holding = held.get(run_id)
            if running.journal is None:
                continue
            if holding is None or holding.epoch != running.journal.state.epoch:
                self._abandon(running)
            elif holding.status is RunStatus.CANCELLING:
                self._cancel(run_id)
            else:
                self._answer(run_id, holding.answers)  # which may have been given elsewhere
                self._stop_steps(run_id, holding.stops)

    def _cancel(self, run_id: UUID) -> None:
        running = self._running.get(run_id)
        if running is not None and not running.cancelling:
            running.cancelling = True
            if running.journal is not None:
                running.task.cancel()

    def _abandon(self, running: _Running) -> None:
        """Another runner has it, or it was deleted, or has just ended."""
        if running.journal is not None and not running.journal.finished:
            running.journal.release()
            running.task.cancel()

    # One run

    async def _execute(self, run_id: UUID, running: _Running) -> None:
        try:
            state, assignment, stopped = await self._reader.read(run_id)
            running.cancelling |= stopped
            journal = self._recorder.open(state, lambda error: self._abandon(running))
            running.journal = journal
            try:
                self._publisher.tell(
                    project_group(state.project_id), "live.run", summary=state.summary
                )
                await self._perform(assignment, journal, running)
            finally:
                await self._recorder.close(journal)
            if running.control.parked:
                heard = running.control.answers.keys(), running.control.stops.asked.keys()
                await self._thread.do(claims.wake_if_told, run_id, *heard)
        except Run.DoesNotExist:
            pass  # it was deleted with its project
        except Exception:
            logger.exception("Run %s could not be executed; it is tried again", run_id)
        finally:
            if self._running.get(run_id) is running:  # we may have lost it and got it back
                del self._running[run_id]
            self._awake.set()

    async def _perform(
        self, assignment: Assignment | Exception, journal: RunJournal, running: _Running
    ) -> None:
        """Bring a run to its end, and see that the end is recorded."""
        try:
            if running.cancelling:
                await journal.finish(RunStatus.CANCELLED)
            elif isinstance(assignment, Exception):
                raise assignment
            else:
                await self._run(assignment, journal, running.control)
        except asyncio.CancelledError:
            if not running.cancelling:
                raise
            with suppress(RunnerError):  # it may have been lost as well
                await journal.finish(RunStatus.CANCELLED)  # unless the engine has said so
        except Exception as error:
            suspended = isinstance(error, _MENDED_BY_A_PERSON)
            status = RunStatus.SUSPENDED if suspended else RunStatus.FAILED
            with suppress(RunnerError):
                await journal.finish(status, _failure(error))

    async def _run(self, assignment: Assignment, journal: RunJournal, control: RunControl) -> None:
        for path, answer in assignment.answers.items():
            control.answer(path, answer)
        for path, by in assignment.stops.items():
            control.stops.stop(path, by)
        async with self._hosts.host(assignment) as host:
            chosen: Host = host
            await chosen.run(
                assignment.graph,
                assignment.inputs,
                run_id=str(journal.state.id),
                journal=journal,
                recorded=assignment.recorded,
                earlier=assignment.earlier,
                control=control,
                budgets=assignment.budgets,
                tools=assignment.tools,
                run_code=assignment.run_code,
                partial=assignment.partial,
                pipeline=str(assignment.pipeline_id),
                steps=DatabaseStepStore(assignment.pipeline_id, self._thread),
                timeout=assignment.timeout,
                on_chunk=journal.chunk,
            )

    # On the database thread

    def _claim_in_database(self, limit: int, mine: list[UUID]) -> list[UUID]:
        lease = timedelta(seconds=self.settings.lease)
        owner = self.settings.owner
        now = timezone.now()
        return claims.claim(owner=owner, limit=limit, now=now, lease=lease, besides=mine)

    def _hold(self, runs: list[UUID], renews: bool) -> list[claims.Holding]:
        if renews:
            until = timezone.now() + timedelta(seconds=self.settings.lease)
            claims.renew(owner=self.settings.owner, runs=runs, until=until)
        return claims.held(self.settings.owner)

    def _release(self, runs: list[UUID]) -> None:
        claims.release(owner=self.settings.owner, runs=runs, now=timezone.now())


def _failure(error: Exception) -> Failure:
    if isinstance(error, PipelinesError | GraphError | PermissionDenied):
        return Failure(code=getattr(error, "code", "failed"), message=str(error))
    return failure_of(error)
