"""The bridge protocol with typed messages, without I/O. Host, worker and forkserver all drive this."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import msgspec

from runner.bridge import formats, tables
from runner.bridge.formats import ARROW
from runner.bridge.frames import (
    FIXED,
    MAX_FRAME,
    MAX_TABLE,
    Decoder,
    Frame,
    FrameTooLarge,
    Kind,
    ProtocolError,
    pack,
    pack_shared,
)
from runner.bridge.messages import TYPES, VALUES, Message
from runner.bridge.shared import SHARED_FROM, Memory
from runner.bridge.tables import HasTables, Lifted, Table, TableMissing, TableRef

MAX_WAITING = 64
"""Tables that may have come before the message that they belong to."""


class BodyMalformed(ProtocolError):
    """A frame's body is not the message that its kind announces."""

    code = "body_malformed"


class Received(NamedTuple):
    """A message with its frame's kind and request number."""

    kind: Kind
    request: int
    message: Any


type Parcel = tuple[bytes | memoryview, Memory | None]
"""Bytes to send, and the shared memory whose descriptor goes with the first of them."""


@dataclass(slots=True)
class Traffic:
    """What went over one connection, in bytes: through the socket, and through shared memory; and how
    many tables."""

    bytes_out: int = 0
    bytes_in: int = 0
    shared_out: int = 0
    shared_in: int = 0
    tables_out: int = 0
    tables_in: int = 0

    def since(self, other: "Traffic") -> "Traffic":
        """What was added to an earlier state of this."""
        return Traffic(
            self.bytes_out - other.bytes_out,
            self.bytes_in - other.bytes_in,
            self.shared_out - other.shared_out,
            self.shared_in - other.shared_in,
            self.tables_out - other.tables_out,
            self.tables_in - other.tables_in,
        )

    def copy(self) -> "Traffic":
        return self.since(_NONE)

    def add(self, other: "Traffic") -> None:
        self.bytes_out += other.bytes_out
        self.bytes_in += other.bytes_in
        self.shared_out += other.shared_out
        self.shared_in += other.shared_in
        self.tables_out += other.tables_out
        self.tables_in += other.tables_in


_NONE = Traffic()
# By type: asking a dict for a kind takes longer than reading a chunk's header.
_MAY_HAVE_TABLES = frozenset(TYPES[kind] for kind in VALUES)


