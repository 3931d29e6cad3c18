"""Tables: values that cross the bridge as Arrow, beside the message that they belong to.

A `Table` anywhere in a message's values travels in a frame of its own before that message, which says
where it belongs; so what a user types can't be taken for one. Above `shared.SHARED_FROM` it is shared
memory from the moment it is made: it crosses without a copy, however often.

A list of records stays what it is: MessagePack carries it two to five times faster than Arrow does, since
both sides want Python's values (`docs/design.md` has the figures). Only where a message would be larger
than a frame may be do its lists of flat records become tables, and lists again on the other side.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec

from runner.bridge import arrow, shared
from runner.bridge.arrow import ArrowMalformed, NotFlat
from runner.bridge.arrow_parts import stream_parts
from runner.bridge.frames import ProtocolError
from runner.bridge.shared import Memory

MIN_ROWS = 100
"""Lists of fewer records are left as they are: a table's own overhead is half a kilobyte."""


class TableMissing(ProtocolError):
    """A message names a table that did not come before it, or a place that it does not have."""

    code = "table_missing"


class TableRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in its message the table of this number belongs. With `records` it was a list of records and
    is to become one again."""

    table: int
    path: tuple[str | int, ...]
    records: bool = False


class Table:
    """A table in Arrow. Give one to a worker in a payload, or from a host tool; an operation may return
    one."""

    def __init__(self, data: bytes | memoryview = b"", memory: Memory | None = None) -> None:
        self._data = data
        self.memory = memory

    @classmethod
    def of(cls, table: Any) -> Self:
        """From anything in Arrow (`__arrow_c_stream__`: nanoarrow, pyarrow, polars, …), by one copy.
        NotFlat for columns that have columns inside. Takes 50 ms for 100 MB: not for an event loop."""
        try:
            parts = stream_parts(table) or [arrow.stream_of(table)]
        except RuntimeError as error:
            why = f"it can't be written ({error}); copy a part of a larger table first"
            raise NotFlat(why) from None
        if shared.AVAILABLE and sum(map(len, parts)) >= shared.SHARED_FROM:
            made = cls(memory=Memory.of(parts))
        else:
            made = cls(b"".join(parts))
        try:
            made.arrow()
        except ArrowMalformed as error:
            raise NotFlat(error.message) from None
        return made

    @classmethod
    def of_records(cls, records: Sequence[Any]) -> Self:
        """From flat records of the same keys. NotFlat when they would not come back as they are."""
        stream = arrow.stream_of_records(records)
        if shared.AVAILABLE and len(stream) >= shared.SHARED_FROM:
            return cls(memory=Memory.of((stream,)))
        return cls(stream)

    @property
    def data(self) -> memoryview:
        """The Arrow stream."""
        return self.memory.view() if self.memory is not None else memoryview(self._data)

    def arrow(self) -> Any:
        """The table as a `nanoarrow.Array` over the same memory, which other libraries take too."""
        return arrow.read_stream(self.data)

    def records(self) -> list[dict[str, Any]]:
        """Its rows as records."""
        return arrow.records_of(self.arrow())

    def __str__(self) -> str:
        return f"a table of {len(self.data):,} bytes"

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.arrow().__arrow_c_stream__(requested_schema)


class HasTables(Exception):
    """Raised while a message is encoded: it has tables, which must be taken out first."""


def refuse(value: Any) -> Any:
    """An encoder's hook for values that are no plain data."""
    if isinstance(value, Table):
        raise HasTables
    raise TypeError(
        f"A value of type {type(value).__name__} can't cross: it is no JSON, and no table."
    )


class Lifted:
    """A message's values with tables taken out. `kept` says why lists of records were left."""

    def __init__(self, number: Callable[[], int], *, records: bool) -> None:
        self.tables: list[tuple[TableRef, Table]] = []
        self.kept: list[tuple[str, NotFlat]] = []
        self._number = number
        self._records = records

    def value(self, value: Any, *path: str | int) -> Any:
        """The value with nothing where each table was."""
        if isinstance(value, Table):
            return self._take(value, path, records=False)
        if isinstance(value, dict):
            return {key: self.value(item, *path, key) for key, item in value.items()}
        if not isinstance(value, list | tuple):
            return value
        if self._records and len(value) >= MIN_ROWS and isinstance(value[0], dict):
            try:
                return self._take(Table.of_records(value), path, records=True)
            except NotFlat as why:
                self.kept.append((".".join(map(str, path)), why))
        return [self.value(item, *path, index) for index, item in enumerate(value)]

    def why_not(self) -> list[str]:
        """A sentence for each list of records that was left as it is."""
        return [f"The list '{place}' can't travel as a table: {why}." for place, why in self.kept]

    def _take(self, table: Table, path: tuple[str | int, ...], *, records: bool) -> None:
        reference = TableRef(table=self._number(), path=path, records=records)
        self.tables.append((reference, table))


def put(value: Any, path: Sequence[str | int], table: Any) -> Any:
    """The value with the table in its place. TableMissing when there is no such place."""
    if not path:
        return table
    at = value
    try:
        for part in path[:-1]:
            at = at[part]
        if at[path[-1]] is not None:
            raise KeyError(path[-1])
        at[path[-1]] = table
    except (KeyError, IndexError, TypeError):
        raise TableMissing(f"A table has no place at {'.'.join(map(str, path))}.") from None
    return value


def plain(value: Any) -> Any:
    """The value as JSON has it: its tables are lists of records."""
    if isinstance(value, Table):
        return value.records()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def unpacked(value: Any, references: Sequence[TableRef]) -> Any:
    """A message's values, with lists where lists of records were given."""
    for reference in references:
        if reference.records:
            value = _replaced(value, reference.path)
    return value


def _replaced(value: Any, path: Sequence[str | int]) -> Any:
    if not path:
        return value.records()
    at = value
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = at[path[-1]].records()
    return value
