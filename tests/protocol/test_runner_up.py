"""`manage.py up` as a process: one address, a second start, real sockets, an orderly end, and a kill."""

import base64
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from pytest_django import DjangoDbBlocker

from pipelines.graph import codec
from pipelines.models import LMProfile, Pipeline, PipelineVersion
from pipelines.services import personal_project
from runner.models import Run
from runner.services import redeem_sign_in, start_run
from tests.graphs import chain
from tests.runner_world import Database

ROOT = Path(__file__).parents[2]
SLOW = {"answers": ["[[ ## y ## ]]\nDone."], "delay": 0.2, "chunk_size": 4, "chunk_delay": 0.02}


class Up:
    """A running `manage.py up`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.process = start(directory, "--port", "0", "--no-warm-up", *arguments)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.match(r"DSPex is at (http://127.0.0.1:(\d+))/sign-in/\?token=(\S+)", self.said)
        assert found, self.said + self.process.communicate()[0]
        self.address, self.port, self.token = found[1], int(found[2]), found[3]

    def end(self, number: int = signal.SIGTERM) -> str:
        """What it says last."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[0]


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DSPEX_DATA_DIR": str(directory)}
    return subprocess.Popen(
        [sys.executable, "-u", "manage.py", "up", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Up]:
    up = Up(directory, *arguments)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.communicate()


@pytest.fixture
def inside(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker, django_db_setup: None
) -> Callable[[], Any]:
    """Opens the database of the process that serves `tmp_path`."""

    @contextmanager
    def opened() -> Iterator[None]:
        with django_db_blocker.unblock(), Database(tmp_path / "dspex.sqlite3"):
            yield

    return opened


def slow_run() -> Run:
    """Three steps on a scripted model that takes its time."""
    admin = User.objects.get()
    project = personal_project(user=admin)
    LMProfile.objects.create(project=project, name="slow", adapter="scripted", settings=SLOW)
    pipeline = Pipeline.objects.create(project=project, name="Slow", slug="slow")
    graph = chain(3, lm="slow", policy={"cache": False})
    version = PipelineVersion.objects.create(
        pipeline=pipeline, content_hash="slow", text=codec.dump(graph)
    )
    return start_run(user=admin, version=version, inputs={"x": "a"})


def wait_for(found: Callable[[], Any], seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "It did not happen."
        time.sleep(0.02)
    return answer


def test_it_serves_says_so_once_and_ends_in_order(
    tmp_path: Path, inside: Any, settings: Any
) -> None:
    with running(tmp_path) as up:
        for path in ("/admin/login/", "/static/admin/css/base.css"):
            with urllib.request.urlopen(up.address + path, timeout=10) as answer:
                assert answer.status == 200
        second = start(tmp_path)
        said = second.communicate(timeout=20)[0]
        assert second.returncode == 1
        assert f"already running at {up.address} (process {up.process.pid})" in said
        settings.DATA_DIR = tmp_path
        with inside():
            assert redeem_sign_in(token=up.token) == User.objects.get(username="admin")
            assert redeem_sign_in(token=up.token) is None
        assert "DSPex has ended" in up.end()
        assert up.process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", up.port), timeout=1)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, "--port", str(port))
        said = process.communicate(timeout=20)[0]
    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 can't be had" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_goes_on_after_the_process_has_ended(
    tmp_path: Path, inside: Any, number: int
) -> None:
    with running(tmp_path) as up, inside():
        run = slow_run()
        wait_for(lambda: run.steps.filter(status="succeeded").exists())
        up.end(number)
    with inside():
        run.refresh_from_db()
        assert not run.is_final
        done = set(run.steps.filter(status="succeeded").values_list("path", flat=True))
        calls = run.events.filter(type="lm_call", step__in=done).count()
    with running(tmp_path) as up, inside():
        wait_for(lambda: Run.objects.get().is_final)
        up.end()
    with inside():
        run.refresh_from_db()
        assert (run.status, run.outputs) == ("succeeded", {"y": "Done."})
        assert run.events.filter(type="lm_call", step__in=done).count() == calls == len(done)
        assert run.events.count() == run.last_seq


class Browser:
    """A page's WebSocket, spoken by hand: what a real server makes of it."""

    def __init__(self, port: int, session: str, origin: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        lines = [
            "GET /ws/live/ HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Cookie: {settings.SESSION_COOKIE_NAME}={session}",
            *([f"Origin: {origin}"] if origin is not None else []),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass

    def tell(self, type_: str, **parts: Any) -> None:
        body = json.dumps({"type": type_, **parts}).encode()
        length = (
            bytes([0x80 | len(body)]) if len(body) < 126 else struct.pack("!BH", 0xFE, len(body))
        )
        self._socket.sendall(b"\x81" + length + bytes(4) + body)  # a mask of zeros changes nothing

    def hear(self) -> dict[str, Any]:
        while True:
            kind, length = self._file.read(2)
            if length == 126:
                (length,) = struct.unpack("!H", self._file.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._file.read(8))
            body = self._file.read(length)
            if kind == 0x81:
                heard: dict[str, Any] = json.loads(body)
                return heard

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def session_of(user: User) -> str:
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return str(store.session_key)


def test_a_page_watches_a_run_and_other_sites_do_not(
    tmp_path: Path, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as up, inside():
        # Sessions are signed with that installation's key.
        monkeypatch.setattr(settings, "SECRET_KEY", (tmp_path / "secret_key").read_text())
        session = session_of(User.objects.get())
        for origin in ("null", None, "http://evil.example", f"http://localhost:{up.port}"):
            foreign = Browser(up.port, session, origin)
            assert foreign.status == 403, origin
            foreign.close()
        page = Browser(up.port, session, up.address)
        assert (page.status, page.hear()["type"]) == (101, "hello")
        run = slow_run()
        page.tell("subscribe", run=str(run.pk))
        texts, types = watched(page)
        page.close()
        up.end()
    assert types[0] == "run_started" and types[-1] == "run_finished"
    assert texts == dict.fromkeys(("s0", "s1", "s2"), "Done.")


def watched(page: Browser) -> tuple[dict[str, str], list[str]]:
    texts: dict[str, str] = {}
    types: list[str] = []
    while "run_finished" not in types:
        message = page.hear()
        texts |= {stream["step"]: stream["text"] for stream in message.get("streams", ())}
        for chunk in message.get("chunks", ()):
            known = texts.get(chunk["step"], "")
            texts[chunk["step"]] = known[: chunk["offset"]] + chunk["text"]
        types += [event["type"] for event in message.get("events", ())]
    return texts, types
