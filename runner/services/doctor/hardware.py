"""What the machine has for workers and local models: cores, memory, accelerators that a build can use."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from runner.engine.findings import Finding, degraded, ok

PART = "Hardware"
LITTLE = 1_000_000_000
"""Bytes: the embedded model and three workers take some 500 MB."""
_CPU = frozenset({"CPUExecutionProvider", "AzureExecutionProvider"})
_DEVICES = {"CUDA": "/dev/nvidiactl", "ROCm": "/dev/kfd"}
_ASK = """
import json, sys
found = {"onnxruntime": [], "llama.cpp": False}
try:
    import onnxruntime
    found["onnxruntime"] = onnxruntime.get_available_providers()
except ImportError:
    pass
try:
    import llama_cpp
    found["llama.cpp"] = bool(llama_cpp.llama_supports_gpu_offload())
except (ImportError, OSError, RuntimeError):
    pass
print(json.dumps(found))
"""

type Builds = tuple[Collection[str], bool]
"""The providers of onnxruntime, and whether llama.cpp was built for an accelerator."""


def hardware(root: Path = Path("/"), builds: "Callable[[], Builds] | None" = None) -> list[Finding]:
    """Cores and memory that this process may use, and accelerators. `root`: where the system tells."""
    cores, free = _cores(root), _memory(root)
    parts = [f"{cores:g} cores" if cores != 1 else "1 core"]
    if free is not None:
        parts.append(f"{free / 1e9:.1f} GB of memory free")
    parts.append(_accelerators(root, *(builds or _builds)()))
    said = "; ".join(parts) + "."
    if free is not None and free < LITTLE:
        mend = "End something else, or have fewer workers: DSPEX_POOL_GENERAL='size=1, spares=0'."
        return [degraded(PART, said, mend)]
    return [ok(PART, said)]


def _cores(root: Path) -> float:
    """Those that this process may run on, or what its container may use of them."""
    here = getattr(os, "sched_getaffinity", None)
    cores = float(len(here(0)) if here else os.cpu_count() or 1)
    most, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return min(cores, int(most) / int(period)) if most.isdecimal() and period else cores


def _memory(root: Path) -> int | None:
    """Bytes that may still be taken; None where the system does not say."""
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
            break
    else:
        return None
    most = _read(root / "sys/fs/cgroup/memory.max")
    taken = _read(root / "sys/fs/cgroup/memory.current")
    if most.isdecimal() and taken.isdecimal():
        free = min(free, max(0, int(most) - int(taken)))
    return free


def _accelerators(root: Path, providers: Collection[str], llama: bool) -> str:
    """What computes beside the processor, and what there is but can't be used."""
    used = [name for name in providers if name not in _CPU]
    if llama:
        used.append("llama.cpp's")
    if used:
        return f"accelerators that the installed builds can use: {', '.join(used)}"
    there = [name for name, device in _DEVICES.items() if (root / device[1:]).exists()]
    if there:
        names = " and ".join(there)
        return f"{names} is there, but the installed onnxruntime and llama.cpp compute on the processor"
    return "no accelerator: the local models compute on the processor"


def _builds() -> Builds:
    """Asked in a process of its own: loading them takes memory that would never be given back."""
    done = subprocess.run(  # noqa: S603 (our own text)
        [sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        return (), False
    found = json.loads(done.stdout.splitlines()[-1])
    return found["onnxruntime"], found["llama.cpp"]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
