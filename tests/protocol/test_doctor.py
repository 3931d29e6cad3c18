"""The doctor tells what is broken, of things that are really broken, and lets nobody wait for long."""

import asyncio
import gc
import os
import re
import sqlite3
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone

from pipelines.models import Credential
from runner.bridge import formats
from runner.bridge.checkup import isolation, workers
from runner.bridge.formats import JSON, Format
from runner.bridge.leases import PoolSettings
from runner.engine.findings import Finding, State, ok
from runner.live.checkup import channel_layer
from runner.lm import local_model as local
from runner.lm.checkup import local_model
from runner.models import RunnerSettings
from runner.services.doctor import examine, is_broken, places
from runner.services.doctor.database import database
from runner.services.doctor.hardware import hardware
from runner.services.doctor.installation import code_sandbox, python, retention, stored_keys
from tests.people import credential_of, people
from tests.run_rows import ended
from tests.runner_world import Database, World

pytest_plugins = ["tests.runner_fixtures"]


def only(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


def assert_is(found: Finding, state: State, *says: str) -> None:
    assert found.state is state, found
    for each in says:
        assert each in f"{found.says} {found.mend}", found
    assert bool(found.mend) == (state is not State.OK), found


def test_the_database_that_the_code_wants(world: World) -> None:
    assert_is(only(database()), State.OK, "WAL", "migrated")


@pytest.mark.usefixtures("world")
def test_a_database_without_tables_lacks_its_migrations(tmp_path: Path) -> None:
    with Database(tmp_path / "new.sqlite3"):
        found = only(database())
    assert_is(found, State.BROKEN, "contenttypes.0001_initial", "manage.py migrate")


@pytest.mark.usefixtures("world")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Django leaves it open
def test_a_database_in_no_directory_and_one_that_is_none(tmp_path: Path) -> None:
    with Database(tmp_path / "nowhere" / "dspex.sqlite3"):
        assert_is(only(database()), State.BROKEN, "can't be reached", "nowhere")
    (tmp_path / "text").write_text("This is no database. " * 100)
    with Database(tmp_path / "text"):
        assert_is(only(database()), State.BROKEN, "not a database")
    gc.collect()


def test_a_database_that_may_only_be_read(world: World, tmp_path: Path) -> None:
    name = connections["default"].settings_dict["NAME"]
    connections["default"].close()
    with Database(Path(f"file:{name}?mode=ro")):
        assert_is(only(database()), State.BROKEN, "readonly", "right to write")


def test_a_database_that_somebody_else_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[database.__module__], "LOCKED_FOR", 0.02)
    name = connections["default"].settings_dict["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_is(only(database()), State.DEGRADED, "locked", "A backup")


@pytest.mark.django_db
def test_a_database_without_wal_works_worse() -> None:
    """The tests' own is in memory, where there is none."""
    assert_is(only(database()), State.DEGRADED, "'memory', not WAL")


def test_a_worker_that_does_not_load_breaks_dspy_and_pools() -> None:
    found = {each.part: each for each in workers((PoolSettings(worker="no.such.module"),))}
    assert_is(found["DSPy"], State.BROKEN, "no.such", "make setup")
    assert found["Pools"].state is State.BROKEN


def test_steps_that_threads_make_room_for_are_said() -> None:
    toy = PoolSettings(worker="tests.protocol.bridge_toy", size=2, reuse=True, threads=5)
    found = {each.part: each for each in workers((toy,))}
    assert_is(found["Pools"], State.OK, "2 workers at most, 5 threads each: 10 steps at once")


def test_one_pool_without_workers_is_named() -> None:
    toy = PoolSettings(worker="tests.protocol.bridge_toy")
    bad = PoolSettings(name="neural", worker="tests.protocol.bridge_broken")
    found = {each.part: each for each in workers((toy, bad))}
    assert_is(found["Pools"], State.BROKEN, "neural: ")
    assert "general" not in found["Pools"].says


def test_a_format_that_loses_what_it_carries_is_broken() -> None:
    lossy = Format(code=99, name="lossy", encode=lambda message: b"{}", decoder=JSON.decoder)
    formats.register(lossy)
    try:
        found = workers((PoolSettings(worker="tests.protocol.bridge_toy"),))[-1]
        assert_is(found, State.BROKEN, "lossy")
    finally:
        formats.unregister("lossy")


def test_workers_that_can_not_be_shut_in_are_said_to_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert_is(only(isolation()), State.BROKEN, "could not be tried")


def test_a_local_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MODEL_PACKAGE", "no_such_package")
    assert_is(only(local_model()), State.BROKEN, "no-such-package", "make setup")


def test_a_local_model_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    monkeypatch.setattr(local, "model_file", lambda: tmp_path / "broken.gguf")
    assert_is(only(local_model()), State.BROKEN, "did not start")


class Deaf:
    """A channel layer that takes everything and gives nothing back."""

    async def new_channel(self) -> str:
        return "deaf"

    async def group_add(self, *given: Any) -> None: ...

    async def group_send(self, *given: Any) -> None: ...

    async def receive(self, channel: str) -> Any:
        await asyncio.Event().wait()


def test_a_channel_layer_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.live.checkup.PATIENCE", 0.02)
    assert_is(only(channel_layer()), State.OK, "within this process")
    monkeypatch.setattr("runner.live.checkup.get_channel_layer", Deaf)
    assert_is(only(channel_layer()), State.BROKEN, "did not come back within")


def test_a_channel_layer_that_can_not_be_loaded() -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "no.such.Layer"}}):
        assert_is(only(channel_layer()), State.BROKEN, "no.such", "DSPEX_REDIS_URL")


