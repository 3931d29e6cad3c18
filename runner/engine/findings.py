"""What somebody who looks after an installation is told about one part of it."""

from enum import StrEnum

import msgspec


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # it works, with less than it could
    BROKEN = "broken"  # what needs it fails


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How a part is. `mend` says what to do about it, and is empty where nothing is to be done."""

    part: str
    state: State
    says: str
    mend: str = ""


def ok(part: str, says: str) -> Finding:
    return Finding(part=part, state=State.OK, says=says)


def degraded(part: str, says: str, mend: str) -> Finding:
    return Finding(part=part, state=State.DEGRADED, says=says, mend=mend)


def broken(part: str, says: str, mend: str) -> Finding:
    return Finding(part=part, state=State.BROKEN, says=says, mend=mend)
