"""How a worker ended, told apart. Pure."""

from enum import StrEnum

from runner.bridge.messages import Exited

_FROM_SHELL = 128
"""A shell says 128 + n for signal n; so do programs that wrap others."""


class EndReason(StrEnum):
    """Why a worker is no more."""

    SEGFAULT = "segfault"  # it touched memory that is not its own
    OUT_OF_MEMORY = "out_of_memory"  # the system killed it for its memory
    KILLED = "killed"  # somebody else killed it
    ABORT = "abort"  # it gave up by itself
    CPU_LIMIT = "cpu_limit"  # it used up the processor time of a call
    SIGNAL = "signal"  # any other signal
    EXIT = "exit"  # it ended with an exit code
    HEARTBEAT = "heartbeat"  # it did not answer
    PROTOCOL = "protocol"  # it said what can't be understood
    NOT_READY = "not_ready"  # it did not start
    LOST = "lost"  # its connection ended, and nobody knows how
    RECYCLED = "recycled"  # it had done, lived or taken enough
    STOPPED = "stopped"  # its step had to stop, and it did not
    RELEASED = "released"  # nobody needed it any more

    @property
    def is_crash(self) -> bool:
        """Whether it ended against our will."""
        return self not in _MEANT


FROM_OUTSIDE = frozenset({EndReason.KILLED, EndReason.OUT_OF_MEMORY, EndReason.LOST})
"""Whoever ended so may well live when it is started again."""

_MEANT = frozenset({EndReason.RECYCLED, EndReason.STOPPED, EndReason.RELEASED})

_SIGNALS = {
    6: EndReason.ABORT,
    7: EndReason.SEGFAULT,  # SIGBUS: a page that can't be had
    9: EndReason.KILLED,
    11: EndReason.SEGFAULT,
    24: EndReason.CPU_LIMIT,  # SIGXCPU
}

WORDS = {
    EndReason.SEGFAULT: "a segmentation fault",
    EndReason.OUT_OF_MEMORY: "the system was out of memory",
    EndReason.KILLED: "somebody killed it",
    EndReason.ABORT: "it aborted",
    EndReason.CPU_LIMIT: "its call used up its processor time",
}


def reason_of(exited: Exited | None, *, out_of_memory: bool) -> EndReason:
    """What a worker that was not told to end died of. `out_of_memory`: the system has killed a process
    for its memory meanwhile, so a kill was probably that."""
    if exited is None:
        return EndReason.LOST
    signal = exited.signal
    if signal is None and exited.code is not None and exited.code > _FROM_SHELL:
        signal = exited.code - _FROM_SHELL
    if signal is None:
        return EndReason.EXIT
    reason = _SIGNALS.get(signal, EndReason.SIGNAL)
    if reason is EndReason.KILLED and out_of_memory:
        return EndReason.OUT_OF_MEMORY
    return reason
