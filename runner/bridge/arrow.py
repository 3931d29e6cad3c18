"""Arrow streams: made of records or of what others hold in Arrow, read in place, turned into records.

A stream is what the format calls one: the schema, record batches, an end mark. nanoarrow writes it; it is
read here, from its flatbuffers, for two reasons. The library copies what it reads, which at 100 MB costs
as much as writing it; and it trusts what it reads: a stream with some bytes changed ends the process, and
a worker's streams are not to be trusted. So every offset and length is checked here, and only columns
that have no columns inside are known.
"""

import io
import itertools
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner.bridge.flatbuffer import Flat
from runner.bridge.frames import ProtocolError

type Record = Mapping[str, Any]

_MARK = 0xFFFFFFFF
_SCHEMA, _BATCH = 1, 3


class ArrowMalformed(ProtocolError):
    """What came as an Arrow stream is none."""

    code = "arrow_malformed"


class NotFlat(Exception):
    """The records are no table; the message says why."""


# Records to a stream


def stream_of_records(records: Sequence[Any]) -> bytes:
    """Flat records of the same keys as a stream. NotFlat when Arrow could not give back each value as
    it is."""
    import nanoarrow

    keys, columns = _columns(records)
    children = [_array(name, column) for name, column in zip(keys, columns, strict=True)]
    schema = nanoarrow.struct(
        {name: nanoarrow.Schema(child.schema) for name, child in zip(keys, children, strict=True)}
    )
    table = nanoarrow.c_array_from_buffers(
        schema, len(records), [None], children=children, validation_level="none"
    )
    return stream_of(nanoarrow.Array(table))


def stream_of(table: Any) -> bytes:
    """Anything with `__arrow_c_stream__` as a stream."""
    from nanoarrow.ipc import StreamWriter

    written = io.BytesIO()
    with StreamWriter.from_writable(written) as writer:
        writer.write_stream(table)
    return written.getvalue()