class Wire:
    """One connection's state: what was received in part, the format to write, what went each way.

    `format` starts as JSON, which every party has, and is set when the handshake has agreed on one, as
    is whether the other side takes Arrow `tables` and `shared` memory. Frames are read in whatever
    registered format they name.
    """

    def __init__(self, limit: int = MAX_FRAME, *, shares: bool = False) -> None:
        """With `shares`, that deque gets what each message that came took, in order, for who takes them
        to pop."""
        self.shares: deque[Traffic] | None = deque() if shares else None
        self._tables_in = Traffic()
        self.format = formats.JSON
        self.tables = False
        self.shared = False
        self.traffic = Traffic()
        self._limit = limit
        self._decoder = Decoder(limit)
        self._decoders: dict[int, Callable[[bytes | memoryview], Any]] = {}
        self._waiting: dict[int, Table] = {}
        self._numbers = count(1)

    @property
    def bytes_in(self) -> int:
        """Bytes received, wherever they came through."""
        return self.traffic.bytes_in + self.traffic.shared_in

    @property
    def bytes_out(self) -> int:
        return self.traffic.bytes_out + self.traffic.shared_out

    def pack(self, kind: Kind, request: int, message: Message) -> bytes:
        """The frame of a message that needs no shared memory and has no tables."""
        data = pack(self.format.code, kind, request, self.format.encode(message), self._limit)
        self.traffic.bytes_out += len(data)
        return data

    def parcels(self, kind: Kind, request: int, message: Message) -> list[Parcel]:
        """All that is to be sent for a message, in order. FrameTooLarge when the other side would refuse
        it."""
        format_ = self.format
        try:
            body = format_.encode(message)
        except HasTables:
            return self._with_tables(kind, request, message, records=False)
        except OverflowError:
            # A whole number of more than 64 bits, which JSON has, and everybody reads JSON.
            format_ = formats.JSON
            body = format_.encode(message)
        if FIXED + len(body) > self._limit and self.tables and kind in VALUES:
            return self._with_tables(kind, request, message, records=True)
        return [self._parcel(format_.code, kind, request, body)]

    def feed(self, data: bytes | memoryview, descriptors: Sequence[int] = ()) -> list[Received]:
        """The messages that are complete now, in order; ProtocolError when one is not valid."""
        self.traffic.bytes_in += len(data)
        messages = []
        for frame in self._decoder.feed(data, descriptors):
            if (message := self._read(frame)) is not None:
                messages.append(message)
        return messages

    def end(self) -> None:
        """The connection is at its end; FrameTruncated when that cuts a frame."""
        self._waiting.clear()
        self._decoder.end()

    # Sending

    def _with_tables(
        self, kind: Kind, request: int, message: Message, *, records: bool
    ) -> list[Parcel]:
        field = VALUES.get(kind)
        if field is None:
            raise TypeError(f"A {kind.name.lower()} message can't carry tables.")
        value = getattr(message, field)
        if not self.tables:
            plain = msgspec.structs.replace(message, **{field: tables.plain(value)})
            return [self._parcel(self.format.code, kind, request, self.format.encode(plain))]
        lifted = Lifted(lambda: next(self._numbers) & 0xFFFFFFFF, records=records)
        given = {field: lifted.value(value), "tables": ()}
        given["tables"] = tuple(reference for reference, _ in lifted.tables)
        body = self.format.encode(msgspec.structs.replace(message, **given))
        parcels = [self._table(reference, table) for reference, table in lifted.tables]
        try:
            return [*parcels, self._parcel(self.format.code, kind, request, body)]
        except FrameTooLarge as error:
            raise FrameTooLarge(" ".join((error.message, *lifted.why_not()))) from None

    def _table(self, reference: TableRef, table: Table) -> Parcel:
        self.traffic.tables_out += 1
        if self.shared and table.memory is not None:
            size = table.memory.size
            header = pack_shared(ARROW.code, Kind.TABLE, reference.table, size, MAX_TABLE)
            self.traffic.bytes_out += len(header)
            self.traffic.shared_out += size
            return header, table.memory
        return self._parcel(ARROW.code, Kind.TABLE, reference.table, ARROW.encode(table))

    def _parcel(self, format_code: int, kind: Kind, request: int, body: bytes) -> Parcel:
        if self.shared and SHARED_FROM <= len(body) <= self._limit:
            data, memory = pack_shared(format_code, kind, request, len(body)), Memory.of((body,))
            self.traffic.shared_out += len(body)
        else:
            data, memory = pack(format_code, kind, request, body, self._limit), None
        self.traffic.bytes_out += len(data)
        return data, memory

    # Receiving

    def _read(self, frame: Frame) -> Received | None:
        memory, kind = None, frame.kind
        body: bytes | memoryview = frame.body
        if frame.descriptor is not None:
            memory = Memory.received(frame.descriptor, frame.size)
            self.traffic.shared_in += frame.size
            body = memory.view()
        if kind is Kind.TABLE:
            self._keep(frame, body, memory)
            return None
        message = self._message(frame, body)
        if self.shares is not None:
            self._share(frame)
        if type(message) in _MAY_HAVE_TABLES and message.tables:
            message = self._with_its_tables(kind, message, message.tables)
        return Received(kind, frame.request, message)

    def _share(self, frame: Frame) -> None:
        """Put down what the message of this frame took, tables before it included."""
        share, self._tables_in = self._tables_in, Traffic()
        share.add(Traffic(bytes_in=frame.on_socket, shared_in=frame.size))
        assert self.shares is not None
        self.shares.append(share)

    def _message(self, frame: Frame, body: bytes | memoryview) -> Any:
        key = frame.format << 8 | frame.kind
        decode = self._decoders.get(key)
        if decode is None:
            format_ = formats.by_code(frame.format)
            if not format_.messages:
                raise BodyMalformed(
                    f"A {frame.kind.name.lower()} message can't be in {format_.name}."
                )
            decode = self._decoders[key] = format_.decoder(TYPES[frame.kind])
        try:
            return decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            name = frame.kind.name.lower()
            raise BodyMalformed(f"The body of a {name} message is not valid: {error}.") from None

    def _keep(self, frame: Frame, body: bytes | memoryview, memory: Memory | None) -> None:
        if formats.by_code(frame.format) is not ARROW:
            raise BodyMalformed("A table is not in Arrow.")
        if frame.request in self._waiting:
            raise BodyMalformed(f"Table {frame.request} came twice.")
        if len(self._waiting) >= MAX_WAITING:
            raise BodyMalformed(f"{MAX_WAITING} tables wait for their message already.")
        self.traffic.tables_in += 1
        if self.shares is not None:
            self._tables_in.add(Traffic(bytes_in=frame.on_socket, shared_in=frame.size))
            self._tables_in.tables_in += 1
        self._waiting[frame.request] = Table(body, memory)

    def _with_its_tables(
        self, kind: Kind, message: Any, references: tuple[TableRef, ...]
    ) -> Message:
        field = VALUES[kind]
        value = getattr(message, field)
        for reference in references:
            table = self._waiting.pop(reference.table, None)
            if table is None:
                raise TableMissing(f"Table {reference.table} did not come before its message.")
            value = tables.put(value, reference.path, table)
        made: Message = msgspec.structs.replace(message, **{field: value})
        return made
