"""The recorder when something goes wrong: what can't be stored, lost runs, a database that is away."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection

from runner.dispatcher.reading import Reader
from runner.engine.errors import Failure
from runner.engine.events import Event, EventType
from runner.live import HERE
from runner.lm.cache import CacheKey
from runner.models import Run, Step
from runner.recorder import DatabaseThread, LeaseLost, NotRecorded, answers, batch, catch_up
from runner.recorder.payload import LARGE, payload
from tests.events import chunk, event, failure, finished, started, succeeded
from tests.runner_world import World, db, recording

pytest_plugins = ["tests.runner_fixtures"]


async def seqs(run: Run) -> list[int]:
    return await db(lambda: list(run.events.order_by("seq").values_list("seq", flat=True)))


async def test_a_message_that_no_database_can_carry_is_kept_without_its_worst(world: World) -> None:
    run, state = await db(world.claimed)
    bad = failure(message="file \udcff\x00.txt")
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.append(started())
        journal.append(event(EventType.STEP_ROUTED, "s", backend="native", reason=""))
        journal.append(event(EventType.ATTEMPT_FAILED, "s", 1, failure=bad, wait=0.0))
        journal.append(event(EventType.STEP_FAILED, "s", failure=bad, seconds=1.0, usage=None))
        journal.append(finished("failed", failure=bad, outputs={"y": "a\x00"}))
        await recorder.close(journal)
    assert (await db(Step.objects.get)).failure_message == "file ?\ufffd.txt"
    run = await db(Run.objects.get, pk=run.pk)
    assert (run.status, run.failure_message) == ("failed", "file ?\ufffd.txt")
    assert run.outputs == {"y": "a\ufffd"}


async def test_what_can_not_be_made_into_rows_fails_its_own_run_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(data: Any) -> Any:
        if data.get("outputs"):
            raise RecursionError("too deep")
        return payload(data)

    monkeypatch.setattr(batch, "payload", made)
    logging.getLogger("runner.recorder.batch").disabled = True
    (run, state), (bad, other) = await db(world.claimed), await db(world.claimed)
    async with recording(linger=60.0) as recorder, asyncio.timeout(5):
        journals = [recorder.open(state), recorder.open(other)]
        journals[0].append(started())
        journals[1].append(succeeded(y=1))
        results = await asyncio.gather(*(j.commit() for j in journals), return_exceptions=True)
        journals[0].append(succeeded())
        await journals[0].commit()
    assert [type(result) for result in results] == [type(None), NotRecorded]
    assert (await seqs(run), await seqs(bad)) == ([1, 2], [])


@pytest.mark.parametrize("together", [False, True])
async def test_a_number_that_no_column_holds_fails_its_own_run_alone(
    world: World, together: bool
) -> None:
    (run, state), (bad, other) = await db(world.claimed), await db(world.claimed)
    usage = {"input_tokens": 10**30, "output_tokens": 1, "cost": 0.0, "lm_calls": 1}
    async with recording(linger=60.0) as recorder, asyncio.timeout(5):
        fine, broken = recorder.open(state), recorder.open(other)
        broken.append(event(EventType.STEP_SUCCEEDED, "s", outputs={}, seconds=1.0, usage=usage))
        broken.shows = True
        fine.append(started())
        if together:
            results = await asyncio.gather(fine.commit(), broken.commit(), return_exceptions=True)
        else:
            results = [
                await fine.commit(),
                *await asyncio.gather(broken.commit(), return_exceptions=True),
            ]
    assert [type(result) for result in results] == [type(None), NotRecorded]
    assert (await seqs(run), await seqs(bad)) == ([1], [])


async def test_of_a_run_that_was_not_recorded_nothing_later_is_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.is_bulky = True  # so that it is written by the thread

        def refuse(*_: Any) -> None:
            recorder._loop.call_soon_threadsafe(journal.append, succeeded())  # meanwhile
            raise ValueError("refused")

        with monkeypatch.context() as patch:
            patch.setattr(batch, "_write", refuse)
            journal.append(started())
            with pytest.raises(NotRecorded):
                await journal.commit()
        await recorder.close(journal)
    assert await seqs(run) == []


async def test_a_database_that_is_away_is_waited_for_once_not_for_each_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def away(parts: Any, _: Any) -> None:
        tries.append(len(parts))
        raise OperationalError("gone")

    monkeypatch.setattr(batch, "_write_on_thread", away)
    monkeypatch.setattr("runner.recorder.recorder.write_here", lambda *_: False)
    monkeypatch.setattr("runner.recorder.patience.PATIENCE", -1.0)
    states = [(await db(world.claimed))[1] for _ in range(3)]
    async with recording(linger=60.0) as recorder:
        journals = [recorder.open(state) for state in states]
        for journal in journals:
            journal.append(started())
        results = await asyncio.gather(*(j.commit() for j in journals), return_exceptions=True)
    assert {type(result) for result in results} == {NotRecorded}
    assert tries == [3]


async def test_a_run_that_came_back_is_not_told_of_the_loss_before(world: World) -> None:
    run, state = await db(world.claimed)
    lost: list[str] = []
    async with recording() as recorder:
        before = recorder.open(state, lambda error: lost.append("before"))
        await db(Run.objects.filter(pk=run.pk).update, epoch=3)
        state = replace(state, epoch=3)
        now = recorder.open(state, lambda error: lost.append("now"))
        before.append(started())
        with pytest.raises(LeaseLost):
            await before.commit()
        now.append(started())
        await now.commit()
        await recorder.close(before)
        assert recorder.journal(str(run.pk)) is now
    assert lost == ["before"]


async def test_a_run_that_was_released_does_not_go_on_as_if_it_were_recorded(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.append(started())
        journal.release()
        journal.append(succeeded())
        with pytest.raises(LeaseLost):
            await journal.commit()
        await recorder.close(journal)
    assert await seqs(run) == [1]


async def test_a_journal_whose_closing_is_cancelled_is_forgotten(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.append(started())
        closing = asyncio.create_task(recorder.close(journal))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert recorder.journal(str(run.pk)) is None
        assert run.pk not in HERE


async def test_a_run_that_another_runner_has_by_now_is_not_read(world: World) -> None:
    run, _ = await db(world.claimed, owner="another", epoch=2)
    thread = DatabaseThread("reading")
    thread.start()
    try:
        with pytest.raises(Run.DoesNotExist):
            await Reader(thread, "me").read(run.pk)
        assert (await Reader(thread, "another").read(run.pk))[0].epoch == 2
    finally:
        await thread.aclose()


async def test_a_run_that_changed_hands_is_not_caught_up_with_by_the_one_before(
    world: World,
) -> None:
    run, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        await journal.commit()
        await db(Run.objects.filter(pk=run.pk).update, owner="next", epoch=2)
    await db(catch_up, run)  # which knows nothing of that
    assert run.last_seq == 0
    assert not await db(Step.objects.exists)


async def test_a_failure_that_was_put_aside_is_caught_up_with(world: World) -> None:
    run, state = await db(world.claimed)
    large = Failure(code="internal", message="No.", traceback="x" * LARGE)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        journal.append(event(EventType.STEP_FAILED, "s", failure=large, seconds=1.0, usage=None))
        await journal.commit()
        await db(Run.objects.filter(pk=run.pk).update, epoch=2)
    run = await db(Run.objects.get, pk=run.pk)
    await db(catch_up, run)
    step = await db(Step.objects.get)
    assert (step.status, step.failure_code, step.failure_message) == ("failed", "internal", "No.")


HUGE = "x" * 400_000


@pytest.mark.parametrize(
    "carrier",
    [
        event(EventType.STEP_STARTED, "s/tool[1]", kind="tool", inputs={"text": HUGE}),
        event(EventType.STEP_FAILED, "s", failure=failure(message=HUGE), seconds=1.0, usage=None),
        event(EventType.ATTEMPT_FAILED, "s", 1, failure=failure(message=HUGE), wait=1.0),
        event(EventType.TRACE, "s", 1, name="n", value={"inner": [HUGE.encode()]}),
        finished(errors=[{"step": "s", "code": "c", "message": HUGE}]),
    ],
    ids=lambda carrier: carrier.type,
)
async def test_what_is_large_is_written_by_the_thread(world: World, carrier: Event) -> None:
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        assert not journal.is_bulky
        journal.append(carrier)
        assert journal.is_bulky


async def test_a_long_text_that_streams_is_written_by_the_thread(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.chunk(chunk(HUGE))
        journal.snapshot()
        assert journal.is_bulky


async def test_a_locked_database_does_not_fail_who_keeps_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LockedOnce:
        tries = 0

        def write(self, cursor: Any, rows: Any) -> None:
            self.tries += 1
            if self.tries == 1:
                raise connection.Database.OperationalError("database is locked")

    locked = LockedOnce()
    monkeypatch.setattr(answers, "CACHED_ANSWERS", locked)
    thread = DatabaseThread("cache")
    thread.start()
    key = CacheKey(profile="p", revision=1, request="r", rollout_id=None, candidate=0)
    await answers.DatabaseResponseCache(world.project.pk, thread).put(key, b"{}")
    await thread.aclose()
    assert locked.tries == 2


async def test_a_server_locks_runs_in_the_order_in_which_their_leases_are_renewed(
    world: World,
) -> None:
    class Server:
        in_lots = False
        asked: list[str] = []

        def returned(self, sql: str, row: Any) -> list[Any]:
            assert sql.endswith("FOR SHARE")
            self.asked.append(row[0])
            return [row[:1]]

        def executemany(self, sql: str, rows: Any) -> None:
            pass

    states = [(await db(world.claimed))[1] for _ in range(8)]
    async with recording(linger=60.0) as recorder:
        journals = [recorder.open(state) for state in reversed(states)]
        for journal in journals:
            journal.append(started())
        server: Any = Server()
        batch._write(batch.filled([batch.cut(journal) for journal in journals]), server)
    assert server.asked == sorted(state.id.hex for state in states)
