"""A real `manage.py up` on a data directory of its own, and what benchmarks put into its database."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command

ROOT = Path(__file__).parents[1]
PATIENCE = 60
"""Seconds that a server may take to begin, and to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`sign_in` is the one-time address that it printed."""

    address: str
    sign_in: str
    pid: int


@contextmanager
def database() -> Iterator[None]:
    """A data directory of this process and of the servers it starts, with its tables and models.

    Once in a process: Django is set up with it.
    """
    with tempfile.TemporaryDirectory(prefix="dspex-bench-") as directory:
        os.environ |= {
            "DSPEX_DATA_DIR": directory,
            "DSPEX_ORIGINS": "",
            "DJANGO_SETTINGS_MODULE": "dspex_site.settings",
            # Playwright has an event loop in the thread that also asks the database.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        yield


@contextmanager
def up(*options: str) -> Iterator[Server]:
    """`manage.py up` on a free port, from the moment that it names its address."""
    command = [sys.executable, "manage.py", "up", "--port", "0", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            sign_in, address = _addresses(process)
            yield Server(address=address, sign_in=sign_in, pid=process.pid)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _addresses(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"(http://[^/\s]+)/\S+", line):
            return found[0], found[1]
    raise RuntimeError("manage.py up has ended without an address. Start it by hand to see why.")
