"""Who gets a socket, and what they may see and do through it."""

import json
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import get_channel_layer

from dspex_site.origin import OriginCheck
from pipelines.models import Membership, Project
from runner.consumers import LiveConsumer, limits
from runner.consumers.window import LIMIT, MARK_EVERY, Window
from runner.live import WORKERS, Publisher, project_group
from runner.models import Run
from runner.services import start_run
from tests.runner_sockets import ORIGIN, connected, open_socket
from tests.runner_world import World, db

pytest_plugins = ["tests.runner_fixtures"]

HTTPS = "https://dspex.example"


def scope(
    origin: str | None, host: str | None = "localhost:8000", times: int = 1
) -> dict[str, Any]:
    headers = [(b"host", host.encode())] if host is not None else []
    headers += [(b"origin", origin.encode())] * times if origin is not None else []
    return {"type": "websocket", "headers": headers}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8000", True),
        (None, False),
        ("null", False),
        ("", False),
        ("http://evil.example", False),
        ("http://localhost:8001", False),  # another application on this machine
        ("http://localhost", False),
        ("https://localhost:8000", False),
        ("http://LOCALHOST:8000", False),
        ("http://localhost.:8000", False),
        ("http://localhost:8000.evil.example", False),
        ("http://localhost:8000/", False),
        ("http://127.0.0.1:8000", False),  # not what this page was loaded from
    ],
)
def test_on_this_machine_the_origin_is_the_address_itself(
    origin: str | None, allowed: bool
) -> None:
    check = OriginCheck(None, origins=[], hosts=["localhost", "127.0.0.1", "[::1]"])
    assert check.allows(scope(origin)) is allowed


def test_a_name_that_an_attacker_points_at_this_machine_is_refused() -> None:
    check = OriginCheck(None, origins=[], hosts=["localhost"])
    assert not check.allows(scope("http://evil.example:8000", host="evil.example:8000"))
    assert not check.allows(scope(ORIGIN, host=None))
    assert not check.allows(scope(ORIGIN, times=2))


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (HTTPS, True),
        ("http://dspex.example", False),
        ("https://dspex.example:8443", False),
        ("https://a.dspex.example", False),
        ("https://dspex.example.evil.example", False),
        ("http://localhost:8000", False),
        ("null", False),
        (None, False),
    ],
)
def test_a_named_origin_is_taken_exactly(origin: str | None, allowed: bool) -> None:
    check = OriginCheck(None, origins=[HTTPS], hosts=["dspex.example"])
    assert check.allows(scope(origin, host="dspex.example")) is allowed


async def test_a_foreign_page_gets_no_socket_with_a_persons_cookie(world: World) -> None:
    owner = await db(world.person, "owner")
    for origin in ("http://evil.example", "null", None):
        accepted, _ = await (await open_socket(owner, origin=origin)).connect(timeout=3)
        assert not accepted


async def test_a_stranger_gets_no_socket(world: World) -> None:
    accepted, _ = await (await open_socket(None)).connect(timeout=3)
    assert not accepted


async def test_a_closed_account_gets_no_socket(world: World) -> None:
    owner = await db(world.person, "owner")
    socket = await open_socket(owner)
    owner.is_active = False
    await db(owner.save)
    accepted, _ = await socket.connect(timeout=3)
    assert not accepted


@pytest.mark.parametrize(
    ("name", "sees", "stops"),
    [
        ("owner", True, "cancelling"),
        ("editor", True, "cancelling"),
        ("viewer", True, "not_allowed"),
        ("outsider", False, "not_found"),
    ],
)
async def test_what_a_person_may_see_and_do(
    world: World, name: str, sees: bool, stops: str
) -> None:
    run = await db(world.run, status="running")
    async with connected(world, name) as socket:
        await socket.tell("subscribe", run=str(run.pk))
        assert (await socket.hear("caught_up", "error"))["type"] == (
            "caught_up" if sees else "error"
        )
        await socket.tell("subscribe_project", project=str(world.project.pk))
        assert (await socket.hear("subscribed", "error"))["type"] == (
            "subscribed" if sees else "error"
        )
        await socket.tell("cancel", run=str(run.pk))
        answer = await socket.hear("cancelling", "error")
        assert answer.get("code", answer["type"]) == stops
    stopped = (await db(Run.objects.get, pk=run.pk)).status
    assert stopped == ("cancelling" if stops == "cancelling" else "running")


async def test_anothers_run_looks_like_none(world: World) -> None:
    run = await db(world.run)
    async with connected(world, "outsider") as socket:
        answers = []
        for target in (run.pk, uuid4()):
            await socket.tell("subscribe", run=str(target))
            answers.append({**await socket.hear("error"), "run": ""})
    assert answers[0] == answers[1]


@pytest.mark.parametrize("how", ["member", "account", "signed out"])
async def test_who_loses_access_loses_the_socket_at_once(world: World, how: str) -> None:
    run, owner = await db(world.run), await db(world.person, "owner")
    async with connected(world, "owner") as socket:
        await (await socket.watch(run)).until("caught_up")
        if how == "member":
            await db(lambda: Membership.objects.get(user=owner).delete())
        elif how == "account":
            owner.is_active = False
            await db(owner.save)
        else:
            owner.set_password("another")  # signs out everywhere
            await db(owner.save)
        assert await socket.closed() == (4403 if how == "member" else 4401)


async def test_access_is_looked_at_again_without_being_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveConsumer, "look_again", 0.02)
    run = await db(world.run)
    async with connected(world, "viewer") as socket:
        await (await socket.watch(run)).until("caught_up")
        # As another process would: no signal is sent here.
        await db(lambda: Membership.objects.filter(user__username="viewer")._raw_delete("default"))
        assert await socket.closed() == 4403


