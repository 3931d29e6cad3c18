"""Frames and messages as bytes, with no socket anywhere."""

import struct
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.bridge import formats
from runner.bridge.formats import Format, NoCommonFormat, UnknownFormat
from runner.bridge.frames import (
    Decoder,
    Frame,
    FrameMalformed,
    FrameTooLarge,
    FrameTruncated,
    Kind,
    UnknownKind,
    pack,
)
from runner.bridge.messages import CallMessage, ChunkMessage, Message, ModuleInfo, Ready
from runner.bridge.wire import BodyMalformed, Wire

FRAMES = [
    Frame(1, Kind.CALL, 1, b'{"operation":"echo"}'),
    Frame(2, Kind.PING, 2, b""),
    Frame(127, Kind.RESULT, 2**32 - 1, bytes(range(256)) * 40),
]


def packed(frames: list[Frame]) -> bytes:
    return b"".join(pack(*frame[:4]) for frame in frames)


def test_header_is_length_format_kind_request() -> None:
    assert pack(2, Kind.CALL, 7, b"abc") == bytes([0, 0, 0, 9, 2, 3, 0, 0, 0, 7]) + b"abc"


@given(st.lists(st.integers(1, 50), max_size=400))
def test_frames_survive_any_cut(sizes: list[int]) -> None:
    data, decoder, found = packed(FRAMES), Decoder(), []
    for size in [*sizes, len(data)]:
        found += decoder.feed(data[:size])
        data = data[size:]
    decoder.end()
    assert found == FRAMES


def test_frame_does_not_share_memory_with_the_buffer_it_came_in() -> None:
    buffer = bytearray(packed(FRAMES[:1]))
    (frame,) = Decoder().feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert frame == FRAMES[0]


def test_end_within_a_frame_is_an_error() -> None:
    decoder = Decoder()
    assert decoder.feed(packed(FRAMES)[:-1]) == FRAMES[:2]
    with pytest.raises(FrameTruncated, match="into a frame"):
        decoder.end()


def test_oversized_frame_is_refused_at_its_header() -> None:
    with pytest.raises(FrameTooLarge, match="announces 1,000 bytes; at most 100"):
        Decoder(limit=100).feed(struct.pack(">IBBI", 1000, 1, Kind.CALL, 1))


def test_frame_at_the_limit_passes() -> None:
    assert Decoder(limit=106).feed(pack(1, Kind.CALL, 1, b"x" * 100, limit=106))


def test_sender_refuses_what_the_receiver_would() -> None:
    with pytest.raises(FrameTooLarge, match="call message of 107 bytes exceeds the limit of 106"):
        pack(1, Kind.CALL, 1, b"x" * 101, limit=106)


def test_length_that_leaves_no_room_for_the_header_is_refused() -> None:
    with pytest.raises(FrameMalformed):
        Decoder().feed(struct.pack(">IBBI", 5, 1, Kind.CALL, 1))


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownKind, match="kind 99"):
        Decoder().feed(struct.pack(">IBBI", 6, 1, 99, 1))


def test_unknown_format_is_refused_and_named() -> None:
    with pytest.raises(UnknownFormat, match="format 77 is unknown"):
        Wire().feed(pack(77, Kind.PING, 1, b"{}"))


@pytest.mark.parametrize("body", [b"", b"{", b'{"payload": {}}', b'{"operation": 3}', b"[" * 5000])
def test_body_that_is_not_the_message_is_refused(body: bytes) -> None:
    with pytest.raises(BodyMalformed, match="call message"):
        Wire().feed(pack(formats.JSON.code, Kind.CALL, 1, body))


@pytest.mark.parametrize("name", ["json", "messagepack"])
def test_messages_cross_in_every_format(name: str) -> None:
    sender, receiver = Wire(), Wire()
    sender.format = formats.by_name(name)
    call = CallMessage(operation="module", payload={"a": [1, 2.5, None, "ü", {"b": True}]})
    (received,) = receiver.feed(sender.pack(Kind.CALL, 5, call))
    assert received == (Kind.CALL, 5, call)
    assert receiver.bytes_in == sender.bytes_out > 10


def test_field_that_a_later_version_adds_is_ignored() -> None:
    body = msgspec.json.encode({"field": "answer", "text": "x", "colour": "red"})
    (received,) = Wire().feed(pack(formats.JSON.code, Kind.CHUNK, 1, body))
    assert received.message == ChunkMessage(field="answer", text="x")


@pytest.fixture
def shouting() -> Iterator[Format]:
    """A third format: JSON in capitals, for the keys at least."""
    added = Format(
        code=9,
        name="shouting",
        encode=lambda message: msgspec.json.encode(message).swapcase(),
        decoder=lambda type_: lambda body: msgspec.json.decode(body.swapcase(), type=type_),
    )
    formats.register(added)
    yield added
    formats.unregister(added.name)


def test_further_format_can_be_registered(shouting: Format) -> None:
    sender, receiver = Wire(), Wire()
    sender.format = formats.negotiate(("shouting", "json"))
    data = sender.pack(Kind.CHUNK, 1, ChunkMessage(field="a", text="b"))
    assert b'"FIELD"' in data
    assert receiver.feed(data)[0].message == ChunkMessage(field="a", text="b")


def test_format_code_can_be_registered_once(shouting: Format) -> None:
    with pytest.raises(ValueError, match="registered already"):
        formats.register(shouting)


def test_negotiation_takes_the_first_common_format() -> None:
    assert formats.negotiate(("arrow", "messagepack", "json")).name == "messagepack"
    with pytest.raises(NoCommonFormat, match="Offered: arrow"):
        formats.negotiate(("arrow",))


def test_ready_reads_back() -> None:
    modules = (ModuleInfo(name="Predict", takes=("signature",)),)
    ready = Ready(protocol=1, format="json", versions={"dspy": "3.4.1"}, modules=modules)
    (received,) = Wire().feed(Wire().pack(Kind.READY, 0, ready))
    assert received.message == ready
    assert isinstance(received.message, Message)
