"""What DSPy's sandbox for code needs on this machine: Deno, and Pyodide in Deno's cache.

Neither comes with DSPex (110 MB that most never use): `make sandbox` brings both, from PyPI and npm. DSPy's
program for Deno takes one function from deno.land as well; an import map gives it ours instead
(`deno/imports.json`), so that nothing but package registries is needed, and at run time no network.

Imports nothing of DSPy: host and worker both look here.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

PROJECT = Path(__file__).parents[2]
MEMORY = 1024**3
"""Bytes that Deno and what runs in it may have; the model's code gets about half."""
CPU_SECONDS = 1800
"""Of processor time for one interpreter: what ends it where nothing else can."""

MEND = "Run `make sandbox`, which brings both, and start DSPex again."

_DENO = Path(__file__).parent / "deno"
_LAUNCH = Path(__file__).parent / "sandbox_launch.py"
# What Deno loads, by hash. With it the cache has no lists of versions, so it is needed to run, too.
_PINNED = (
    f"--import-map={_DENO / 'imports.json'}",
    f"--lock={_DENO / 'deno.lock'}",
    "--frozen",
)
_PYODIDE = re.compile(r'"npm:pyodide@([\d.]+)/')
_TIMEOUT = 600


class Ready(NamedTuple):
    """Whether code can run; `detail` says what there is, or what is missing and the mend."""

    ok: bool
    detail: str


class NotInstalled(Exception):
    """A step of the installation failed; the message says which, and what its program said."""


def directory(environment: Mapping[str, str]) -> Path:
    """Where `make sandbox` puts what it brings."""
    data = environment.get("DSPEX_DATA_DIR") or PROJECT / "var"
    return Path(environment.get("DSPEX_SANDBOX_DIR") or Path(data) / "sandbox").resolve()


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Where a worker finds both: Deno by PATH, its cache by DENO_DIR, and in that by the registry."""
    home = directory(environment)
    path = (str(home / "bin"), *filter(None, (environment.get("PATH"),)))
    found = {
        "PATH": os.pathsep.join(path),
        "DENO_DIR": environment.get("DENO_DIR") or str(home / "cache"),
    }
    if registry := environment.get("NPM_CONFIG_REGISTRY"):
        parts = urlsplit(registry)  # its keys stay here
        found["NPM_CONFIG_REGISTRY"] = parts._replace(
            netloc=parts.netloc.rpartition("@")[2]
        ).geturl()
    return found


def ready(environment: Mapping[str, str]) -> Ready:
    """Whether a process with this environment of a worker could run code. Starts nothing."""
    deno = shutil.which("deno", path=environment.get("PATH"))
    if deno is None:
        return Ready(False, f"Deno 2, the sandbox's runtime, is not installed. {MEND}")
    version, cache = pyodide_version(), Path(environment["DENO_DIR"])
    if not any(cache.glob(f"npm/**/pyodide/{version}/pyodide.asm.wasm")):
        return Ready(False, f"Pyodide {version} is not in Deno's cache. {MEND}")
    return Ready(True, f"Pyodide {version} in {deno}")


def limited(command: Sequence[str]) -> list[str]:
    """DSPy's command for the sandbox, with our limits and import map, and without the network."""
    deno, run, *rest = command
    deno = shutil.which(deno) or deno
    launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(MEMORY), str(CPU_SECONDS)]
    rest = [each for each in rest if each != "--no-lock"]
    return [*launch, deno, run, "--cached-only", *_PINNED, *rest]


def pyodide_version() -> str:
    """The one that the installed DSPy asks for."""
    found = _PYODIDE.search(_runner().read_text())
    if found is None:
        raise NotInstalled(f"{_runner()} names no version of Pyodide.")
    return found[1]


def install(environment: Mapping[str, str], say: Callable[[str], None]) -> Ready:
    """Bring what is missing, from PyPI and npm; NotInstalled when that fails."""
    given = {**environment, **worker_environment(environment), "DENO_NO_PACKAGE_JSON": "1"}
    if not _is_deno_2(given):
        home = directory(environment)
        say(f"Installing Deno in {home} …")
        _run(_installer(home), environment)
    deno = shutil.which("deno", path=given["PATH"]) or "deno"
    say(f"Bringing Pyodide {pyodide_version()} into {given['DENO_DIR']} …")
    options = ("--quiet", "--no-config", "--node-modules-dir=none", *_PINNED)
    _run((deno, "cache", *options, str(_runner())), given)
    return ready(given)


def _is_deno_2(environment: Mapping[str, str]) -> bool:
    deno = shutil.which("deno", path=environment["PATH"])
    return deno is not None and _run((deno, "--version"), environment).startswith("deno 2.")


def _installer(home: Path) -> tuple[str, ...]:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NotInstalled("uv is not installed, which brings Deno. Run `make setup` first.")
    requirements = (
        "--require-hashes",
        "--requirements",
        str(PROJECT / "requirements-sandbox.lock"),
    )
    where = ("--target", str(home), "--python", sys.executable)
    return (uv, "pip", "install", "--quiet", "--no-config", *where, *requirements)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What it printed."""
    try:
        done = subprocess.run(  # noqa: S603 (our own arguments)
            command, env=dict(environment), capture_output=True, text=True, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"`{' '.join(command[:3])}` could not be run: {error}") from None
    if done.returncode:
        raise NotInstalled(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _runner() -> Path:
    """DSPy's program for Deno."""
    spec = find_spec("dspy")
    (package,) = (spec and spec.submodule_search_locations) or [""]
    return Path(package) / "primitives" / "runner.js"
