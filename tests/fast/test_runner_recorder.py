"""The recorder: what runs tell is kept in order, once, and only from the runner that has the run."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest
from django.db import connections

from runner.engine.events import Event, EventType, RunStatus
from runner.engine.execute import Execution
from runner.engine.fake import FakeExecutor
from runner.engine.plan import plan
from runner.models import Artifact, Attempt, ReplayAnswer, Run, Step, Stream
from runner.models import Event as Stored
from runner.recorder import LeaseLost, RunJournal, catch_up
from runner.recorder.payload import LARGE, json_text, payload, restored, size_above
from runner.recorder.rows import REPLAY_ANSWERS, lots
from tests.events import chunk, event, failure, finished, started, succeeded
from tests.graphs import chain
from tests.runner_world import World, db, recording

pytest_plugins = ["tests.runner_fixtures"]


async def told(world: World, *events: Event) -> Run:
    """A run whose runner told these events."""
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        for each in events:
            journal.append(each)
        await recorder.close(journal)
    return await db(Run.objects.get, pk=run.pk)


async def execute(journal: RunJournal, executor: FakeExecutor, steps: int = 3) -> None:
    await Execution(
        plan(chain(steps)),
        run_id="",
        executors=(executor,),
        journal=journal,
        on_chunk=journal.chunk,
    ).run({"x": "a"})


async def test_a_run_is_recorded_with_its_steps_and_attempts(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        await execute(journal, FakeExecutor(otherwise=lambda call: {"y": call.inputs["x"] + "+"}))
        await recorder.close(journal)
    run = await db(Run.objects.get, pk=run.pk)
    assert (run.status, run.outputs, run.owner) == ("succeeded", {"y": "a+++"}, "")
    steps = await db(lambda: list(Step.objects.values_list("path", "status", "backend")))
    assert steps == [(f"s{n}", "succeeded", "native") for n in range(3)]
    assert await db(Attempt.objects.filter(run=run, status="succeeded", number=1).count) == 3


async def test_events_are_numbered_in_the_order_they_were_told(world: World) -> None:
    run = await told(world, *(started(f"s{n}") for n in range(50)))
    stored = await db(lambda: list(Stored.objects.filter(run=run).values_list("seq", "step")))
    assert stored == [(n + 1, f"s{n}") for n in range(50)]
    assert run.last_seq == 50


async def test_a_commit_returns_when_its_events_are_there(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        await journal.commit()
        assert await db(Stored.objects.count) == 1


async def test_what_nobody_waits_for_is_written_soon(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording() as recorder:
        recorder.open(state).append(started())
        async with asyncio.timeout(2):
            while not await db(Step.objects.exists):
                await asyncio.sleep(0.001)


async def test_rows_of_steps_follow_their_events_and_say_how_far_they_are(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        await journal.commit()
        assert not await db(Step.objects.exists)
        assert (await db(Run.objects.get, pk=run.pk)).last_seq == 0
        await recorder.close(journal)
    assert (await db(Step.objects.get)).status == "running"
    assert (await db(Run.objects.get, pk=run.pk)).last_seq == 1


USAGE = {"input_tokens": 3, "output_tokens": 2, "cost": 0.5}
A_STORY = (
    started("a"),
    event(EventType.STEP_ROUTED, "a", backend="native", reason="it can"),
    started("b"),
    event(EventType.LM_CALL, "a", 1, usage=USAGE),
    event(EventType.ATTEMPT_FAILED, "a", 1, failure=failure(), wait=0.5),
    event(EventType.STEP_ROUTED, "b", backend="dspy", reason="", first=2),
    event(EventType.STEP_SUCCEEDED, "a", outputs={"y": "x" * LARGE * 2}, seconds=1.0, usage=None),
    event(EventType.STEP_FAILED, "b", failure=failure("timeout"), seconds=2.0, usage=None),
    event(EventType.STEP_SKIPPED, "c", cause="b"),
    event(EventType.STEP_WAITING, "d", question="?", begun=1, begun_at=1e9, kind="approve"),
)


def rows_of(run: Run) -> list[object]:
    """Everything of a run that is made from its events."""
    own = ("last_seq", "input_tokens", "output_tokens", "cost", "lm_calls")
    steps = [field.name for field in Step._meta.fields if field.name not in ("id", "run")]
    attempts = [field.name for field in Attempt._meta.fields if field.name not in ("id", "run")]
    return [
        Run.objects.values_list(*own).get(pk=run.pk),
        list(Step.objects.filter(run=run).order_by("path").values_list(*steps)),
        list(Attempt.objects.filter(run=run).order_by("step", "number").values_list(*attempts)),
    ]


@pytest.mark.parametrize("end", range(1, len(A_STORY) + 1))
async def test_what_a_dead_runner_committed_is_caught_up_with(world: World, end: int) -> None:
    whole = await told(world, *A_STORY[:end])
    run, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        for number, each in enumerate(A_STORY[:end]):
            journal.shows = number == end // 2
            journal.append(each)
            await journal.commit()
        await db(Run.objects.filter(pk=run.pk).update, owner="next", epoch=2)
    run = await db(Run.objects.get, pk=run.pk)
    await db(catch_up, run)
    assert await db(rows_of, run) == await db(rows_of, whole)
    assert run.last_seq == end


async def test_the_event_loop_never_waits_for_the_lock_of_another(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.append(started())
        await journal.commit()
        with closing(sqlite3.connect(connections.settings["default"]["NAME"])) as other:
            other.execute("BEGIN IMMEDIATE")
            journal.append(succeeded())
            committed = asyncio.create_task(journal.commit())
            begun = time.perf_counter()
            for _ in range(20):
                await asyncio.sleep(0)
            assert time.perf_counter() - begun < 1.0
            assert not committed.done()
            other.execute("ROLLBACK")
        await committed
    assert await db(Stored.objects.count) == 2


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those that write events, one each."""
    from runner.recorder import batch

    names: list[str] = []
    monkeypatch.setattr(
        batch, "payload", lambda data: (names.append(current_thread().name), payload(data))[1]
    )
    return names


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_little_is_written_by_the_event_loop_and_much_by_the_thread(
    world: World, threads: list[str], size: int
) -> None:
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        await journal.commit()
        threads.clear()
        outputs = {"y": "x" * size}
        await journal.check(outputs)
        journal.append(succeeded(**outputs))
        await journal.commit()
    assert (threads == ["recorder"]) is (size > 10)


