"""Watching: whoever joins, reconnects, falls behind or polls ends up with the same run."""

import asyncio
import json
import random
from typing import Any

import pytest
from channels.layers import get_channel_layer

from runner.consumers import window
from runner.engine.errors import Failure
from runner.engine.events import Chunk, Event, EventType, RunStatus
from runner.live import Publisher, publisher, run_group, since
from runner.live.reading import as_json
from runner.recorder import Recorder, RunJournal
from tests.runner_sockets import connected, decoded
from tests.runner_world import World, db, recording

pytest_plugins = ["tests.runner_fixtures"]

SENTENCE = "What happens is visible while it happens. "


def event(type_: EventType, step: str = "", **data: Any) -> Event:
    return Event(run_id="", seq=0, type=type_, at=1e9, step=step, attempt=1, data=data)


class Story:
    """A run that tells a little with every call of `go_on`."""

    def __init__(self, recorder: Recorder, journal: RunJournal, steps: int = 4) -> None:
        self.recorder, self.journal = recorder, journal
        self.parts = iter(list(self._parts(steps)))
        self.texts = {f"s{n}": SENTENCE * 3 for n in range(steps)}

    def _parts(self, steps: int) -> Any:
        yield event(EventType.RUN_STARTED, inputs={})
        for n in range(steps):
            yield event(EventType.STEP_STARTED, f"s{n}", kind="predict", inputs={})
            for at in range(0, 3 * len(SENTENCE), 7):
                yield Chunk(
                    run_id="",
                    step=f"s{n}",
                    attempt=1,
                    call=1,
                    field="y",
                    offset=at,
                    text=(SENTENCE * 3)[at : at + 7],
                )
            yield event(
                EventType.STEP_SUCCEEDED, f"s{n}", outputs={"y": "…"}, seconds=1, usage=None
            )
        yield event(
            EventType.RUN_FINISHED,
            status=RunStatus.SUCCEEDED,
            seconds=1.0,
            **{"outputs": {}, "errors": [], "failure": None, "failed_step": "", "usage": {}},
        )

    def go_on(self) -> bool:
        part = next(self.parts, None)
        if isinstance(part, Chunk):
            self.journal.chunk(part)
        elif part is not None:
            self.journal.append(part)
        return part is not None

    async def to_the_end(self, pause: float = 0.0) -> None:
        while self.go_on():
            await asyncio.sleep(pause)
        await self.recorder.close(self.journal)


