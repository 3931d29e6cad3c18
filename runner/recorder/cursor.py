"""Transactions on the database's own cursor: Django's wrappers cost more than the rows."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

type Row = tuple[Any, ...]


class Cursor:
    """A transaction, when it is entered. Statements are written with `%s`, as everywhere in Django.

    With `in_lots` many rows go into one statement: SQLite runs in this process, and each statement
    gives up Python's lock and has to wait for it again, up to 5 ms while the event loop is busy.
    Servers take rows by `executemany`, which sends them in one go.
    """

    def __init__(self, connection: Any, *, sqlite: bool) -> None:
        """On a driver's own connection."""
        self.in_lots = sqlite
        self._cursor = connection.cursor()

    @classmethod
    def of_thread(cls) -> Self:
        """On the connection of this thread, opened if need be."""
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        return cls(connection.connection, sqlite=connection.vendor == "sqlite")

    def __enter__(self) -> Self:
        self._cursor.execute("BEGIN IMMEDIATE" if self.in_lots else "BEGIN")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._cursor.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        else:
            if error is not None:
                self._roll_back()
        finally:
            self._cursor.close()

    def _roll_back(self) -> None:
        # The database may have done so by itself, or be away.
        with suppress(Exception):
            self._cursor.execute("ROLLBACK")

    def execute(self, sql: str, row: Sequence[Any]) -> int:
        """How many rows it touched."""
        self._cursor.execute(self._own(sql), row)
        return int(self._cursor.rowcount)

    def executemany(self, sql: str, rows: Sequence[Row]) -> None:
        self._cursor.executemany(self._own(sql), rows)

    def returned(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """The rows that a statement gives back."""
        self._cursor.execute(self._own(sql), values)
        found: list[Row] = self._cursor.fetchall()
        return found

    def _own(self, sql: str) -> str:
        return _marked_for_sqlite(sql) if self.in_lots else sql


@cache
def _marked_for_sqlite(sql: str) -> str:
    return sql.replace("%s", "?")


class SharedConnection:
    """The recorder's connection: of its thread, and while that does nothing of the event loop too,
    when it is SQLite's.

    To commit a few rows takes SQLite some 50 µs and waits for no disk (WAL, synchronous=NORMAL), which
    is half of what it takes to have another thread do it. What may take long stays with the thread: to
    wait for another's lock, and to bring the log over into the database.
    """

    def __init__(self) -> None:
        self._wrapper: BaseDatabaseWrapper | None = None
        self._known: Any = None
        self._waits = True

    def for_thread(self) -> Cursor:
        """Opened if need be; waits for locks."""
        self._wrapper = wrapper = connections[DEFAULT_DB_ALIAS]
        wrapper.ensure_connection()
        raw: Any = wrapper.connection
        sqlite = wrapper.vendor == "sqlite"
        if sqlite:
            if raw is not self._known:
                raw.execute("PRAGMA wal_autocheckpoint=0")
                self._known, self._waits = raw, True
            elif not self._waits:
                seconds = wrapper.settings_dict["OPTIONS"].get("timeout", 5)
                self._wait(raw, int(seconds * 1000))
        return Cursor(raw, sqlite=sqlite)

    def for_event_loop(self) -> Cursor | None:
        """None where it can't be had: another kind of database, or none is open. Waits for nothing."""
        raw = self._known
        if raw is None or self._wrapper is None or self._wrapper.connection is not raw:
            return None
        if self._waits:
            self._wait(raw, 0)
        return Cursor(raw, sqlite=True)

    def checkpoint(self) -> None:
        """On the thread: bring the log over into the database, as far as nobody reads it."""
        if self._known is not None:
            self._known.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _wait(self, raw: Any, milliseconds: int) -> None:
        raw.execute(f"PRAGMA busy_timeout={milliseconds}")
        self._waits = milliseconds > 0
