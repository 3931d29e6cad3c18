"""A runner that is forked from this process, which has everything loaded: a life begins within some hundred
milliseconds."""

import asyncio
import gc
import os
from typing import NoReturn

from tests.faults.world import forget_connections


def fork_runner() -> int:
    """Its process. Import it when Django has been set up."""
    forget_connections()
    pid = os.fork()
    if pid:
        return pid
    _execute()


def _execute() -> NoReturn:
    from runner.dispatcher import Runner
    from runner.management.claiming import claiming

    async def work() -> None:
        Runner().start()
        await asyncio.Event().wait()

    gc.freeze()
    try:
        with claiming():
            asyncio.run(work())
    finally:
        os._exit(1)
