"""A database of its own for each test of runs.

Runs are written by threads with connections of their own, so neither a test's transaction nor SQLite in
memory will do. The schema and the people are made once; a test gets a copy of that file (under 1 ms).
Test modules name this file in `pytest_plugins`.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from channels.layers import channel_layers
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import DjangoDbBlocker

from pipelines.models import Membership, Pipeline, Project, Role
from tests.runner_world import PEOPLE, Database, World


@pytest.fixture(scope="session")
def world_template(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Path:
    path = tmp_path_factory.mktemp("world") / "template.sqlite3"
    with django_db_blocker.unblock():
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(path)])
        with Database(path):
            project = Project.objects.create(name="Ours")
            for name in PEOPLE:
                user = User.objects.create(username=name)
                if name != "outsider":
                    Membership.objects.create(project=project, user=user, role=Role(name))
            Pipeline.objects.create(project=project, name="Chain", slug="chain")
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@pytest.fixture
def world(
    world_template: Path, db: None, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    """`db` is only asked for so that the schema, which the template copies, is made."""
    path = tmp_path / "world.sqlite3"
    shutil.copyfile(world_template, path)
    channel_layers.backends.clear()
    with django_db_blocker.unblock(), Database(path):
        yield World(Project.objects.get(), Pipeline.objects.get())
    channel_layers.backends.clear()