def _columns(records: Sequence[Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    first = records[0] if records else None
    if type(first) is not dict or not first:
        raise NotFlat("it is no list of records")
    keys = tuple(first)
    if not all(type(record) is dict and tuple(record) == keys for record in records):
        raise NotFlat("its records have different keys")
    return keys, list(zip(*(record.values() for record in records), strict=True))


def _array(name: str, column: tuple[Any, ...]) -> Any:
    import nanoarrow

    kinds = set(map(type, column))
    present = None
    if type(None) in kinds:
        kinds.remove(type(None))
        present = [value is not None for value in column]
    if len(kinds) > 1:
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise NotFlat(f"'{name}' has values of several types ({named})")
    kind = kinds.pop() if kinds else type(None)
    if kind not in _WRITTEN:
        raise NotFlat(f"'{name}' has values that are no scalars ({kind.__name__})")
    type_, empty, buffers = _WRITTEN[kind]
    filled = column if present is None else [empty if v is None else v for v in column]
    try:
        parts = buffers(filled)
    except (OverflowError, UnicodeEncodeError) as error:
        raise NotFlat(f"'{name}' has a value that Arrow can't hold ({error})") from None
    given = parts if kind is type(None) else [_bits(present) if present else None, *parts]
    nulls = len(column) if kind is type(None) else present.count(False) if present else 0
    return nanoarrow.c_array_from_buffers(
        getattr(nanoarrow, type_)(), len(column), given, null_count=nulls
    )


def _bits(flags: Sequence[bool]) -> bytes:
    """Eight flags a byte, the first in the lowest bit."""
    digits = bytes(48 + flag for flag in reversed(flags))
    return int(digits or b"0", 2).to_bytes((len(flags) + 7) // 8, "little")


def _flags(data: memoryview, number: int) -> list[bool]:
    used = data[: (number + 7) // 8]
    digits = f"{int.from_bytes(used, 'little'):0{8 * len(used)}b}"
    return [digit == "1" for digit in digits[: -number - 1 : -1]]


def _texts(values: Sequence[str]) -> list[Any]:
    encoded = [value.encode() for value in values]
    offsets = array("i", itertools.accumulate(map(len, encoded), initial=0))
    return [offsets, b"".join(encoded)]


# By a value's type: Arrow's, what stands where there is none, the buffers beside the flags.
_WRITTEN: Mapping[type, tuple[str, Any, Callable[[Any], list[Any]]]] = {
    int: ("int64", 0, lambda values: [array("q", values)]),
    float: ("float64", 0.0, lambda values: [array("d", values)]),
    bool: ("bool_", False, lambda values: [_bits(values)]),
    str: ("string", "", _texts),
    type(None): ("null", None, lambda values: []),
}


# A stream to Arrow


def read_stream(data: memoryview) -> Any:
    """The table, a `nanoarrow.Array` of structs, over the same memory. ArrowMalformed for what is no
    stream of flat columns."""
    import nanoarrow

    try:
        fields, batches = _outline(data)
        schema = nanoarrow.struct({field.name: field.type for field in fields})
        if len(schema.fields) != len(fields):
            raise ValueError("two columns have one name")
        chunks = [_batch(schema, fields, header, body) for header, body in batches]
        return nanoarrow.Array.from_chunks(chunks or [_empty(schema, fields)])
    except (ValueError, RuntimeError, IndexError, StopIteration, struct.error) as error:
        raise ArrowMalformed(
            f"An Arrow stream can't be read: {error or 'it ends early'}."
        ) from None


def records_of(table: Any) -> list[dict[str, Any]]:
    """Each row as a record of plain values. ArrowMalformed for a text that is none."""
    names = [field.name for field in table.schema.fields]
    records: list[dict[str, Any]] = []
    try:
        for chunk in table.iter_chunks():
            columns = [_values(chunk.child(index)) for index in range(chunk.n_children)]
            records += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    except (ValueError, IndexError, struct.error) as error:
        raise ArrowMalformed(f"An Arrow table can't be read: {error}.") from None
    return records


def _values(column: Any) -> list[Any]:
    kind, number = column.schema.type.name, len(column)
    if column.offset or (kind not in _READ and kind != "NULL"):
        return list(column.iter_py())
    if kind == "NULL":
        return [None] * number
    present, *buffers = (memoryview(buffer).cast("B") for buffer in column.buffers)
    values = _READ[kind](number, *buffers)
    if not present:
        return values
    return [v if flag else None for v, flag in zip(values, _flags(present, number), strict=True)]


def _read_texts(number: int, offsets: memoryview, data: memoryview) -> list[str]:
    ends = offsets[: 4 * (number + 1)].cast("i").tolist()
    text = bytes(data)
    if text.isascii():
        whole = text.decode()
        return [whole[start:end] for start, end in itertools.pairwise(ends)]
    return [text[start:end].decode() for start, end in itertools.pairwise(ends)]


_READ: Mapping[str, Callable[..., list[Any]]] = {
    "INT64": lambda number, data: data[: 8 * number].cast("q").tolist(),
    "DOUBLE": lambda number, data: data[: 8 * number].cast("d").tolist(),
    "BOOL": lambda number, data: _flags(data, number),
    "STRING": _read_texts,
}


class _Field(NamedTuple):
    """A column: bits a value, or bytes an offset where values have lengths of their own; 0 for neither."""

    name: str
    type: Any
    bits: int = 0
    offset: int = 0


def _outline(data: memoryview) -> tuple[list[_Field], list[tuple[Flat, memoryview]]]:
    """The columns, and the record batches."""
    fields: list[_Field] = []
    batches: list[tuple[Flat, memoryview]] = []
    for kind, header, body in messages(data):
        if kind == _SCHEMA and not fields:
            fields = [_field(each) for each in header.tables(1)]
        elif kind == _BATCH and fields and not header.field(3):
            batches.append((header, body))
        else:
            raise ValueError("it has dictionaries or compressed columns, or messages out of order")
    if not fields:
        raise ValueError("it has no columns")
    return fields, batches


def messages(data: memoryview) -> Iterator[tuple[int, Flat, memoryview]]:
    """Kind, head and body of each message of a stream, to its end."""
    at = 0
    while at < len(data):
        mark, size = struct.unpack_from("<II", data, at)
        if mark != _MARK:
            raise ValueError("a message does not begin with its mark")
        if size == 0:
            return
        message = Flat.root(data[at + 8 : at + 8 + size])
        start = at + 8 + size
        at = start + message.value(3, "<q")
        if not start <= at <= len(data):
            raise ValueError("a message is cut")
        yield message.value(1, "<B"), message.table(2), data[start:at]
    raise ValueError("it has no end")


def _field(flat: Flat) -> _Field:
    import nanoarrow

    name, kind = flat.text(0), flat.value(2, "<B")
    if flat.field(4) or kind not in _TYPES:
        raise ValueError(f"column '{name}' is of a type that does not cross (number {kind})")
    of, offset = _TYPES[kind]
    type_, bits = of(flat.table(3))
    return _Field(name, getattr(nanoarrow, type_)(), bits, offset)


def _int(type_: Flat) -> tuple[str, int]:
    bits = type_.value(0, "<i")
    if bits not in (8, 16, 32, 64):
        raise ValueError(f"integers do not have {bits} bits")
    return f"{'int' if type_.value(1, '<B') else 'uint'}{bits}", bits


def _float(type_: Flat) -> tuple[str, int]:
    bits = (16, 32, 64)[type_.value(0, "<H")]
    return f"float{bits}", bits


def _always(type_: str, bits: int = 0) -> Callable[[Flat], tuple[str, int]]:
    return lambda flat: (type_, bits)


# By the number in a schema: nanoarrow's name and the bits a value, the bytes an offset.
_TYPES: Mapping[int, tuple[Callable[[Flat], tuple[str, int]], int]] = {
    1: (_always("null"), 0),
    2: (_int, 0),
    3: (_float, 0),
    4: (_always("binary"), 4),
    5: (_always("string"), 4),
    6: (_always("bool_", 1), 0),
    8: (
        lambda flat: ("date64", 64) if flat.value(0, "<H") or not flat.field(0) else ("date32", 32),
        0,
    ),
    19: (_always("large_binary"), 8),
    20: (_always("large_string"), 8),
}


def _empty(schema: Any, fields: list[_Field]) -> Any:
    import nanoarrow

    children = [
        nanoarrow.c_array_from_buffers(field.type, 0, [None] * _buffers(field)) for field in fields
    ]
    return nanoarrow.c_array_from_buffers(
        schema, 0, [None], children=children, validation_level="none"
    )


def _batch(schema: Any, fields: list[_Field], header: Flat, body: memoryview) -> Any:
    import nanoarrow

    rows = header.value(0, "<q")
    lengths, places = iter(header.pairs(1)), iter(header.pairs(2))
    children = []
    for field in fields:
        length, nulls = next(lengths)
        if length != rows or not 0 <= nulls <= rows:
            raise ValueError("its columns are not of one length")
        buffers = [_slice(body, *next(places)) for _ in range(_buffers(field))]
        checked = _checked(field, rows, nulls, buffers)
        children.append(
            nanoarrow.c_array_from_buffers(
                field.type, rows, checked, null_count=nulls, validation_level="full"
            )
        )
    return nanoarrow.c_array_from_buffers(
        schema, rows, [None], children=children, validation_level="none"
    )


def _buffers(field: _Field) -> int:
    """How many a column has: flags and values; where these have lengths, their offsets; nulls none."""
    return 3 if field.offset else 2 if field.bits else 0


def _checked(
    field: _Field, rows: int, nulls: int, buffers: list[memoryview]
) -> Sequence[memoryview | None]:
    """The buffers, each long enough; no flags where all values are there."""
    if not buffers:
        return []
    flags, *rest = buffers
    needed = (rows + 1) * field.offset if field.offset else (rows * field.bits + 7) // 8
    if not rows:
        return [None] * len(buffers)
    if (nulls and len(flags) < (rows + 7) // 8) or len(rest[0]) < needed:
        raise ValueError(f"column '{field.name}' is cut")
    return [flags if nulls else None, *rest]


def _slice(body: memoryview, offset: int, length: int) -> memoryview:
    if not 0 <= offset <= offset + length <= len(body):
        raise ValueError("a column lies outside of it")
    return body[offset : offset + length]
