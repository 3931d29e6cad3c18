"""The recorder's SQL, which SQLite and PostgreSQL both take.

Not the ORM: it spends ten times as long on a row, and a step is some six rows.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from types import TracebackType
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

from runner.models import Artifact, Attempt, CachedAnswer, Event, ReplayAnswer, Run, Step, Stream

type Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """Where rows go; a row is a tuple in the order of `fields`.

    A row whose `key` is there already replaces what `updates` names; without any the first one stays.
    So a batch may be written twice, as it is when its commit went through unheard.
    """

    model: type[Model]
    fields: tuple[str, ...]
    key: tuple[str, ...]
    updates: tuple[str, ...] = ()

    @cached_property
    def sql(self) -> str:
        columns = {field.name: field.column for field in self.model._meta.concrete_fields}
        column = {name: f'"{columns[name]}"' for name in self.fields}
        names, marks = ", ".join(column.values()), ", ".join(["%s"] * len(column))
        key = ", ".join(column[name] for name in self.key)
        changes = ", ".join(f"{column[name]} = excluded.{column[name]}" for name in self.updates)
        end = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
        # All names are those of our own models; every value is a parameter.
        table = self.model._meta.db_table
        return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) {end}"  # noqa: S608

    def write(self, cursor: "Cursor", rows: Sequence[Row]) -> None:
        if rows:
            cursor.executemany(self.sql, rows)


class Cursor:
    """A transaction on the database's own cursor: Django's wrappers cost more than the rows.

    Statements are written with `%s`, as everywhere in Django.
    """

    def __init__(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        self._sqlite = connection.vendor == "sqlite"
        self._cursor = connection.connection.cursor()

    def __enter__(self) -> Self:
        self._cursor.execute("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
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

    def _own(self, sql: str) -> str:
        return _marked_for_sqlite(sql) if self._sqlite else sql


@cache
def _marked_for_sqlite(sql: str) -> str:
    return sql.replace("%s", "?")


_STEP = (
    *("kind", "status", "backend", "reason", "attempt_count", "started_at", "finished_at"),
    *("seconds", "input_tokens", "output_tokens", "cost", "lm_calls", "failure_code"),
    *("failure_message", "cause"),
)
# A step keeps its first event when a later runner begins it again.
STEPS = Table(
    Step,
    ("run", "path", "first_seq", "last_seq", *_STEP),
    key=("run", "path"),
    updates=("last_seq", *_STEP),
)
_ATTEMPT = ("status", "finished_at", "wait", "failure_code", "failure_message")
ATTEMPTS = Table(
    Attempt,
    ("run", "step", "epoch", "number", "backend", "started_at", *_ATTEMPT),
    key=("run", "step", "epoch", "number"),
    updates=_ATTEMPT,
)
EVENTS = Table(
    Event,
    ("run", "seq", "epoch", "type", "step", "attempt", "at", "data", "artifacts"),
    key=("run", "seq"),
)
ARTIFACTS = Table(Artifact, ("run", "hash", "size", "text"), key=("run", "hash"))
STREAMS = Table(
    Stream,
    ("run", "epoch", "step", "attempt", "call", "field", "text", "closed_seq"),
    key=("run", "step", "attempt", "call", "field", "epoch"),
    updates=("text", "closed_seq"),
)
REPLAY_ANSWERS = Table(ReplayAnswer, ("run", "key", "value"), key=("run", "key"))
CACHED_ANSWERS = Table(
    CachedAnswer,
    ("project", "key", "profile", "value", "created_at"),
    key=("project", "key"),
    updates=("value", "created_at"),
)

_RUN = Run._meta.db_table
_FENCE = "WHERE id = %s AND epoch = %s AND owner = %s"
PROGRESS = (
    f"UPDATE {_RUN} SET last_seq = %s, input_tokens = %s, output_tokens = %s, cost = %s, "  # noqa: S608
    f"lm_calls = %s {_FENCE}"
)
FINISH = (
    f"UPDATE {_RUN} SET last_seq = %s, input_tokens = %s, output_tokens = %s, cost = %s, "  # noqa: S608
    "lm_calls = %s, status = %s, outputs = %s, errors = %s, artifacts = %s, failure_code = %s, "
    "failure_message = %s, failed_step = %s, finished_at = %s, owner = '', lease_until = NULL "
    f"{_FENCE}"
)
FORGET_ANSWERS = f"DELETE FROM {ReplayAnswer._meta.db_table} WHERE run_id = %s"  # noqa: S608


def moment(at: float) -> str:
    """A time as both databases read it in a connection of Django's, which speaks UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
