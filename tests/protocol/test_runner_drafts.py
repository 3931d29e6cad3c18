"""A draft that several people have open: what each hears of the others through the live socket."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from pipelines.graph import codec
from pipelines.models import Draft, Membership
from pipelines.permissions import NotAllowed
from runner.consumers import LiveConsumer, limits
from runner.live import drafts
from tests.graphs import chain
from tests.people import apply
from tests.runner_sockets import Socket, connected
from tests.runner_world import World, db

pytest_plugins = ["tests.runner_fixtures"]


@pytest.fixture(autouse=True)
def draft(world: World) -> None:
    Draft.objects.create(pipeline=world.pipeline, text=codec.dump(replace(chain(3), name="Chain")))


def rename(label: str) -> dict[str, str]:
    return {"op": "rename", "node": "s0", "label": label}


async def edit(world: World, name: str, base: int, **operation: Any) -> Any:
    return await db(apply, world.pipeline, await db(world.person, name), base, **operation)


async def opened(world: World, socket: Socket) -> int:
    await socket.tell("subscribe_draft", pipeline=str(world.pipeline.pk))
    return int((await socket.hear("draft"))["revision"])


async def test_an_edit_is_told_to_everybody_with_its_revision(world: World) -> None:
    async with connected(world, "owner") as mine, connected(world, "viewer") as theirs:
        assert [await opened(world, socket) for socket in (mine, theirs)] == [0, 0]
        applied = await edit(world, "editor", 0, **rename("Theirs"))
        for socket in (mine, theirs):
            heard = await socket.hear("operation")
            assert (heard["revision"], heard["id"]) == (1, str(applied.operation_id))
            assert heard["operation"] == rename("Theirs")


async def test_a_refused_edit_is_told_to_nobody(world: World) -> None:
    async with connected(world, "owner") as socket:
        await opened(world, socket)
        await edit(world, "editor", 0, **rename("Theirs"))
        await edit(world, "owner", 0, **rename("Mine"))  # a conflict
        with pytest.raises(NotAllowed):
            await edit(world, "viewer", 1, **rename("A viewer's"))
        await edit(world, "editor", 1, **rename("Once more"))
        assert [(await socket.hear("operation"))["revision"] for _ in "ab"] == [1, 2]


async def test_a_large_edit_is_told_of_and_fetched_by_who_wants_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "LARGEST", 200)
    async with connected(world, "owner") as socket:
        await opened(world, socket)
        await edit(world, "editor", 0, **rename("x" * 200))
        heard = await socket.hear("operation")
        assert (heard["revision"], heard["operation"]) == (1, None)


async def test_who_comes_and_who_is_there_see_each_other(world: World) -> None:
    async with connected(world, "owner") as first:
        await opened(world, first)
        await first.tell("here", pipeline=str(world.pipeline.pk), node="s1")
        async with connected(world, "editor") as second:
            await opened(world, second)
            newcomer, there = await first.hear("presence"), await second.hear("presence")
            assert (newcomer["person"]["name"], newcomer["node"]) == ("editor", None)
            assert (there["person"]["name"], there["node"]) == ("owner", "s1")
            await second.tell("here", pipeline=str(world.pipeline.pk), node="s2")
            assert (await first.hear("presence"))["node"] == "s2"
        assert (await first.hear("left"))["key"] == newcomer["key"]


async def test_leaving_the_draft_ends_the_presence_and_the_news(world: World) -> None:
    async with connected(world, "owner") as first, connected(world, "editor") as second:
        await opened(world, first)
        await opened(world, second)
        await second.tell("unsubscribe", pipeline=str(world.pipeline.pk))
        assert (await first.hear("left"))["pipeline"] == str(world.pipeline.pk)
        await edit(world, "owner", 0, **rename("Unheard"))
        await second.tell("subscribe_workers")
        assert (await second.hear("operation", "subscribed"))["type"] == "subscribed"


async def test_presence_is_said_again_with_every_heartbeat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveConsumer, "look_again", 0.02)
    async with connected(world, "owner") as first, connected(world, "editor") as second:
        await opened(world, first)
        await opened(world, second)
        keys = {(await first.hear("presence"))["key"] for _ in range(4)}
        assert len(keys) == 1


async def test_anothers_draft_looks_like_none(world: World) -> None:
    async with connected(world, "outsider") as socket:
        answers = []
        for target in (world.pipeline.pk, uuid4()):
            for type_ in ("subscribe_draft", "here"):
                await socket.tell(type_, pipeline=str(target))
                answers.append({**await socket.hear("error"), "pipeline": ""})
        assert all(answer == answers[0] for answer in answers)
        assert answers[0]["code"] == "not_found"


async def test_a_selection_is_checked_anew(world: World) -> None:
    async with connected(world, "editor") as socket:
        await opened(world, socket)
        await db(lambda: Membership.objects.filter(user__username="editor")._raw_delete("default"))
        await socket.tell("here", pipeline=str(world.pipeline.pk), node="s1")
        assert (await socket.hear("error"))["code"] == "not_found"


async def test_who_loses_the_project_loses_the_draft_at_once(world: World) -> None:
    async with connected(world, "editor") as socket:
        await opened(world, socket)
        await db(lambda: Membership.objects.get(user__username="editor").delete())
        assert await socket.closed() == 4403


async def test_one_is_not_told_of_drafts_that_one_has_not_opened(world: World) -> None:
    async with connected(world, "owner") as socket:
        await socket.tell("here", pipeline=str(world.pipeline.pk), node="s1")
        await edit(world, "editor", 0, **rename("Theirs"))
        await socket.tell("subscribe_workers")
        assert (await socket.hear("operation", "subscribed"))["type"] == "subscribed"


@pytest.mark.parametrize("node", ["../x", "S0", "a" * 64, "a\n", "<b>", ""])
async def test_what_is_no_node_id_goes_to_nobody(world: World, node: str) -> None:
    async with connected(world, "owner") as socket:
        await opened(world, socket)
        await socket.tell("here", pipeline=str(world.pipeline.pk), node=node)
        assert (await socket.hear("error"))["code"] == "invalid_message"


async def test_a_slow_reader_is_told_the_revision_when_it_has_caught_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(world, "owner") as socket:
        await opened(world, socket)
        monkeypatch.setattr("runner.consumers.window.LIMIT", 0)
        await edit(world, "editor", 0, **rename("Theirs"))
        assert await socket.receive_nothing(timeout=0.05)
        monkeypatch.setattr("runner.consumers.window.LIMIT", 256 * 1024)
        monkeypatch.setattr("runner.consumers.window.MARK_EVERY", 0)
        await socket.tell("subscribe_workers")
        await socket.hear("subscribed")
        assert (await socket.hear("draft"))["revision"] == 1


async def test_drafts_count_as_what_a_socket_watches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBSCRIPTIONS_PER_SOCKET", 1)
    run = await db(world.run)
    async with connected(world, "owner") as socket:
        await (await socket.watch(run)).until("caught_up")
        await socket.tell("subscribe_draft", pipeline=str(world.pipeline.pk))
        assert (await socket.hear("error"))["code"] == "too_many"