async def test_every_message_is_checked_anew(world: World) -> None:
    run = await db(world.run, status="running")
    async with connected(world, "editor") as socket:
        await db(lambda: Membership.objects.filter(user__username="editor").update(role="viewer"))
        await socket.tell("cancel", run=str(run.pk))
        assert (await socket.hear("error"))["code"] == "not_allowed"
        await db(lambda: Membership.objects.filter(user__username="editor")._raw_delete("default"))
        await socket.tell("subscribe", run=str(run.pk))
        assert (await socket.hear("error"))["code"] == "not_found"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"type":"subscribe"}',
        '{"type":"subscribe","run":"run.1"}',
        '{"type":"subscribe","run":"00000000-0000-0000-0000-000000000000","after_seq":-1}',
        '{"type":"subscribe","run":"00000000-0000-0000-0000-000000000000","group":"workers"}',
        '{"type":"live.run","summary":{}}',
        '{"type":"__class__"}',
    ],
)
async def test_a_bad_message_is_answered_and_the_socket_stays(world: World, text: str) -> None:
    async with connected(world, "owner") as socket:
        await socket.send_to(text_data=text)
        assert (await socket.hear("error"))["code"] == "invalid_message"
        await socket.tell("subscribe_workers")
        assert (await socket.hear("subscribed"))["workers"] is True


def pool_with_worker_of(run: Run) -> dict[str, Any]:
    steps = [{"run_id": str(run.pk), "step": "analyse"}]
    worker = {"number": 1, "run_id": str(run.pk), "steps": steps}
    return {"runs": 1, "pools": [{"pool": "general", "workers": [worker]}]}


@pytest.mark.parametrize(("name", "step"), [("viewer", "analyse"), ("outsider", "")])
async def test_whose_run_a_worker_has_is_told_to_those_who_may_see_it(
    world: World, name: str, step: str
) -> None:
    run = await db(world.run)
    async with connected(world, name) as socket:
        await socket.tell("subscribe_workers")
        await socket.hear("subscribed")
        layer = get_channel_layer()
        assert layer
        message = {"type": "live.workers", "stats": pool_with_worker_of(run)}
        await layer.group_send(WORKERS, message)
        ((worker,),) = [pool["workers"] for pool in (await socket.hear("workers"))["pools"]]
        assert [each["step"] for each in worker["steps"]] == [step]
        assert worker["run_id"] == (str(run.pk) if step else "")
        assert worker["held"] is True


async def test_a_long_or_binary_message_ends_the_socket(world: World) -> None:
    for message in ({"text_data": " " * 5_000}, {"bytes_data": b"{}"}):
        async with connected(world, "owner") as socket:
            await socket.send_to(**message)
            assert await socket.closed() == 1009


async def test_a_flood_of_messages_ends_the_socket(world: World) -> None:
    async with connected(world, "owner") as socket:
        for _ in range(limits.MESSAGES + 1):
            await socket.tell("mark", n=0)
        assert await socket.closed() == 4429


async def test_a_person_has_so_many_sockets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKETS_PER_USER", 1)
    async with connected(world, "owner"):
        second = await open_socket(await db(world.person, "owner"))
        await second.connect(timeout=3)
        assert await second.closed() == 4429
        await second.disconnect(timeout=3)
        async with connected(world, "editor"):
            pass
    async with connected(world, "owner"):
        pass


async def test_a_socket_has_so_many_subscriptions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBSCRIPTIONS_PER_SOCKET", 1)
    runs = [await db(world.run) for _ in range(2)]
    async with connected(world, "owner") as socket:
        await (await socket.watch(runs[0])).until("caught_up")
        await socket.tell("subscribe", run=str(runs[1].pk))
        assert (await socket.hear("error"))["code"] == "too_many"
        await socket.tell("unsubscribe", run=str(runs[0].pk))
        await (await socket.watch(runs[1])).until("caught_up")


async def test_the_list_of_a_project_hears_of_its_runs_only(world: World) -> None:
    other = await db(Project.objects.create, name="Theirs")
    editor, version = await db(world.person, "editor"), await db(world.version)
    async with connected(world, "viewer") as socket:
        await socket.tell("subscribe_project", project=str(world.project.pk))
        await socket.hear("subscribed")
        publisher = Publisher()
        publisher.start()
        publisher.tell(project_group(other.pk), "live.run", summary={"id": "theirs"})
        run = await db(start_run, user=editor, version=version, inputs={"x": "a"})
        heard = await socket.hear("run")
        await publisher.aclose()
    assert (heard["id"], heard["status"]) == (str(run.pk), "queued")


async def test_a_reader_that_sends_no_marks_back_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveConsumer, "look_again", 0.01)
    monkeypatch.setattr("runner.consumers.live.PATIENCE", 0.0)
    async with connected(world, "owner") as socket:
        assert await socket.closed() == 4408


def test_the_window_closes_until_a_mark_comes_back() -> None:
    window = Window(now=0.0)
    window.count("x" * MARK_EVERY)
    assert window.mark_is_due
    number = window.mark()
    assert not window.mark_is_due
    window.count("x" * LIMIT)
    assert not window.is_open
    assert not window.came_back(99, now=1.0)
    window.came_back(number, now=1.0)
    assert not window.is_open  # what was sent after that mark is still on the way
    window.came_back(window.mark(), now=2.0)
    assert window.is_open


async def test_nobody_can_name_a_group(world: World) -> None:
    """Group names are made of what the database has; a client's text never reaches them."""
    async with connected(world, "outsider") as socket:
        for run in ("*", "../x", "workers", f"run.{world.project.pk.hex}"):
            await socket.send_to(text_data=json.dumps({"type": "subscribe", "run": run}))
            assert (await socket.hear("error"))["code"] == "invalid_message"
