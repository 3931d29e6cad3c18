"""PostgreSQL and Redis at work, from the programs of this machine: on Unix sockets in a directory of their
own, and gone when the test process is."""

import ctypes
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.processes import children, postgres_programs

STARTING = 20.0
_PR_SET_PDEATHSIG = 1


class Server:
    """A server that can be killed, stopped in its tracks and started again."""

    def __init__(self, directory: Path, *command: str | Path, account: dict[str, Any]) -> None:
        self.directory, self._command, self._account = directory, command, account
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self._command],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_us,
                **self._account,
            )
        until = time.monotonic() + STARTING
        while not self.answers():
            log_text = (self.directory / "log").read_text()
            assert self.process.poll() is None and time.monotonic() < until, log_text[-2000:]
            time.sleep(0.02)

    def kill(self) -> None:
        """Without a word to those who are connected; what was promised to be kept is kept."""
        assert self.process is not None
        self.thaw()
        self.process.send_signal(self.killed_by)
        self.process.wait(timeout=20)

    def freeze(self) -> None:
        """Connections stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            for pid in (self.process.pid, *children(self.process.pid, "")):
                os.kill(pid, number)

    killed_by = signal.SIGKILL

    def answers(self) -> bool:
        raise NotImplementedError


class Postgres(Server):
    """An empty database, `dspex`."""

    # "Immediate shutdown": as a crash, but it leaves no memory segment behind that a restart trips over.
    killed_by = signal.SIGQUIT

    def __init__(self, directory: Path) -> None:
        programs, account, data = postgres_programs(), _account(), directory / "data"
        assert programs is not None
        if account:
            os.chown(directory, account["user"], account["group"])
        subprocess.run(
            [
                programs / "initdb",
                *("-D", data, "-U", "dspex", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--no-locale"),
            ],
            cwd=directory,
            check=True,
            capture_output=True,
            **account,
        )
        # A crash of ours loses nothing without fsync; a crash of the machine ends the test, too.
        options = ("listen_addresses=", f"unix_socket_directories={directory}", "fsync=off")
        flags = [part for option in options for part in ("-c", option)]
        super().__init__(directory, programs / "postgres", "-D", data, *flags, account=account)
        self.start()
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE dspex")

    @property
    def url(self) -> str:
        return self._address("dspex")

    def _address(self, database: str) -> str:
        return f"postgresql://dspex@/{database}?host={self.directory}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self._address("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """A server that keeps nothing: a restart has forgotten who listened."""

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{directory}/socket"
        options = ("--port", "0", "--unixsocket", directory / "socket", "--save", "")
        super().__init__(directory, "redis-server", *options, account={})
        self.start()

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


def _account() -> dict[str, Any]:
    """Whom PostgreSQL runs as: it refuses to be root."""
    if os.geteuid():
        return {}
    found = pwd.getpwnam("postgres")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _end_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
