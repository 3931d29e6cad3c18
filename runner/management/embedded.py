"""Daphne and the runner on one event loop, or Daphne alone.

Daphne is a Twisted server that runs on asyncio's loop and knows no ASGI lifespan: the runner is started
by its `ready_callable`, and stopped by a trigger that Twisted waits for before it ends the loop.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from runner.dispatcher import Runner

logger = logging.getLogger(__name__)

STOPPING = 10.0
"""Seconds for the runs, workers and the embedded model to end."""
MAX_MESSAGE = 64 * 1024


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on this port, or without one on the first free one from 8000 on; OSError if taken."""
    for candidate in (port,) if port is not None else range(8000, 8020):
        try:
            return socket.create_server((host, candidate), backlog=128)
        except OSError:
            if candidate in (port, 8019):
                raise
    raise AssertionError("a port was given, or one was free")


def serve(
    listening: socket.socket,
    on_ready: Callable[[], None],
    *,
    warm_up: bool = True,
    runner: bool = True,
) -> None:
    """Serve until SIGINT or SIGTERM. Runs that go on are left to be resumed. Without `runner`, another
    process executes them."""
    # Daphne installs Twisted's reactor when it is imported, with a loop of its own.
    from daphne.server import Server
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    embedded = _Embedded(on_ready, give_up=lambda: server.stop(), warm_up=warm_up, runner=runner)
    server = Server(
        application=import_string(settings.ASGI_APPLICATION),
        endpoints=[f"fd:fileno={listening.fileno()}"],
        ready_callable=embedded.begin,
        websocket_max_message_size=MAX_MESSAGE,
        websocket_max_frame_size=MAX_MESSAGE,
        server_name="DSPex",
    )
    # Zope's interface has no `self`, which a type checker takes for a missing argument.
    cast(Any, reactor).addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(embedded.end()))
    )
    server.run()


class _Embedded:
    """The runner, from the server's start to its end."""

    def __init__(
        self,
        on_ready: Callable[[], None],
        give_up: Callable[[], None],
        *,
        warm_up: bool,
        runner: bool,
    ) -> None:
        self._runner = Runner() if runner else None
        self._on_ready, self._give_up, self._warm_up = on_ready, give_up, warm_up
        self._beginning: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Before the loop runs, so only what may then be done."""
        self._beginning = asyncio.get_event_loop().create_task(self._begin())

    async def _begin(self) -> None:
        try:
            if self._runner is not None:
                self._runner.start()
            self._on_ready()
        except Exception:
            logger.exception("The runner could not start")
            self._give_up()
            return
        if self._warm_up and self._runner is not None:
            await self._runner.warm_up()

    async def end(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.wait((self._beginning,))
        if self._runner is not None:
            await stopped(self._runner)


async def stopped(runner: Runner) -> None:
    """Stop it, within the time that there is for that."""
    try:
        await asyncio.wait_for(runner.stop(), STOPPING)
    except TimeoutError:
        logger.error("Not everything ended within %g s.", STOPPING)
