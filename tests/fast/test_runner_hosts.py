"""What a run's names lead to: its own project's profiles and collections, and nobody else's."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.models import ApprovedHost, Credential, LMProfile, Project
from pipelines.services import DocumentText, create_collection, replace_documents
from runner.dispatcher import hosts as module
from runner.dispatcher.assignments import Names, assignment_of
from runner.dispatcher.corpus import ProjectCorpus
from runner.dispatcher.dispatcher import DispatcherSettings
from runner.dispatcher.runner import Runner
from runner.engine.errors import InvalidConfig
from runner.host import HostSettings
from runner.lm.local_model import LOCAL_PROFILE
from runner.models import CachedAnswer, Event
from tests.graphs import chain
from tests.runner_world import FakeHosts, World, db, dispatching, ended

pytest_plugins = ["tests.runner_fixtures"]

URL = "https://api.example.com/v1"


def scripted(project: Project | None, *answers: str, **fields: Any) -> LMProfile:
    settings = {"answers": [f"[[ ## y ## ]]\n{answer}" for answer in answers]}
    return LMProfile.objects.create(
        **{
            "project": project,
            "name": "fast",
            "adapter": "scripted",
            "settings": settings,
            **fields,
        }
    )


def keyed(project: Project, name: str = "paid", secret: str = "sk-canary-0123456789") -> LMProfile:
    host, _ = ApprovedHost.objects.get_or_create(origin="https://api.example.com")
    credential = Credential(project=project, name=name, host=host)
    credential.keep(secret)
    credential.save()
    return LMProfile.objects.create(
        project=project,
        name=name,
        adapter="openai_compatible",
        base_url=URL,
        credential=credential,
    )


async def test_a_run_is_executed_on_its_projects_own_profile(world: World, tmp_path: Path) -> None:
    """The whole of it on real backends: the shared profile of that name is not taken."""
    await db(scripted, None, "theirs")
    await db(scripted, world.project, "ours", is_default=True)
    run = await db(world.run, chain(1))
    runner = Runner(
        host=HostSettings(cache_directory=tmp_path), dispatcher=DispatcherSettings(poll=0.01)
    )
    runner.start()
    try:
        run = await ended(run)
    finally:
        await runner.stop()
    assert (run.status, run.outputs) == ("succeeded", {"y": "ours"})
    assert (await db(Event.objects.get, type="lm_call")).value["profile"] == "fast"
    assert (await db(CachedAnswer.objects.get)).project_id == world.project.pk


def test_a_key_is_read_when_the_run_is_executed(world: World) -> None:
    keyed(world.project)
    names = assignment_of(world.run(chain(1, lm="paid"))).names
    assert names.profiles["paid"].api_key == "sk-canary-0123456789"
    assert "canary" not in repr(names)


async def test_a_key_that_its_host_may_not_have_any_more_suspends_the_run(world: World) -> None:
    await db(keyed, world.project)
    await db(lambda: Credential.objects.update(encrypted=b"unreadable"))
    run = await db(world.run, chain(1, lm="paid"))
    async with dispatching(FakeHosts()):
        run = await ended(run, "suspended")
    assert run.failure_code == "credential_unreadable"


def test_a_broken_key_that_the_run_does_not_need_is_no_reason(world: World) -> None:
    keyed(world.project)
    Credential.objects.update(encrypted=b"unreadable")
    names = assignment_of(world.run(chain(1))).names
    assert set(names.profiles) == {"local"}


def test_the_default_profile_is_the_projects_then_everybodys(world: World) -> None:
    assert assignment_of(world.run()).names.default_profile == "local"
    scripted(None, name="shared", is_default=True)
    assert assignment_of(world.run()).names.default_profile == "shared"
    scripted(world.project, name="own", is_default=True)
    assert assignment_of(world.run()).names.default_profile == "own"


async def test_search_finds_a_collection_as_it_is_now(world: World, tmp_path: Path) -> None:
    owner = await db(world.person, "owner")
    collection = await db(create_collection, project=world.project, user=owner, name="notes")

    async def fill(*texts: str) -> None:
        documents = [DocumentText(text=text, title="t") for text in texts]
        await db(replace_documents, collection=collection, user=owner, documents=documents)

    corpus = ProjectCorpus(tmp_path, {"notes": collection.pk})
    await fill("the quick fox", "the lazy dog")
    assert [p.text for p in await corpus.search("notes", "dog", 5)] == ["the lazy dog"]
    before = await corpus.version("notes")
    await fill("a quick dog")
    assert [p.text for p in await corpus.search("notes", "dog", 5)] == ["a quick dog"]
    assert await corpus.version("notes") != before
    assert [p.pid for p in await corpus.passages("notes")] == [0]
    with pytest.raises(InvalidConfig, match="no collection 'theirs'"):
        await corpus.search("theirs", "dog", 5)
    await db(collection.delete)
    with pytest.raises(InvalidConfig, match="has been deleted"):
        await corpus.search("notes", "dog", 5)


async def test_hosts_are_shared_while_names_mean_the_same(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    await db(scripted, world.project, "a")
    first = await db(lambda: assignment_of(world.run()))
    await db(lambda: LMProfile.objects.get().save())
    second = await db(lambda: assignment_of(world.run()))
    hosts = module.Hosts(HostSettings(cache_directory=tmp_path), None, None)  # type: ignore[arg-type]
    async with hosts.host(first) as one, hosts.host(first) as same, hosts.host(second) as other:
        assert one is same
        assert one is not other
        assert one.pools is other.pools
        assert one.gateway.adapter("scripted") is other.gateway.adapter("scripted")
    assert len(hosts._hosts) == 1
    await hosts.aclose()


def test_names_know_no_other_project(world: World) -> None:
    other = Project.objects.create(name="Theirs")
    scripted(other, name="theirs")
    assert assignment_of(world.run()).names == Names(profiles={"local": LOCAL_PROFILE})