async def test_a_watcher_gets_every_event_and_every_character(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder, connected(world, "viewer") as socket:
        story = Story(recorder, recorder.open(state))
        watcher = await socket.watch(run)
        await watcher.until("caught_up")
        await story.to_the_end()
        await watcher.until("run_finished")
    assert [each["seq"] for each in watcher.events] == list(range(1, 11))
    assert {key[1]: text for key, text in watcher.texts.items()} == story.texts
    assert watcher.gaps == 0


@pytest.mark.parametrize("seed", range(6))
async def test_reconnecting_at_any_point_misses_nothing(world: World, seed: int) -> None:
    chance = random.Random(seed)
    run, state = await db(world.claimed)
    events: list[dict[str, Any]] = []
    texts: dict[Any, str] = {}
    async with recording(snapshot=0.005) as recorder:
        story = Story(recorder, recorder.open(state))
        telling = asyncio.create_task(story.to_the_end(pause=0.0005))
        while not events or events[-1]["type"] != "run_finished":
            async with connected(world, "owner") as socket:
                watcher = await socket.watch(run, events[-1]["seq"] if events else 0)
                watcher.texts = texts
                for _ in range(chance.randrange(1, 8)):
                    watcher.take(await socket.hear("events", "streams", "chunks", "caught_up"))
                    if watcher.events and watcher.events[-1]["type"] == "run_finished":
                        break
                assert watcher.gaps == 0
            events += watcher.events
        await telling
    assert [each["seq"] for each in events] == list(range(1, 11))
    assert {key[1]: text for key, text in texts.items()} == story.texts


@pytest.mark.parametrize("seed", range(3))
async def test_polling_gives_what_the_socket_gives(world: World, seed: int) -> None:
    chance = random.Random(seed)
    run, state = await db(world.claimed)
    polled: list[dict[str, Any]] = []
    async with recording(snapshot=0.005) as recorder, connected(world, "owner") as socket:
        story = Story(recorder, recorder.open(state))
        watcher = await socket.watch(run)
        telling = asyncio.create_task(story.to_the_end(pause=0.0005))
        status = "running"
        while status != "succeeded":
            found = await db(since, run, polled[-1]["seq"] if polled else 0)
            polled += decoded(found["events"])
            status = found["status"]
            for stream in found["streams"]:
                assert story.texts[stream["step"]].startswith(stream["text"])
            await asyncio.sleep(chance.random() * 0.01)
        await watcher.until("run_finished")
        await telling
    assert polled == watcher.events
    assert polled[-1]["type"] == "run_finished"


async def test_who_is_told_of_a_step_finds_its_row(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording(linger=60.0) as recorder, connected(world, "owner") as socket:
        watcher = await socket.watch(run)
        await watcher.until("caught_up")
        journal = recorder.open(state)
        journal.append(event(EventType.STEP_STARTED, "s", kind="predict", inputs={}))
        await journal.commit()
        assert (await db(since, run, 0))["events"] == []
        assert await socket.receive_nothing(timeout=0.05)
        await recorder.close(journal)  # now the rows are there
        await watcher.until("step_started")
        assert await db(run.steps.filter(path="s").exists)
        assert len((await db(since, run, 0))["events"]) == 1


async def test_a_message_that_the_layer_dropped_is_read_from_the_database(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording() as recorder, connected(world, "owner") as socket:
        watcher = await socket.watch(run)
        await watcher.until("caught_up")
        journal = recorder.open(state)
        group = recorder.publisher.tell
        recorder.publisher.tell = lambda *_, **__: None  # type: ignore[method-assign]
        journal.append(event(EventType.RUN_STARTED, inputs={}))
        await journal.commit()
        recorder.publisher.tell = group  # type: ignore[method-assign]
        journal.append(event(EventType.STEP_STARTED, "s", kind="predict", inputs={}))
        await recorder.close(journal)
        await watcher.until("step_started")
    assert [each["type"] for each in watcher.events] == ["run_started", "step_started"]


async def test_a_slow_reader_is_not_waited_for_and_catches_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "LIMIT", 3_000)
    monkeypatch.setattr(window, "MARK_EVERY", 500)
    run, state = await db(world.claimed)
    async with recording() as recorder, connected(world, "owner") as socket:
        story = Story(recorder, recorder.open(state), steps=8)
        watcher = await socket.watch(run)
        await watcher.until("caught_up")
        await story.to_the_end()  # nothing is read meanwhile
        await asyncio.sleep(0.02)
        on_the_way = socket.output_queue.qsize()
        await watcher.until("run_finished")
        await watcher.until_texts(story.texts)
    assert on_the_way < 40
    assert [each["seq"] for each in watcher.events] == list(range(1, 19))


async def test_who_joins_in_the_middle_sees_the_text_to_the_last_character(world: World) -> None:
    run, state = await db(world.claimed)
    async with recording(snapshot=60.0) as recorder:
        story = Story(recorder, recorder.open(state))
        for _ in range(6):
            story.go_on()
        found = await db(since, run, 0)
        assert [stream["text"] for stream in found["streams"]] == [(SENTENCE * 3)[:28]]
        await story.to_the_end()


async def test_the_text_of_a_run_elsewhere_is_the_last_snapshot(world: World) -> None:
    from runner.live import HERE

    run, state = await db(world.claimed)
    async with recording() as recorder:
        journal = recorder.open(state)
        story = Story(recorder, journal)
        for _ in range(6):
            story.go_on()
        journal.snapshot()
        await journal.commit()
        HERE.pop(run.pk)
        found = await db(since, run, 0)
        assert [(s["text"], s["open"]) for s in found["streams"]] == [((SENTENCE * 3)[:28], True)]


def test_long_runs_are_read_in_pages(world: World) -> None:
    run, _ = world.claimed(last_seq=5)
    for seq in range(1, 6):
        run.events.create(seq=seq, epoch=1, type="trace", at=0.0, data=f'{{"n":{seq}}}')
    first = since(run, 0, limit=3)
    assert ([e["seq"] for e in decoded(first["events"])], first["more"]) == ([1, 2, 3], True)
    rest = since(run, first["seq"], limit=3)
    assert ([e["data"] for e in decoded(rest["events"])], rest["more"]) == (
        [{"n": 4}, {"n": 5}],
        False,
    )
    assert since(run, rest["seq"])["events"] == []
    assert json.loads(as_json(rest))["events"] == decoded(rest["events"])


def test_tracebacks_and_prompts_stay_out_of_the_feed(world: World) -> None:
    run, _ = world.claimed(last_seq=2)
    failure = Failure(code="internal", message="No.", traceback="File '/secret'")
    data = {"failure": failure, "seconds": 1.0, "usage": None}
    import msgspec

    text = msgspec.json.encode(data).decode()
    run.events.create(seq=1, epoch=1, type="step_failed", step="s", at=0.0, data=text)
    call = '{"call":1,"messages":["secret"],"response":"secret","model":"m"}'
    run.events.create(seq=2, epoch=1, type="lm_call", step="s", at=0.0, data=call)
    found = since(run, 0)
    assert "secret" not in as_json(found)
    failed, called = decoded(found["events"])
    assert failed["data"]["failure"]["message"] == "No."
    assert called["data"] == {"call": 1, "model": "m"}


async def test_chunks_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    from uuid import uuid4

    run = uuid4()
    teller = Publisher(interval=0.02)
    teller.start()
    teller.tell = lambda group, type_, **parts: told.append(parts)  # type: ignore[method-assign]
    teller.watched = lambda group: True  # type: ignore[method-assign]
    for at in range(50):
        chunk = Chunk(
            run_id="", step="s", attempt=1, call=1, field="y", offset=at, text=str(at % 10)
        )
        teller.chunk(run, 1, chunk)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    await teller.aclose()
    joined = [chunk for message in told for chunk in json.loads(message["text"])["chunks"]]
    assert len(told) <= 3
    assert "".join(chunk["text"] for chunk in joined) == "0123456789" * 5
    assert [message["number"] for message in told] == list(range(1, len(told) + 1))


async def test_nobody_is_told_what_nobody_watches() -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    teller = Publisher()
    teller.start()
    teller.tell("runs", "live.run", number=1)
    await layer.group_add("runs", channel)
    teller.tell("runs", "live.run", number=2)
    assert (await layer.receive(channel))["number"] == 2
    await layer.group_discard("runs", channel)
    assert not teller.watched("runs")
    await teller.aclose()


async def test_a_layer_that_is_away_does_not_hold_the_runner_up_and_hears_all_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "PAUSE", 0.001)
    sent: list[str] = []

    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            sent.append(group)
            if len(sent) == 1:
                raise ConnectionError

    monkeypatch.setattr(publisher, "_layer", Layer)
    teller = Publisher()
    teller.start()
    teller.tell("a", "live.run")
    teller.tell("b", "live.run")
    async with asyncio.timeout(2):
        while sent != ["a", "a", "b"]:
            await asyncio.sleep(0.001)
    await teller.aclose()


def test_groups_have_names_that_every_layer_takes(world: World) -> None:
    from channels.layers import BaseChannelLayer

    assert BaseChannelLayer().require_valid_group_name(run_group(world.run().pk))
