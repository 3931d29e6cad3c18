"""What keeps a worker to itself: measures that a forked process takes against itself before it serves.

A worker runs DSPy on what language models answer, and for some modules code that they wrote. It needs
its socket and nothing else, so it gives up the rest: the network (a namespace of its own with nothing in
it), capabilities and any way to regain them, more than so much memory, time, files and processes, and
every directory but a scratch one that goes when it does. What the system does not permit is left out and
said, never guessed: each measure is in the worker's ready message, with the reason.

Costs 0.6 ms a fork. Needs a process of one thread (a user namespace does), hence fork time.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from runner.bridge.messages import Measure

if sys.platform != "win32":  # there the settings are read and no worker is made
    import resource

_PROJECT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_REPORT_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How far a worker is shut in. Bytes and seconds; 0 means no limit.

    `memory` counts what the process may write to (RLIMIT_DATA): an address-space limit would forbid the
    tens of gigabytes that the sandbox's V8 reserves and never touches. `cpu_seconds` is for one call,
    `processes` counts threads too.
    """

    network: bool = True
    privileges: bool = True
    memory: int = 4 * 1024**3
    cpu_seconds: int = 600
    file_size: int = 2 * 1024**3
    processes: int = 1024
    open_files: int = 1024


class NotPermitted(Exception):
    """A measure that this system does not permit; the message says why and the mend."""


def isolate(
    settings: Isolation, scratch: Callable[[], Path], parent: int = 0
) -> tuple[Measure, ...]:
    """Take every measure that can be taken; what came of each. `scratch` gives the path of the worker's
    directory, which is made here. With `parent`, the system kills this
    process when that one ends."""
    measures = [_taken("scratch", _move_to, scratch)]
    if settings.network:
        measures.append(_taken("network", _leave_network))
    measures += _limits(settings)
    measures.append(_taken("core_dumps", _no_core_dumps))
    if settings.privileges:
        measures.append(_taken("privileges", _drop_privileges))
    if parent:  # last: a change of credentials takes it back
        measures.append(_taken("ends_with_host", end_with, parent))
    return tuple(measures)


def report(settings: Isolation | None = None) -> tuple[Measure, ...]:
    """What a worker on this machine can be kept from: measured by a process that does it. For `doctor`;
    takes a third of a second."""
    given = msgspec.json.encode(settings or Isolation()).decode()
    try:
        done = subprocess.run(  # noqa: S603 (our own program)
            (sys.executable, "-P", "-m", "runner.bridge.isolation", given),
            env={"PYTHONPATH": str(_PROJECT), "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            check=True,
            timeout=_REPORT_TIMEOUT,
        )
        return msgspec.json.decode(done.stdout, type=tuple[Measure, ...])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        return (Measure(name="isolation", detail=f"It could not be tried: {error}"),)


def _taken(name: str, take: Callable[..., str], *given: object) -> Measure:
    try:
        return Measure(name=name, applied=True, detail=take(*given))
    except (OSError, ValueError, NotPermitted) as error:
        return Measure(name=name, detail=str(error))


def _move_to(scratch: Callable[[], Path]) -> str:
    directory = scratch()
    directory.mkdir(mode=0o700)
    os.chdir(directory)
    os.environ["TMPDIR"] = str(directory)
    if loaded := sys.modules.get("tempfile"):
        loaded.tempdir = None  # type: ignore[attr-defined]  # the forkserver's, if it was asked for
    return f"working and temporary directory {directory}"


def _leave_network() -> str:
    if sys.platform != "linux":
        raise NotPermitted("only Linux has network namespaces")
    try:
        os.unshare(os.CLONE_NEWNET)
        return "a namespace of its own, without any interface up"
    except PermissionError:
        pass
    user, group = os.geteuid(), os.getegid()
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except OSError as error:
        raise NotPermitted(
            f"the system permits no namespaces ({error.strerror}): allow unprivileged user namespaces, or "
            "give the runner CAP_SYS_ADMIN"
        ) from None
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return "a namespace of its own, without any interface up (with a user namespace)"


def _limits(settings: Isolation) -> list[Measure]:
    limits = (
        ("memory", resource.RLIMIT_DATA, settings.memory),
        ("file_size", resource.RLIMIT_FSIZE, settings.file_size),
        ("open_files", resource.RLIMIT_NOFILE, settings.open_files),
    )
    measures = [_taken(name, _limit, which, most) for name, which, most in limits if most]
    if settings.processes:
        measures.append(_taken("processes", _limit_processes, settings.processes))
    if settings.cpu_seconds:
        # Set by the worker's loop before each call.
        detail = f"{settings.cpu_seconds:,} s a call"
        measures.append(Measure(name="cpu_seconds", applied=True, detail=detail))
    return measures


def _limit(which: int, most: int) -> str:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(which, (most, most))
    return f"at most {most:,}"


def _limit_processes(most: int) -> str:
    """Counted by the user, so it is only a worker's own limit in a user namespace of its own."""
    if os.geteuid() == 0:
        raise NotPermitted("the system does not count root's processes: run DSPex as another user")
    if sys.platform != "linux" or _in_first_user_namespace():
        raise NotPermitted(
            "without a user namespace the limit would count all processes of the user"
        )
    return _limit(resource.RLIMIT_NPROC, most)


def _in_first_user_namespace() -> bool:
    """Whether user numbers are those of the machine, all four thousand million."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]


def _no_core_dumps() -> str:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return "none are written"


def _drop_privileges() -> str:
    if sys.platform != "linux":
        raise NotPermitted("only Linux can forbid them for good")
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()))
    return "no capabilities, and no program gives new ones"


def end_with(parent: int) -> str:
    if sys.platform != "linux":
        raise NotPermitted("the end of its socket ends it")
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    return "killed with the forkserver"


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main() -> None:
    """Isolate this process and print what came of it."""
    settings = msgspec.json.decode(sys.argv[1], type=Isolation)
    home = Path.cwd()
    with TemporaryDirectory() as directory:
        measures = isolate(settings, lambda: Path(directory) / "worker")
        sys.stdout.write(msgspec.json.encode(measures).decode())
        os.chdir(home)


if __name__ == "__main__":
    main()
