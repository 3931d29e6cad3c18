"""The recorder's SQL, which SQLite and PostgreSQL both take.

Not the ORM: it spends ten times as long on a row, and a step is some six rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import chain

from django.db.models import Model

from runner.models import Artifact, Attempt, CachedAnswer, Event, ReplayAnswer, Run, Step, Stream
from runner.recorder.cursor import Cursor, Row

SMALL_LOT = 8
LARGEST_LOT = 32
"""Rows in one statement."""


@dataclass(frozen=True, eq=False)
class Table:
    """Where rows go; a row is a tuple in the order of `fields`.

    A row whose `key` is there already replaces what `updates` names; without any the first one stays.
    So a batch may be written twice, as it is when its commit went through unheard.
    """

    model: type[Model]
    fields: tuple[str, ...]
    key: tuple[str, ...]
    updates: tuple[str, ...] = ()

    def write(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if cursor.in_lots and len(rows) <= SMALL_LOT:
            cursor.execute(self._sql(len(rows)), list(chain.from_iterable(rows)))
        elif cursor.in_lots:
            for lot in lots(rows):
                cursor.execute(self._sql(len(lot)), [value for row in lot for value in row])
        else:
            cursor.executemany(self._sql(1), rows)

    def write_if_ours(self, cursor: Cursor, rows: Sequence[Row], lease: Row) -> bool:
        """Write a few rows of one run where its lease is what it was, in one statement; False when that
        can't be said of all of them. For SQLite, which has one writer at a time."""
        values = [*chain.from_iterable(rows), *lease]
        return cursor.execute(self._sql(len(rows), LEASE.condition), values) == len(rows)

    def _sql(self, rows: int, condition: str = "") -> str:
        """The statement for so many rows."""
        made = self._made.get((rows, condition))
        if made is None:
            values = f"VALUES {', '.join([marks(len(self.fields))] * rows)}"
            if condition:
                values = f"SELECT * FROM ({values}) WHERE EXISTS ({condition})"  # noqa: S608
            made = self._made[rows, condition] = f"{self._begin} {values} {self._end}"
        return made

    @cached_property
    def _made(self) -> dict[tuple[int, str], str]:
        return {}

    @cached_property
    def _columns(self) -> dict[str, str]:
        columns = {field.name: field.column for field in self.model._meta.concrete_fields}
        return {name: f'"{columns[name]}"' for name in self.fields}

    @cached_property
    def _begin(self) -> str:
        # All names are those of our own models; every value is a parameter.
        table = self.model._meta.db_table
        return f"INSERT INTO {table} ({', '.join(self._columns.values())})"

    @cached_property
    def _end(self) -> str:
        column = self._columns
        key = ", ".join(column[name] for name in self.key)
        changes = ", ".join(f"{column[name]} = excluded.{column[name]}" for name in self.updates)
        return f"ON CONFLICT ({key}) {f'DO UPDATE SET {changes}' if changes else 'DO NOTHING'}"


def marks(number: int) -> str:
    return f"({', '.join(['%s'] * number)})"


def lots(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows by the lot, in a few sizes only: each size is a statement that the database keeps prepared."""
    start = 0
    while left := len(rows) - start:
        size = left if left <= SMALL_LOT else min(LARGEST_LOT, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


_STEP = (
    *("kind", "status", "backend", "reason", "attempt_count", "started_at", "finished_at"),
    *("seconds", "input_tokens", "output_tokens", "cost", "lm_calls", "failure_code"),
    *("failure_message", "cause", "identity", "taken_from"),
)
# A step keeps its kind and its first event when a later runner begins it again.
STEPS = Table(
    Step,
    ("run", "path", "first_seq", "last_seq", *_STEP),
    key=("run", "path"),
    updates=("last_seq", *_STEP[1:]),
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
    ("project", "key", "profile", "value", "size", "created_at"),
    key=("project", "key"),
    updates=("value", "size", "created_at"),
)

_RUN = Run._meta.db_table
_PROGRESS = ("last_seq", "input_tokens", "output_tokens", "cost", "lm_calls")
_FINISH = (
    *("status", "outputs", "errors", "artifacts", "failure_code", "failure_message"),
    *("failed_step", "finished_at"),
)


@dataclass(frozen=True, eq=False)
class Fence:
    """Brings the rows of runs up to date, of those that are still ours: a row here is the values of
    `fields`, then the run's id, epoch and owner."""

    fields: tuple[str, ...]
    also: str = ""

    def pass_through(self, cursor: Cursor, rows: Sequence[Row]) -> set[str]:
        """The runs (hexadecimal ids) that were ours."""
        if not rows:
            return set()
        if cursor.in_lots and len(rows) > 1:
            found = [
                cursor.returned(self._of_many(len(lot)), [value for row in lot for value in row])
                for lot in lots(rows)
            ]
            return {run for runs in found for (run,) in runs}
        return {row[-3] for row in rows if cursor.execute(self._of_one, row)}

    @cached_property
    def _of_one(self) -> str:
        changes = ", ".join(f"{name} = %s" for name in self.fields)
        return f"UPDATE {_RUN} SET {changes}{self.also} WHERE id = %s AND epoch = %s AND owner = %s"  # noqa: S608

    def _of_many(self, rows: int) -> str:
        """For SQLite, which names the columns of VALUES itself."""
        changes = ", ".join(f"{name} = v.column{at}" for at, name in enumerate(self.fields, 1))
        at = len(self.fields)
        values = ", ".join([marks(at + 3)] * rows)
        return (
            f"UPDATE {_RUN} SET {changes}{self.also} FROM (VALUES {values}) AS v "  # noqa: S608
            f"WHERE id = v.column{at + 1} AND epoch = v.column{at + 2} AND owner = v.column{at + 3} "
            "RETURNING id"
        )


class Lease:
    """As a fence, where nothing is to be changed: a row is a run's id, epoch and owner. Nobody can take
    over what passed before the transaction ends."""

    def pass_through(self, cursor: Cursor, rows: Sequence[Row]) -> set[str]:
        if not cursor.in_lots:
            return {row[0] for row in rows if cursor.returned(f"{self.condition} FOR SHARE", row)}
        # SQLite has one writer at a time.
        if len(rows) == 1:
            return {run for (run,) in cursor.returned(self.condition, rows[0])}
        found = [
            cursor.returned(self._of_many(len(lot)), [value for row in lot for value in row])
            for lot in lots(rows)
        ]
        return {run for runs in found for (run,) in runs}

    condition = f"SELECT id FROM {_RUN} WHERE id = %s AND epoch = %s AND owner = %s"  # noqa: S608

    def _of_many(self, rows: int) -> str:
        """For SQLite, which names the columns of VALUES itself."""
        values = ", ".join([marks(3)] * rows)
        return (
            f"SELECT id FROM (VALUES {values}) AS v JOIN {_RUN} ON id = v.column1 "  # noqa: S608
            "AND epoch = v.column2 AND owner = v.column3"
        )


LEASE = Lease()
PROGRESS = Fence(_PROGRESS)
FINISH = Fence((*_PROGRESS, *_FINISH), also=", owner = '', lease_until = NULL")
FORGET_ANSWERS = f"DELETE FROM {ReplayAnswer._meta.db_table} WHERE run_id = %s"  # noqa: S608


def moment(at: float) -> str:
    """A time as both databases read it in a connection of Django's, which speaks UTC."""
    micros = int(at * 1e6)
    return f"{_second(micros // 1_000_000)}.{micros % 1_000_000:06}"


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
