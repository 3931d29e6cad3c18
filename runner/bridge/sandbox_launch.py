"""Becomes Deno, with limits that it can't lift: `launch.py <bytes of memory> <seconds of CPU> <command…>`.

A program of its own, because what runs between fork and exec in a process with threads must be little,
and because it ends with whoever started it: a sandbox whose worker was killed would compute for ever.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    memory, cpu, *command = sys.argv[1:]
    # What it may write to: V8 reserves many gigabytes that it never touches.
    for limit, wanted in (("DATA", int(memory)), ("CPU", int(cpu)), ("CORE", 0)):
        which = getattr(resource, f"RLIMIT_{limit}")
        _, hard = resource.getrlimit(which)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (most, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ["DENO_NO_PACKAGE_JSON"] = "1"
    os.execv(command[0], command)  # noqa: S606 (what the worker gave)


if __name__ == "__main__":
    main()
