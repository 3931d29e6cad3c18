"""When a worker counts as gone."""

from runner.bridge.heartbeat import Heartbeat, HeartbeatSettings

SETTINGS = HeartbeatSettings(interval=2, timeout=10, missed=3)


def after_pings(*times: float) -> Heartbeat:
    heartbeat = Heartbeat()
    for at in times:
        heartbeat.ping(at)
    return heartbeat


def test_worker_is_lost_when_it_has_missed_three_pings() -> None:
    heartbeat = after_pings(0, 2, 4, 6)
    assert not heartbeat.is_lost(14, SETTINGS)
    assert heartbeat.is_lost(14.1, SETTINGS)


def test_an_answer_counts_for_every_ping_before_it() -> None:
    heartbeat = after_pings(0, 2, 4, 6)
    heartbeat.pong(3)
    assert not heartbeat.is_lost(1000, SETTINGS)


def test_answers_that_nobody_waits_for_do_no_harm() -> None:
    heartbeat = after_pings(0)
    heartbeat.pong(99)
    heartbeat.pong(1)
    assert not heartbeat.is_lost(1000, SETTINGS)