async def test_a_disk_that_is_slow_is_left_to_the_thread(
    world: World, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.recorder.recorder.SLOW", -1.0)
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        for _ in range(3):
            journal.append(started())
            await journal.commit()
    assert (threads[0] == "recorder", threads[1:]) == (False, ["recorder"] * 2)


@pytest.mark.parametrize(("commits", "size", "rows"), [(200, 1, 10), (20, 100_000, 10_000)])
async def test_the_log_of_sqlite_goes_over_into_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch, commits: int, size: int, rows: int
) -> None:
    monkeypatch.setattr("runner.recorder.recorder.CHECKPOINT", rows)
    options = connections.settings["default"]["OPTIONS"]
    short = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=20"
    monkeypatch.setitem(options, "init_command", short)
    _, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journal = recorder.open(state)
        for number in range(commits):
            outputs = {"y": f"{number:06}" + "x" * size}
            await journal.check(outputs)
            journal.append(succeeded(**outputs))
            await journal.commit()
        log = Path(f"{connections.settings['default']['NAME']}-wal")
        pages = log.stat().st_size // 4096
    assert pages < 150


async def test_commits_at_the_same_time_share_a_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.recorder import recorder as module

    batches: list[int] = []
    write = module.write
    monkeypatch.setattr(
        module, "write", lambda parts, to: (batches.append(len(parts)), write(parts, to))
    )
    states = [(await db(world.claimed))[1] for _ in range(20)]
    async with recording(linger=60.0) as recorder:
        journals = [recorder.open(state) for state in states]
        for journal in journals:
            journal.append(started())
        await asyncio.gather(*(journal.commit() for journal in journals))
    assert sum(batches) == 20
    assert len(batches) <= 2


async def test_a_runner_that_lost_its_run_writes_nothing_and_is_told(world: World) -> None:
    run, state = await db(world.claimed)
    _, other = await db(world.claimed)
    lost: list[str] = []
    async with recording() as recorder:
        journal = recorder.open(state, lambda error: lost.append(error.code))
        theirs = recorder.open(other)
        journal.append(started())
        await journal.commit()
        await db(Run.objects.filter(pk=run.pk).update, epoch=2)
        journal.append(succeeded())
        theirs.append(started())
        with pytest.raises(LeaseLost):
            await journal.commit()
        await theirs.commit()
        journal.append(finished())
    assert lost == ["lease_lost"]
    assert await db(Stored.objects.filter(run=run).count) == 1
    assert await db(Stored.objects.exclude(run=run).count) == 1


async def test_a_run_whose_end_takes_long_to_write_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.recorder import recorder as module

    def slowly(parts: Any, connection: Any) -> None:
        time.sleep(0.01)  # on the thread, while the recorder lingers
        write(parts, connection)

    write = module.write
    monkeypatch.setattr(module, "write", slowly)
    run, state = await db(world.claimed)
    lost: list[str] = []
    async with recording() as recorder:
        journal = recorder.open(state, lambda error: lost.append(error.code))
        journal.is_bulky = True
        for each in (started(), succeeded(), finished()):
            journal.append(each)
            await journal.commit()
        await asyncio.sleep(0.02)
        await recorder.close(journal)
    assert lost == []
    assert (await db(Run.objects.get, pk=run.pk)).status == "succeeded"


