"""What is logged of a Redis that is away: a line for each outage, where its client writes a page a second."""

import logging

SAME = 10.0
"""Seconds until another failure belongs to another outage."""


class OneLine(logging.Filter):
    """For the logger of the channel layer that goes by Redis."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -SAME

    def filter(self, record: logging.LogRecord) -> bool:
        from redis.exceptions import RedisError

        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, RedisError | OSError):
            return True
        same, self._last = record.created - self._last < SAME, record.created
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "Redis is not to be had (%s). Pages look into the database meanwhile."
        record.args = (error,)
        record.exc_info = record.exc_text = None
        return not same
