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


_MAY_TAKE_LONG = ("busy_timeout", "wal_autocheckpoint")


class SharedConnection:
    """The recorder's connection: of its thread, and while that does nothing of the event loop too,
    when it is SQLite's.

    To commit a few rows takes SQLite some 50 µs and waits for no disk (WAL, synchronous=NORMAL), which
    is half of what it takes to have another thread do it. What may take long stays with the thread: to
    wait for another's lock, and to bring the log over into the database, which SQLite does at the end of
    a commit when the log is long.
    """

    def __init__(self) -> None:
        self._wrapper: BaseDatabaseWrapper | None = None
        self._known: Any = None
        self._patience: dict[str, int] = {}
        self._patient = True

    def for_thread(self) -> Cursor:
        """Opened if need be."""
        self._wrapper = wrapper = connections[DEFAULT_DB_ALIAS]
        wrapper.ensure_connection()
        raw: Any = wrapper.connection
        sqlite = wrapper.vendor == "sqlite"
        if sqlite:
            if raw is not self._known:
                self._patience = {
                    name: raw.execute(f"PRAGMA {name}").fetchone()[0] for name in _MAY_TAKE_LONG
                }
                self._known, self._patient = raw, True
            elif not self._patient:
                self._be_patient(True)
        return Cursor(raw, sqlite=sqlite)

    def for_event_loop(self) -> Cursor | None:
        """None where it can't be had: another kind of database, or none is open. Waits for nothing."""
        raw = self._known
        if raw is None or self._wrapper is None or self._wrapper.connection is not raw:
            return None
        if self._patient:
            self._be_patient(False)
        return Cursor(raw, sqlite=True)

    def _be_patient(self, patient: bool) -> None:
        for name, value in self._patience.items():
            self._known.execute(f"PRAGMA {name}={value if patient else 0}")
        self._patient = patient