async def test_a_deleted_run_takes_nothing_along(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        await db(run.delete)
        journal.append(started())
        with pytest.raises(LeaseLost):
            await journal.commit()


async def test_retries_are_attempts(world: World) -> None:
    await told(
        world,
        started(),
        event(EventType.STEP_ROUTED, "s", backend="native", reason="it can"),
        event(EventType.ATTEMPT_FAILED, "s", 1, failure=failure(), wait=0.5),
        event(EventType.ATTEMPT_FAILED, "s", 2, failure=failure("timeout"), wait=1.0),
        succeeded(),
    )
    attempts = await db(
        lambda: list(Attempt.objects.values_list("number", "status", "failure_code", "wait"))
    )
    assert attempts == [
        (1, "failed", "server", 0.5),
        (2, "failed", "timeout", 1.0),
        (3, "succeeded", "", None),
    ]
    assert (await db(Step.objects.get)).attempt_count == 3


async def test_the_other_backend_is_another_attempt(world: World) -> None:
    await told(
        world,
        started(),
        event(EventType.STEP_ROUTED, "s", backend="native", reason=""),
        event(EventType.STEP_ROUTED, "s", backend="dspy", reason="native failed"),
        event(EventType.STEP_FAILED, "s", failure=failure(), seconds=1.0, usage=None),
    )
    attempts = await db(lambda: list(Attempt.objects.values_list("backend", "status")))
    assert attempts == [("native", "failed"), ("dspy", "failed")]
    step = await db(Step.objects.get)
    assert (step.backend, step.reason, step.failure_code) == ("dspy", "native failed", "server")


async def test_tokens_and_cost_add_up_on_the_run(world: World) -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "cost": 0.5}
    run = await told(world, *(event(EventType.LM_CALL, "s", usage=usage) for _ in range(2)))
    assert (run.input_tokens, run.output_tokens, run.cost, run.lm_calls) == (6, 4, 1.0, 2)


async def test_a_large_value_is_kept_once_beside_the_events(world: World) -> None:
    large = "x" * (LARGE + 1)
    run = await told(world, succeeded(text=large, n=1), succeeded("t", text=large))
    (artifact,) = await db(lambda: list(Artifact.objects.filter(run=run)))
    assert artifact.value == large
    stored = await db(Stored.objects.get, step="s")
    assert stored.value["outputs"] == {"text": None, "n": 1}
    assert stored.artifact_hashes == {"outputs/text": artifact.hash}


@pytest.mark.parametrize(
    "data",
    [
        {"outputs": {"a": "x" * LARGE, "b": 1}},
        {"outputs": {str(n): "x" * 1000 for n in range(100)}},
        {"messages": ["x" * LARGE], "outputs": {}},
        {"outputs": {"text": None, "$artifact": "0" * 64}},
    ],
)
def test_what_was_put_aside_comes_back(data: dict[str, Any]) -> None:
    import msgspec

    stored = payload(data)
    assert len(stored.text) <= 2 * LARGE
    values = {digest: msgspec.json.decode(text) for digest, text in stored.texts.items()}
    assert restored(msgspec.json.decode(stored.text), stored.aside, values) == data


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\ud800b", '"a?b"'),
        (2**70, str(2**70)),
        (float("nan"), "null"),
        ({1: object}, '{"1":"<class \'object\'>"}'),
        ("\x00", '"\\u0000"'),
    ],
)
def test_what_json_cannot_carry_does_not_lose_the_run(value: Any, text: str) -> None:
    assert json_text(value) == text


