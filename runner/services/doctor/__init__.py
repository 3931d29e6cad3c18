"""`examine`: how every part of the installation is, found out by using it.

Parts are looked at at the same time, each within a time limit and in a thread of its own: what hangs is
said to hang, and keeps nobody else. A part that fails in a way nobody thought of is broken, with what it
said.
"""

import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from django.conf import settings

from runner.bridge.checkup import isolation, workers
from runner.engine.findings import Finding, State, broken
from runner.live.checkup import channel_layer
from runner.lm.checkup import local_model
from runner.services.doctor.database import database
from runner.services.doctor.hardware import hardware
from runner.services.doctor.installation import code_sandbox, python, retention, stored_keys
from runner.services.doctor.places import disks, pages

__all__ = ["PARTS", "TIMEOUT", "examine", "is_broken"]

TIMEOUT = 9.0
"""Seconds that a part may take. The slowest load DSPy and the embedded model, in some two."""

type Check = Callable[[], list[Finding]]

PARTS: Mapping[str, Check] = {
    "Python": python,
    "Hardware": hardware,
    "Database": database,
    "DSPy": lambda: workers(settings.POOLS),
    "Isolation": isolation,
    "Sandbox for code": code_sandbox,
    "Local model": local_model,
    "Channel layer": channel_layer,
    "Pages' scripts": pages,
    "Disk": disks,
    "Stored keys": stored_keys,
    "Retention": retention,
}
"""What is looked at, in the order in which it is told."""


def examine(parts: Mapping[str, Check] = PARTS, *, timeout: float = TIMEOUT) -> list[Finding]:
    """Findings of all parts, in their order. Blocks, for no longer than the time limit."""
    told: SimpleQueue[tuple[str, list[Finding]]] = SimpleQueue()
    for part, check in parts.items():
        threading.Thread(target=_look, args=(part, check, told), daemon=True).start()
    found: dict[str, list[Finding]] = {}
    until = time.monotonic() + timeout
    while len(found) < len(parts):
        try:
            part, findings = told.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        found[part] = findings
    return [each for part in parts for each in found.get(part) or [_late(part, timeout)]]


def is_broken(findings: list[Finding]) -> bool:
    return any(each.state is State.BROKEN for each in findings)


def _look(part: str, check: Check, told: "SimpleQueue[tuple[str, list[Finding]]]") -> None:
    try:
        findings = check()
    except Exception as error:
        mend = "This was not foreseen: look at the message, and tell who looks after DSPex."
        findings = [broken(part, f"{type(error).__name__}: {error}", mend)]
    told.put((part, findings))


def _late(part: str, timeout: float) -> Finding:
    mend = "Is the machine busy? Ask again with more time: `manage.py doctor --timeout 60`."
    return broken(part, f"It did not answer within {timeout:g} s.", mend)
