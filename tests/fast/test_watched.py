"""What a socket makes of the numbers that runners give to what they tell; what is said of an outage."""

import logging

from runner.consumers.watched import Watched
from runner.live.outage import OneLine


def test_the_first_message_of_a_runner_goes_on_whatever_was_told_before() -> None:
    watched = Watched(seq=5, epoch=1, number=57)
    assert watched.takes(2, 1)
    assert not watched.takes(2, 2)


def test_within_an_epoch_the_next_number_goes_on() -> None:
    watched = Watched(seq=5, epoch=2, number=3)
    assert watched.takes(2, 4)
    assert not watched.takes(2, 3)
    assert not watched.takes(2, 5)
    assert not watched.takes(3, 4)


def test_nothing_but_a_first_message_goes_on_while_text_is_waited_for() -> None:
    watched = Watched(seq=5, joining=10.0)
    assert not watched.takes(1, 7)
    assert watched.takes(1, 1)
    watched.joining = None
    assert watched.takes(1, 7)


def test_events_that_tell_of_more_text_than_came_are_seen() -> None:
    watched = Watched(seq=5, epoch=1, number=3)
    assert watched.has_text(1, 3)
    assert watched.has_text(0, 0)
    assert not watched.has_text(1, 4)
    assert not watched.has_text(2, 3)
    watched.joining = 10.0
    assert not watched.has_text(1, 3)


def test_an_outage_of_redis_is_said_in_one_line_and_once() -> None:
    said = OneLine()

    def told(error: Exception, at: float) -> logging.LogRecord | None:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "Unexpected", (), None)
        record.exc_info, record.created = (type(error), error, None), at
        return record if said.filter(record) else None

    first = told(ConnectionError("refused"), 100.0)
    assert first is not None and "refused" in first.getMessage() and first.exc_info is None
    assert told(ConnectionError("refused"), 101.0) is None
    assert told(ConnectionError("refused"), 110.5) is None
    assert told(ConnectionError("refused"), 130.0) is not None
    mistake = told(ValueError("a mistake"), 131.0)
    assert mistake is not None and mistake.exc_info is not None
