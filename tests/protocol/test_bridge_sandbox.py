"""What the sandbox of DSPy's code modules needs, and where it is looked for."""

import sys
from pathlib import Path

import pytest

from runner.bridge import sandbox
from runner.bridge.nursery import environment


def test_workers_find_deno_and_its_cache_without_settings() -> None:
    given = environment({"PATH": "/usr/bin", "HOME": "/root", "OPENAI_API_KEY": "secret"})
    home = sandbox.PROJECT / "var" / "sandbox"
    assert given["PATH"] == f"{home}/bin:/usr/bin"
    assert given["DENO_DIR"] == str(home / "cache")
    assert not {"HOME", "OPENAI_API_KEY", "NPM_CONFIG_REGISTRY"} & set(given)


def test_a_data_directory_holds_the_sandbox_too() -> None:
    assert sandbox.directory({"DSPEX_DATA_DIR": "/data"}) == Path("/data/sandbox")
    assert sandbox.directory({"DSPEX_DATA_DIR": "/data", "DSPEX_SANDBOX_DIR": "/opt/s"}) == Path(
        "/opt/s"
    )


def test_workers_learn_the_registry_without_its_key() -> None:
    given = sandbox.worker_environment({"NPM_CONFIG_REGISTRY": "https://me:key@npm.example/all/"})
    assert given["NPM_CONFIG_REGISTRY"] == "https://npm.example/all/"


def test_what_is_missing_is_said_with_its_mend(tmp_path: Path) -> None:
    given = {"PATH": str(tmp_path / "bin"), "DENO_DIR": str(tmp_path / "cache")}
    assert sandbox.ready(given) == (
        False,
        "Deno 2, the sandbox's runtime, is not installed. Run `make sandbox`, which brings both, "
        "and start DSPex again.",
    )
    (tmp_path / "bin").mkdir()
    deno = tmp_path / "bin" / "deno"
    deno.write_text("")
    deno.chmod(0o755)
    missing = sandbox.ready(given)
    assert not missing.ok and "is not in Deno's cache" in missing.detail
    version = sandbox.pyodide_version()
    cached = tmp_path / "cache" / "npm" / "npm.example" / "pyodide" / version
    cached.mkdir(parents=True)
    (cached / "pyodide.asm.wasm").write_text("")
    assert sandbox.ready(given) == (True, f"Pyodide {version} in {deno}")


def test_deno_is_started_with_limits_pinned_and_without_the_network() -> None:
    command = sandbox.limited(["deno-of-dspy", "run", "--no-lock", "--allow-read=/a", "runner.js"])
    assert command[:3] == [sys.executable, "-I", "-S"]
    assert command[4:6] == [str(sandbox.MEMORY), str(sandbox.CPU_SECONDS)]
    assert command[6:9] == ["deno-of-dspy", "run", "--cached-only"]
    assert "--frozen" in command and "--no-lock" not in command
    assert command[-2:] == ["--allow-read=/a", "runner.js"]


def test_an_older_deno_does_not_do_and_a_failed_installation_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older Deno does not do: ours is brought, here by a uv that fails."""
    for name, line in (("deno", "echo deno 1.46.3"), ("uv", "echo no such wheel >&2; exit 1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    monkeypatch.setattr(sandbox.sys, "executable", str(tmp_path / "python"))
    told: list[str] = []
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "DSPEX_SANDBOX_DIR": str(tmp_path / "home")}
    with pytest.raises(sandbox.NotInstalled, match="uv pip install` failed: no such wheel"):
        sandbox.install(given, told.append)
    assert told == [f"Installing Deno in {tmp_path / 'home'} …"]
