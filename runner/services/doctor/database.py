"""Whether the database can be reached, is as the code wants it, and can be written."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from runner.engine.findings import Finding, broken, degraded, ok

PART = "Database"
LOCKED_FOR = 2.0
"""Seconds that somebody else may hold it before that is told."""


def database() -> list[Finding]:
    """Ask it, and write something that is taken back."""
    connection = connections[DEFAULT_DB_ALIAS]
    name = str(connection.settings_dict["NAME"])
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        mend = f"Is the path right, and may this account read and write it: {name}?"
        if connection.vendor != "sqlite":
            mend = "Is the server of DSPEX_DATABASE_URL there, and lets it this account into its database?"
        return [broken(PART, f"It can't be reached: {str(error).strip()}.", mend)]
    try:
        return [_found(connection, name)]
    except DatabaseError as error:
        return [broken(PART, f"It can't be asked: {error}.", f"Look at {name}.")]
    finally:
        if not connection.in_atomic_block:  # in a test it is the test's
            connection.close()


def _found(connection: BaseDatabaseWrapper, name: str) -> Finding:
    if missing := _missing(connection):
        says = f"It lacks {len(missing)} migrations, the first is {missing[0]}."
        return broken(PART, says, "Run `manage.py migrate`; `manage.py up` does so by itself.")
    if refused := _refused(connection):
        return refused
    if connection.vendor != "sqlite":
        return ok(PART, f"{connection.display_name}, migrated, can be written.")
    mode, version = (
        _one(connection, "PRAGMA journal_mode"),
        _one(connection, "SELECT sqlite_version()"),
    )
    if str(mode).lower() != "wal":
        says = f"SQLite's journal is '{mode}', not WAL: who reads waits for who writes."
        return degraded(PART, says, "Put the data directory on a local disk, which WAL needs.")
    return ok(PART, f"SQLite {version} with WAL, migrated, can be written: {name}")


def _missing(connection: BaseDatabaseWrapper) -> list[str]:
    executor = MigrationExecutor(connection)
    steps = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in steps]


def _refused(connection: BaseDatabaseWrapper) -> Finding | None:
    """What is said of a database that can't be written."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {LOCKED_FOR * 1000:.0f}")
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE dspex_doctor (x integer)")
            transaction.set_rollback(True)
    except DatabaseError as error:
        if "locked" in str(error):
            mend = "A backup, an import or a database tool holds it: let it end, or end it."
            return degraded(PART, f"It can't be written now: {error}.", mend)
        return broken(
            PART, f"It can't be written: {error}.", "Give this account the right to write."
        )
    return None


def _one(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