def test_a_place_that_is_none_and_one_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_is(places.place("Disk", tmp_path / "file" / "in"), State.BROKEN, "file")
    assert_is(places.place("Disk", tmp_path / "made"), State.OK, "free at")
    endless = 10**18
    assert_is(places.place("Disk", tmp_path, endless, 0), State.DEGRADED, "manage.py prune")
    assert_is(places.place("Disk", tmp_path, endless, endless), State.BROKEN, "Only")


def test_scripts_that_are_not_built_or_older_than_their_sources(tmp_path: Path) -> None:
    built, sources = tmp_path / "dist", tmp_path / "src"
    sources.mkdir()
    assert_is(places.build(built, sources), State.BROKEN, "app.js", "make setup")
    built.mkdir()
    for name in places.BUILT:
        (built / name).touch()
    assert_is(places.build(built, sources), State.OK)
    (sources / "app.css").touch()
    os.utime(sources / "app.css", (2e9, 2e9))
    assert_is(places.build(built, sources), State.DEGRADED, "app.css", "make setup")


def test_an_old_python() -> None:
    assert_is(only(python()), State.OK)
    assert_is(only(python((3, 11, 9))), State.BROKEN, "3.12 or newer")


def machine(root: Path, free_kb: int, **cgroup: str) -> Path:
    """As much of a Linux machine as says what it has."""
    for folder in ("proc", "sys/fs/cgroup", "dev"):
        (root / folder).mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable: {free_kb} kB\n")
    for name, text in cgroup.items():
        (root / "sys/fs/cgroup" / name.replace("_", ".")).write_text(f"{text}\n")
    return root


def test_the_machine_s_cores_and_memory_and_what_its_container_leaves(tmp_path: Path) -> None:
    cpu = ("CPUExecutionProvider",), False
    whole = machine(tmp_path / "a", 8_000_000)
    assert_is(only(hardware(whole, lambda: cpu)), State.OK, "8.2 GB", "no accelerator")
    small = {"cpu_max": "50000 100000", "memory_max": "900000000", "memory_current": "100000000"}
    found = only(hardware(machine(tmp_path / "b", 8_000_000, **small), lambda: cpu))
    assert_is(found, State.DEGRADED, "0.5 cores", "0.8 GB", "fewer workers")


def test_accelerators_are_those_that_the_builds_can_use(tmp_path: Path) -> None:
    root = machine(tmp_path / "a", 8_000_000)
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert_is(only(hardware(root, lambda: (providers, True))), State.OK, "CUDAEx", "llama.cpp's")
    (root / "dev/nvidiactl").touch()
    found = only(hardware(root, lambda: (("CPUExecutionProvider",), False)))
    assert_is(found, State.OK, "CUDA is there, but", "on the processor")


def test_this_machine_says_what_it_has() -> None:
    """With the builds that are really installed, asked in a process of their own."""
    assert re.search(r"^\d[\d.]* cores?; [\d.]+ GB of memory free; ", only(hardware()).says)


@pytest.mark.django_db(transaction=True)
def test_a_stored_key_whose_secret_is_gone() -> None:
    credential_of(people())
    assert_is(only(stored_keys()), State.OK, "1 can be read")
    with override_settings(
        SECRET_KEY="another-secret-of-this-installation", SECRET_KEY_FALLBACKS=[]
    ):
        found = only(stored_keys())
    assert_is(found, State.BROKEN, "'Provider' for https://api.example.com", "CREDENTIAL_KEYS")
    assert Credential.objects.count() == 1


def test_runs_that_stay_longer_than_they_should(world: World) -> None:
    assert_is(only(retention()), State.OK, "30 days")
    ended(world, finished_at=timezone.now() - timedelta(days=32))
    assert_is(only(retention()), State.DEGRADED, "1 runs are older", "manage.py prune")
    with override_settings(RETENTION_DAYS=0):
        assert_is(only(retention()), State.DEGRADED, "for good", "DSPEX_RETENTION_DAYS")


def test_code_may_run_but_has_no_sandbox(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PATH", "DSPEX_SANDBOX_DIR", "DENO_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    assert_is(only(code_sandbox()), State.OK, "Off")
    held = RunnerSettings.current()
    held.run_code = True
    held.save()
    assert_is(only(code_sandbox()), State.BROKEN, "Deno", "make sandbox")


def test_what_hangs_or_fails_is_said_and_keeps_nobody() -> None:
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait(5)
        return []

    def fails() -> list[Finding]:
        raise KeyError("unforeseen")

    parts = {"Hangs": hangs, "Fails": fails, "Works": lambda: [ok("Works", "Well.")]}
    findings = examine(parts, timeout=0.1)
    never.set()
    assert [(each.part, each.state.value) for each in findings] == [
        ("Hangs", "broken"),
        ("Fails", "broken"),
        ("Works", "ok"),
    ]
    assert "within 0.1 s" in findings[0].says and "unforeseen" in findings[1].says
    assert is_broken(findings) and not is_broken(findings[2:])


def test_the_page_looks_when_it_is_asked_and_is_for_administrators(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [ok("Python", "<b>3.13</b>")]
    monkeypatch.setattr("runner.views.doctor.examine", lambda: found)
    client = Client()
    owner = world.person("owner")
    client.force_login(owner)
    assert [client.get("/doctor/").status_code, client.post("/doctor/").status_code] == [403, 403]
    assert "/doctor/" not in client.get("/workers/").text
    owner.is_superuser = True
    owner.save()
    assert "&lt;b&gt;" not in client.get("/doctor/").text
    assert "&lt;b&gt;3.13" in client.post("/doctor/").text
    assert "/doctor/" in client.get("/workers/").text
