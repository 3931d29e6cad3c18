"""An Arrow stream as the pieces that it is made of, the columns in place: one copy, into shared memory.

The library gathers a batch before it writes it, which doubles the time. So it writes a batch of one row with
the same columns, and the places and lengths in that are set to those of the whole.
"""

import struct
from typing import Any

from runner.bridge.arrow import messages, stream_of
from runner.bridge.flatbuffer import Flat

_END = struct.pack("<II", 0xFFFFFFFF, 0)
_BATCH = 3
_LENGTH, _NODES, _BUFFERS = 0, 1, 2
_BODY_LENGTH = 3
_TEXTS = frozenset({"STRING", "BINARY", "LARGE_STRING", "LARGE_BINARY"})
_KNOWN = _TEXTS | {
    *("NULL", "BOOL", "HALF_FLOAT", "FLOAT", "DOUBLE", "DATE32", "DATE64"),
    *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
}


def stream_parts(table: Any) -> list[bytes | memoryview] | None:
    """The pieces of the stream of anything with `__arrow_c_stream__`. None where only the library can write
    it: parts of larger columns, and what is not flat."""
    import nanoarrow

    whole = nanoarrow.Array(table)
    chunks = list(whole.iter_chunks())
    fields = list(whole.schema.fields)
    if not fields or not all(_is_in_place(chunk) for chunk in chunks):
        return None
    sample = _sample(whole.schema, fields)
    if sample is None:
        return None
    schema, metadata = sample
    parts: list[bytes | memoryview] = [schema]
    for chunk in chunks:
        parts += _batch(bytearray(metadata), chunk)
    return [*parts, _END]


def _is_in_place(chunk: Any) -> bool:
    columns = [chunk.child(index) for index in range(chunk.n_children)]
    return not chunk.offset and not any(
        column.offset or column.n_children or column.schema.type.name not in _KNOWN
        for column in columns
    )


def _sample(schema: Any, fields: list[Any]) -> tuple[bytes, bytes] | None:
    """The schema's message, and the head of a batch's."""
    import nanoarrow

    children = []
    for field in fields:
        number = _buffers(field)
        buffers = [None, bytes(16), b""][:number]
        nulls = 0 if number else 1
        children.append(
            nanoarrow.c_array_from_buffers(
                field, 1, buffers, null_count=nulls, validation_level="none"
            )
        )
    row = nanoarrow.c_array_from_buffers(
        schema, 1, [None], children=children, validation_level="none"
    )
    stream = stream_of(nanoarrow.Array(row))
    view = memoryview(stream)
    for kind, _, body in messages(view):
        if kind == _BATCH and len(body):
            end = len(stream) - len(_END) - len(body)
            start = _start_of(view, end)
            return stream[:start], stream[start:end]
    return None


def _start_of(view: memoryview, end: int) -> int:
    """Where the message begins whose head ends there."""
    at = 0
    while True:
        _, size = struct.unpack_from("<II", view, at)
        if at + 8 + size == end:
            return at
        message = Flat.root(view[at + 8 : at + 8 + size])
        at += 8 + size + message.value(_BODY_LENGTH, "<q")


def _buffers(field: Any) -> int:
    """How many buffers a column of this type has."""
    return {"NULL": 0}.get(field.type.name, 3 if field.type.name in _TEXTS else 2)


def _batch(metadata: bytearray, chunk: Any) -> list[bytes | memoryview]:
    """A chunk's message, from the head of the sample's."""
    nodes: list[int] = []
    places: list[int] = []
    parts: list[bytes | memoryview] = [memoryview(metadata)]
    at = 0
    for index in range(chunk.n_children):
        column = chunk.child(index)
        buffers = [memoryview(buffer).cast("B") for buffer in column.buffers]
        nulls = _nulls(len(column), buffers)
        nodes += [len(column), nulls]
        for number, buffer in enumerate(buffers):
            used = buffer if number or nulls else buffer[:0]
            places += [at, len(used)]
            padding = -len(used) % 8
            parts += [used, bytes(padding)]
            at += len(used) + padding
    view = memoryview(metadata)[8:]
    message = Flat.root(view)
    header = message.table(2)
    struct.pack_into("<q", view, message.field(_BODY_LENGTH), at)
    struct.pack_into("<q", view, header.field(_LENGTH), len(chunk))
    struct.pack_into(f"<{len(nodes)}q", view, header.start_of(_NODES), *nodes)
    struct.pack_into(f"<{len(places)}q", view, header.start_of(_BUFFERS), *places)
    return parts


def _nulls(rows: int, buffers: list[memoryview]) -> int:
    """Counted, as who made the column need not have said it."""
    if not buffers:
        return rows
    if not buffers[0]:
        return 0
    flags = int.from_bytes(buffers[0][: (rows + 7) // 8], "little") & ((1 << rows) - 1)
    return rows - flags.bit_count()
