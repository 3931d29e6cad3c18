"""Shared memory that needs no unlinking: a file without a name, sealed, passed by descriptor.

A named file in /dev/shm stays when both sides are killed. A memfd has no name: it is gone with the last
descriptor and mapping, whatever ended their owners. Its seals are why a worker's memory may be read in
place: it can neither be changed while it is read nor cut short (which would kill the reader, SIGBUS).
"""

import mmap
import os
import socket
import sys
from array import array
from collections.abc import Iterable
from typing import Self

from runner.bridge.frames import Descriptor, FrameMalformed

AVAILABLE = sys.platform == "linux"
SHARED_FROM = 1024 * 1024
"""Bytes from which a body goes through shared memory: below, mapping it costs more than copying it."""

MAX_DESCRIPTORS = 8
"""Descriptors that one read may bring."""

if sys.platform == "linux":
    import fcntl

    _ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS * array("i").itemsize)
    _SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    _NEEDED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE


class Memory:
    """A sealed piece of shared memory, until nobody has it or a view of it any more."""

    def __init__(self, descriptor: Descriptor, size: int) -> None:
        self._descriptor = descriptor
        self.size = size
        self._view: memoryview | None = None

    @classmethod
    def of(cls, parts: Iterable[bytes | memoryview]) -> Self:
        """What the parts have, one after the other."""
        memory = cls.draft()
        for part in parts:
            view = memoryview(part).cast("B")
            while view:
                view = view[os.write(memory.descriptor, view) :]
        return memory.sealed()

    @classmethod
    def draft(cls) -> Self:
        """Empty, to be written to; then `sealed`."""
        number = os.memfd_create("dspex", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        return cls(Descriptor(number), 0)

    @property
    def descriptor(self) -> int:
        return self._descriptor.number

    def sealed(self) -> Self:
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        self.size = os.fstat(self.descriptor).st_size
        return self

    @classmethod
    def received(cls, descriptor: Descriptor, size: int) -> Self:
        """What the other side passed. FrameMalformed when it is not what it was announced to be."""
        memory = cls(descriptor, size)
        try:
            seals = fcntl.fcntl(descriptor.number, fcntl.F_GET_SEALS)
        except OSError:
            raise FrameMalformed("A descriptor was passed that is no shared memory.") from None
        if seals & _NEEDED != _NEEDED:
            raise FrameMalformed("Shared memory was passed that is not sealed.")
        if os.fstat(descriptor.number).st_size != size or not size:
            raise FrameMalformed(f"Shared memory does not have the {size:,} bytes announced.")
        return memory

    def view(self) -> memoryview:
        """Its bytes, in place."""
        if self._view is None:
            self._view = memoryview(
                mmap.mmap(self.descriptor, self.size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
            )
        return self._view


def send(connection: socket.socket, data: bytes | memoryview, memory: Memory | None) -> int:
    """Send what the socket takes, and the memory's descriptor with it; how many bytes that were."""
    if memory is None:
        return connection.send(data)
    return socket.send_fds(connection, [data], [memory.descriptor])


def receive(connection: socket.socket, buffer: memoryview) -> tuple[int, list[int]]:
    """Bytes received into the buffer, 0 at the end; and the descriptors that came with them."""
    if not AVAILABLE:
        return connection.recv_into(buffer), []
    # Not for programs that a worker starts.
    size, ancillary, flags, _ = connection.recvmsg_into([buffer], _ROOM, socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        return size, []
    descriptors = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if flags & socket.MSG_CTRUNC:
        for descriptor in descriptors:
            os.close(descriptor)
        raise FrameMalformed(f"More than {MAX_DESCRIPTORS} descriptors came at once.")
    return size, descriptors.tolist()
