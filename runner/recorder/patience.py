"""A database that is away, locked or full for a while is asked again, not given up."""

import logging
import time
from collections.abc import Callable, Iterator

from django.db import InterfaceError, OperationalError, connections

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds for which a database that is not to be had is asked again."""
AWAY = (OperationalError, InterfaceError)
_PAUSES = (0.05, 0.1, 0.2, 0.5)


def pauses() -> Iterator[float]:
    """Seconds between one try and the next."""
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


def patiently[T](job: Callable[[], T]) -> T:
    """What the job gives, done again for a minute while the database is away. Blocks its thread; nothing
    of a try that failed may last, so it is one transaction or reads only."""
    until = time.monotonic() + PATIENCE
    for tries, pause in enumerate(pauses()):
        try:
            return job()
        except AWAY as error:
            connections.close_all()  # of this thread
            if time.monotonic() > until:
                raise
            if not tries:
                logger.warning("%s", mend(error))
        time.sleep(pause)
    raise AssertionError("pauses never end")


def mend(error: Exception) -> str:
    """What is wrong with the database, and what helps."""
    text = str(error).strip() or type(error).__name__
    if "full" in text or "I/O error" in text or "No space" in text:
        return (
            f"The database can't be written ({text}). Free some space on its disk; what goes on waits "
            f"for a minute, and goes on after that when it is claimed anew."
        )
    return f"The database is not to be had ({text}). It is asked again."
