"""What every layer of tests shares: the layer is the folder, nothing leaves this machine, and a missing
program is a reason to skip here and a failure in CI."""

import ipaddress
import os
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from runner.bridge import sandbox
from tests.processes import postgres_programs

# The same examples in every run: a gate that fails at random teaches people to press it twice.
# `pytest --hypothesis-profile=default` looks for new ones.
settings.load_profile("ci")

LAYERS = ("fast", "protocol", "integration", "browser")
HERE = Path(__file__).parent


class LeftTheMachine(Exception):
    """A test tried to reach another machine. Give it a fake, or a server on 127.0.0.1."""


def _refuse_to_leave(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook sees every connection of this process, however it is made; patching `socket` would
    # miss those that C code or an alias makes.
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        # A Unix address is no tuple; None means that the socket is connected already.
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise LeftTheMachine(f"{event} to {address}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] is not None:
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0])
        if not _is_loopback(host):
            raise LeftTheMachine(f"looking up {host}")


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost", "localhost.localdomain"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def pytest_configure() -> None:
    sys.addaudithook(_refuse_to_leave)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(_layer(item.path))


def _layer(path: Path) -> str:
    layer = path.relative_to(HERE).parts[0]
    if layer not in LAYERS:
        raise pytest.UsageError(f"{path} is in no layer. Move it to one of {', '.join(LAYERS)}.")
    return layer


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        (program,) = marker.args
        if missing := _missing(program):
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(missing)


def _missing(program: str) -> str:
    """What keeps tests that need this program from running; empty when nothing does."""
    if program == "deno":  # with Pyodide
        found = sandbox.ready(sandbox.worker_environment(os.environ))
        return "" if found.ok else found.detail
    found = postgres_programs() if program == "postgres" else shutil.which(program)
    return "" if found else f"{program} is not installed"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what a test of each layer costs; `make bench` reads the line of the fast one."""
    seconds: dict[str, float] = defaultdict(float)
    tests: dict[str, set[str]] = defaultdict(set)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                layer = next((name for name in LAYERS if name in report.keywords), "other")
                seconds[layer] += report.duration
                tests[layer].add(report.nodeid)
    for layer, found in tests.items():
        mean = 1000 * seconds[layer] / len(found)
        terminalreporter.write_line(f"{layer}: {len(found)} tests, {mean:.1f} ms each on average")
