"""Records as Arrow streams and back, value for value; and streams that are none."""

import random
from typing import Any

import nanoarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanoarrow.ipc import InputStream

from runner.bridge.arrow import ArrowMalformed, NotFlat, read_stream, records_of, stream_of_records
from runner.bridge.arrow_parts import stream_parts
from runner.bridge.tables import Table

ROWS = [
    {
        "number": index - 2**62,
        "share": index / 3 if index % 3 else None,
        "text": f"wörd {index}" if index % 5 else None,
        "is odd": bool(index % 2),
        "nothing": None,
    }
    for index in range(60)
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)
)


def there_and_back(records: list[Any]) -> list[dict[str, Any]]:
    return records_of(read_stream(memoryview(stream_of_records(records))))


def test_records_come_back_as_they_were() -> None:
    back = there_and_back(ROWS)
    assert back == ROWS
    assert [list(record) for record in back] == [list(record) for record in ROWS]


@given(st.data(), st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True))
def test_any_records_come_back_or_are_no_table(data: Any, keys: list[str]) -> None:
    columns = [data.draw(st.lists(SCALARS, min_size=3, max_size=3)) for _ in keys]
    records = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    try:
        back = there_and_back(records)
    except NotFlat:
        return
    assert repr(back) == repr(records)  # also 1 and True, 0.0 and -0.0, NaN


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "no list of records"),
        ([1, 2], "no list of records"),
        ([{}], "no list of records"),
        ([{"a": 1}, {"b": 1}], "different keys"),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], "different keys"),
        ([{"a": 1}, None], "different keys"),
        ([{"a": 1}, {"a": "1"}], r"'a' has values of several types \(int, str\)"),
        ([{"a": 1}, {"a": True}], "several types"),
        ([{"a": 1}, {"a": 1.0}], "several types"),
        ([{"a": [1]}], "no scalars"),
        ([{"a": {"b": 1}}], "no scalars"),
        ([{"a": 2**63}], "can't hold"),
        ([{"a": "\ud800"}], "can't hold"),
    ],
)
def test_what_is_no_table_is_said(records: list[Any], why: str) -> None:
    with pytest.raises(NotFlat, match=why):
        stream_of_records(records)


def struct(**columns: Any) -> Any:
    """A chunk of these columns."""
    arrays = {name: nanoarrow.c_array(values, type_) for name, (type_, values) in columns.items()}
    schema = nanoarrow.struct({name: type_ for name, (type_, _) in columns.items()})
    rows = len(next(iter(arrays.values())))
    return nanoarrow.c_array_from_buffers(
        schema, rows, [None], children=list(arrays.values()), validation_level="none"
    )


def test_columns_of_others_are_read() -> None:
    chunk = struct(
        i8=(nanoarrow.int8(), [-1, 2]),
        u64=(nanoarrow.uint64(), [2**64 - 1, 0]),
        f32=(nanoarrow.float32(), [0.5, 1.5]),
        text=(nanoarrow.large_string(), ["ü", "a"]),
        data=(nanoarrow.binary(), [b"1", b""]),
    )
    assert Table.of(nanoarrow.Array(chunk)).records() == [
        {"i8": -1, "u64": 2**64 - 1, "f32": 0.5, "text": "ü", "data": b"1"},
        {"i8": 2, "u64": 0, "f32": 1.5, "text": "a", "data": b""},
    ]


def test_batches_follow_each_other_and_none_is_no_rows() -> None:
    chunks = [struct(a=(nanoarrow.int64(), values)) for values in ([1, 2], [3])]
    table = Table.of(nanoarrow.Array.from_chunks(chunks))
    assert table.records() == [{"a": 1}, {"a": 2}, {"a": 3}]
    empty = Table.of(nanoarrow.Array(struct(a=(nanoarrow.int64(), []))))
    assert empty.records() == []


def mixed(rows: int) -> Any:
    """Every kind of column, with values that are missing, as the library reads it from a stream."""
    records = [ROWS[index % len(ROWS)] for index in range(rows)]
    with InputStream.from_readable(stream_of_records(records)) as stream:
        return nanoarrow.Array(nanoarrow.c_array_stream(stream))


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 60, 1001])
def test_stream_in_parts_is_the_one_that_the_library_would_write(rows: int) -> None:
    table = mixed(rows)
    parts = stream_parts(table)
    assert parts is not None
    with InputStream.from_readable(b"".join(parts)) as stream:
        read = nanoarrow.Array(nanoarrow.c_array_stream(stream))
    assert list(read.iter_py()) == list(table.iter_py())
    assert Table.of(table).records() == [ROWS[index % len(ROWS)] for index in range(rows)]


def test_part_of_a_larger_table_is_refused_with_the_mend() -> None:
    part = nanoarrow.Array(nanoarrow.c_array(mixed(60))[10:20])
    with pytest.raises(NotFlat, match="copy a part of a larger table first"):
        Table.of(part)


def test_columns_within_columns_do_not_cross() -> None:
    inner = struct(b=(nanoarrow.int64(), [1]))
    schema = nanoarrow.struct({"a": nanoarrow.Schema(inner.schema)})
    nested = nanoarrow.c_array_from_buffers(
        schema, 1, [None], children=[inner], validation_level="none"
    )
    with pytest.raises(NotFlat, match="column 'a' is of a type that does not cross"):
        Table.of(nanoarrow.Array(nested))


def test_stream_that_was_changed_is_refused_or_read_and_never_ends_the_process() -> None:
    stream, chance = stream_of_records(ROWS), random.Random(7)
    refused = 0
    for _ in range(800):
        changed = bytearray(stream)
        for _ in range(chance.choice((1, 1, 3))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            records_of(read_stream(memoryview(bytes(changed))))
        except ArrowMalformed:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("data", [b"", b"\xff" * 7, b"no stream at all", bytes(64)])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(ArrowMalformed):
        read_stream(memoryview(data))


def test_stream_that_is_cut_is_refused() -> None:
    stream = memoryview(stream_of_records(ROWS))
    for end in range(0, len(stream) - 8, 97):
        with pytest.raises(ArrowMalformed):
            read_stream(stream[:end])