async def test_text_is_stored_while_it_streams_and_whole_at_the_end(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording(snapshot=0.001) as recorder:
        journal = recorder.open(state)
        journal.append(started())
        journal.chunk(chunk("Hel"))
        async with asyncio.timeout(2):
            while not await db(Stream.objects.filter(text="Hel", closed_seq=None).exists):
                await asyncio.sleep(0.001)
        journal.chunk(chunk("Hello", 0))  # what came twice counts once
        journal.append(succeeded(y="Hello"))
        await recorder.close(journal)
    stream = await db(Stream.objects.get, run=run)
    assert (stream.text, stream.closed_seq) == ("Hello", 2)


async def test_a_retracted_call_keeps_its_text_apart(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.chunk(chunk("bad", call=1))
        journal.append(event(EventType.RETRACT, "s", 1, call=1, reason="server"))
        journal.chunk(chunk("good", call=2))
        journal.append(succeeded())
        await recorder.close(journal)
    streams = await db(lambda: list(Stream.objects.values_list("call", "text", "closed_seq")))
    assert streams == [(1, "bad", 1), (2, "good", 2)]


async def test_answers_are_durable_when_put_and_forgotten_at_the_end(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        await journal.answer("key", '{"text":"a"}')
        assert (await db(ReplayAnswer.objects.get, run=run)).value == '{"text":"a"}'
        journal.append(finished(RunStatus.SUSPENDED))
        await journal.commit()
        assert await db(ReplayAnswer.objects.exists)
    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        await journal.answer("key", "{}")
        journal.append(finished())
        await recorder.close(journal)
    assert not await db(ReplayAnswer.objects.filter(run=run).exists)


async def test_a_run_that_is_left_to_another_runner_tells_nothing_more(world: World) -> None:
    _, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        journal.append(started())
        journal.release()
        journal.append(event(EventType.STEP_CANCELLED, "s", seconds=1.0))
        await recorder.close(journal)
    assert await db(lambda: list(Stored.objects.values_list("type", flat=True))) == ["step_started"]


async def test_a_failure_of_one_run_does_not_keep_others_from_being_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, state = await db(world.claimed)
    bad, broken = await db(world.claimed)
    async with recording(linger=60.0) as recorder:
        journals = [recorder.open(state), recorder.open(broken)]
        journals[0].append(started())
        journals[1].append(started())
        journals[1].rows[REPLAY_ANSWERS] = [(None, None, None)]
        results = await asyncio.gather(*(j.commit() for j in journals), return_exceptions=True)
    assert [getattr(result, "code", None) for result in results] == [None, "not_recorded"]
    assert await db(Stored.objects.filter(run=good).count) == 1
    assert await db(Stored.objects.filter(run=bad).count) == 0


async def test_an_output_that_is_too_large_fails_its_step_and_is_kept_nowhere(world: World) -> None:
    run, state = await db(world.claimed)
    big = {"s1": lambda call: {"y": ["ä" * 1000] * 600}}
    async with recording(largest=1_000_000) as recorder:
        journal = recorder.open(state)
        await execute(journal, FakeExecutor(big, otherwise=lambda call: {"y": "small"}))
        await recorder.close(journal)
    run = await db(Run.objects.get, pk=run.pk)
    step = await db(Step.objects.get, run=run, path="s1")
    assert (run.status, step.failure_code) == (RunStatus.FAILED, "value_too_large")
    assert step.failure_message.startswith("The output 'y' has 1 MB as JSON; 1 MB is the most")
    assert not await db(Artifact.objects.exists)
    assert not await db(Step.objects.filter(run=run, path="s2").exists)


@pytest.mark.parametrize(
    "value",
    [
        "\x00" * 100,
        "ä€😀" * 50,
        ["x"] * 199,
        {str(n): {"y": [n, -1.5e300]} for n in range(60)},
        None,
    ],
    ids=str,
)
async def test_the_size_of_a_value_is_that_of_its_json(value: Any) -> None:
    size = len(json_text(value).encode())
    assert await size_above(value, size) is None
    assert await size_above(value, size - 1) == size


async def test_what_is_clearly_small_is_not_written_to_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.recorder.payload.json_text", lambda value: 1 / 0)
    assert await size_above({"answer": "word " * 1000, "score": 4}, 1_000_000) is None


def test_rows_go_by_the_lot_in_few_sizes() -> None:
    sizes = {}
    for number in range(1, 400):
        cut = list(lots([(row,) for row in range(number)]))
        assert [row for lot in cut for (row,) in lot] == list(range(number))
        sizes |= {len(lot): None for lot in cut}
    assert sorted(sizes) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32]


async def test_of_many_runs_in_a_transaction_the_lost_ones_alone_are_left_out(world: World) -> None:
    claimed = [await db(world.claimed) for _ in range(70)]
    async with recording(linger=60.0) as recorder:
        journals = [recorder.open(state) for _, state in claimed]
        lost = {run.pk for run, _ in claimed[::7]}
        await db(Run.objects.filter(pk__in=lost).update, epoch=2)
        for journal in journals:
            journal.append(started())
            journal.append(finished())
        outcomes = await asyncio.gather(
            *(journal.commit() for journal in journals), return_exceptions=True
        )
    assert [isinstance(each, LeaseLost) for each in outcomes] == [n % 7 == 0 for n in range(70)]
    assert await db(Run.objects.filter(status="succeeded").count) == 60
    assert await db(Stored.objects.filter(run__in=lost).count) == 0
    assert await db(Stored.objects.count) == 120
