"""A database of its own for each test of runs.

Runs are written by threads with connections of their own, so neither a test's transaction nor SQLite in
memory will do. The schema and the people are made once; a test gets a copy of that file (under 1 ms). With
DSPEX_DATABASE_URL in the environment the tests run on that server, and copies are PostgreSQL's own (50 ms).
Test modules name this file in `pytest_plugins`.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from channels.layers import channel_layers
from django.contrib.auth.models import User
from django.db import connection, connections
from pytest_django import DjangoDbBlocker

from pipelines.models import Membership, Pipeline, Project, Role
from tests.runner_world import PEOPLE, Database, World

type Copies = Callable[[Path], AbstractContextManager[str]]
"""Makes a copy of the template, which goes with the context; what the database is called."""


@pytest.fixture(scope="session")
def copies(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Copies:
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            return _postgresql()
        return _sqlite(tmp_path_factory.mktemp("world") / "template.sqlite3")


def _sqlite(template: Path) -> Copies:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(template)])
    _fill(str(template))
    with closing(sqlite3.connect(template)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def copied(folder: Path) -> Iterator[str]:
        path = folder / "world.sqlite3"
        shutil.copyfile(template, path)
        yield str(path)

    return copied


def _postgresql() -> Copies:
    import psycopg

    found = connection.settings_dict
    schema, template = found["NAME"], f"{found['NAME']}_world"
    login = {name: found[name.upper()] or None for name in ("user", "password", "host", "port")}

    def execute(*statements: str) -> None:
        with psycopg.connect(dbname="postgres", autocommit=True, **login) as server:
            for statement in statements:
                server.execute(statement)

    def copy(of: str, name: str) -> None:
        execute(
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
            f'CREATE DATABASE "{name}" TEMPLATE "{of}"',
        )

    connections.close_all()  # nobody may be in what is copied
    copy(schema, template)
    _fill(template)

    @contextmanager
    def copied(folder: Path) -> Iterator[str]:
        copy(template, f"{template}_copy")
        yield f"{template}_copy"
        execute(f'DROP DATABASE "{template}_copy" WITH (FORCE)')

    return copied


def _fill(name: str) -> None:
    with Database(name):
        project = Project.objects.create(name="Ours")
        for person in PEOPLE:
            user = User.objects.create(username=person)
            if person != "outsider":
                Membership.objects.create(project=project, user=user, role=Role(person))
        Pipeline.objects.create(project=project, name="Chain", slug="chain")


@pytest.fixture
def world(
    copies: Copies, db: None, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    """`db` is only asked for so that the schema, which the template copies, is made."""
    channel_layers.backends.clear()
    with django_db_blocker.unblock(), copies(tmp_path) as name, Database(name):
        yield World(Project.objects.get(), Pipeline.objects.get())
    channel_layers.backends.clear()
