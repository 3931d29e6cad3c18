"""DSPex as on several machines: pages and runners, each with a data directory of its own, on one
PostgreSQL and one Redis."""

import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from pytest_django import DjangoDbBlocker

from dspex_site import environment
from runner.models import Run
from tests.faults.model import Model, model
from tests.faults.world import Process, World, forget_connections, runner, web
from tests.graphs import chain
from tests.integration.cluster.watching import Watching
from tests.protocol.test_runner_up import Browser, session_of
from tests.runner_world import OtherDatabase
from tests.servers import Postgres, Redis

WORDS = " ".join(f"w{number}" for number in range(300))
TELLS = {
    "answers": [f"[[ ## y ## ]]\n{WORDS}\n\n[[ ## completed ## ]]"],
    "delay": 0.05,
    "chunk_size": 8,
    "chunk_delay": 0.01,
}
"""A story of some two seconds."""
NUL = '[[ ## y ## ]]\n["b", "a\\u0000"]\n\n[[ ## completed ## ]]'
"""What a model may answer, and PostgreSQL has no place for."""
SECRET = "the same on every machine of the installation, 50 characters"


class Cluster:
    """What is started in it ends with it; `pages` is there from the beginning."""

    def __init__(self, directory: Path, postgres: Postgres, redis: Redis) -> None:
        self.postgres, self.redis = postgres, redis
        self.directory = directory
        self.environment = {
            "DSPEX_DATABASE_URL": postgres.url,
            "DSPEX_REDIS_URL": redis.url,
            "DSPEX_SECRET_KEY": SECRET,
            "DSPEX_ORIGINS": "",
        }
        self.processes: list[Process] = []
        self._runners: dict[str, Process] = {}
        self.pages = self.start(web, "pages", "--no-runner")
        found = re.search(r"DSPex is at (http://127.0.0.1:(\d+))/", self.pages.said())
        assert found
        self.address, self.port = found[1], int(found[2])

    def start(self, make: Callable[..., Process], machine: str, *arguments: str) -> Process:
        folder = self.directory / machine
        folder.mkdir(exist_ok=True)
        self.processes.append(make(folder, *arguments, environment=self.environment))
        return self.processes[-1]

    def runners(self, *machines: str) -> list[Process]:
        """A runner on each of these machines; those that live already stay."""
        for machine in machines:
            known = self._runners.get(machine)
            if known is None or known.process.poll() is not None:
                self._runners[machine] = self.start(runner, machine)
        return [self._runners[machine] for machine in machines]

    def kill_owner(self, owner: str) -> None:
        """The runner of this name, `host:pid:…`."""
        pid = int(owner.split(":")[1])
        (found,) = [each for each in self._runners.values() if each.pid == pid]
        found.kill()

    def settle(self, counting: Model) -> None:
        """What is needed once the database is there."""
        self.world = World(self.directory, counting)
        self.world.profile("telling", adapter="scripted", settings=TELLS)
        self.world.add("story", chain(1, lm="telling", policy={"cache": False}))
        self.world.profile("nul", adapter="scripted", settings={"answers": [NUL]})
        self.world.add("nul", chain(1, lm="nul", signature="x -> y: list[str]"))
        self.session = session_of(User.objects.get(username="admin"))

    def watch(self, run: Run) -> Watching:
        for _ in range(5):  # a machine that is busy lets a handshake go after five seconds
            with suppress(ConnectionResetError):
                return Watching(Browser(self.port, self.session, self.address), run)
        raise AssertionError("No handshake was answered.")

    def get(self, path: str) -> tuple[int, str]:
        cookie = f"{settings.SESSION_COOKIE_NAME}={self.session}"
        asked = urllib.request.Request(self.address + path, headers={"Cookie": cookie})
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The cluster's database, in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DSPEX_DATABASE_URL", self.postgres.url)
            wanted = environment.postgresql("DSPEX_DATABASE_URL")
            assert wanted is not None
            patch.setattr(settings, "SECRET_KEY", SECRET)
            with OtherDatabase(wanted):
                yield

    def said(self) -> str:
        return "\n".join(f"--- {each.log.name}\n{each.said()[-2000:]}" for each in self.processes)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Postgres, Redis]]:
    # Not pytest's own directory: PostgreSQL runs as another user, who may not enter that.
    with tempfile.TemporaryDirectory(prefix="dspex-servers-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        folder.chmod(0o755)
        for name in ("postgres", "redis"):
            (folder / name).mkdir()
        postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        try:
            yield postgres, redis
        finally:
            postgres.kill()
            redis.kill()


@pytest.fixture(scope="session")
def cluster(
    servers: tuple[Postgres, Redis],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
    django_db_setup: None,
) -> Iterator[Cluster]:
    with model() as counting:
        made = Cluster(tmp_path_factory.mktemp("cluster"), *servers)
        try:
            with django_db_blocker.unblock(), made.opened():
                made.settle(counting)
            yield made
        finally:
            for process in made.processes:
                process.end()


@pytest.fixture
def inside(cluster: Cluster, django_db_blocker: DjangoDbBlocker) -> Iterator[Cluster]:
    """The cluster, with its database open here."""
    with django_db_blocker.unblock(), cluster.opened():
        yield cluster
        forget_connections()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """With what the processes said, when a test fails."""
    report = yield
    if report.failed and isinstance(made := getattr(item, "funcargs", {}).get("cluster"), Cluster):
        report.sections.append(("cluster", made.said()))
    return report
