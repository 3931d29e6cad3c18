"""`manage.py doctor` on a real installation, healthy and broken."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def manage(data: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={**os.environ, "DSPEX_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def states(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0), done
    return {each["part"]: each["state"] for each in report["parts"]}


def test_the_doctor_finds_what_works_and_what_is_broken(tmp_path: Path) -> None:
    found = states(manage(tmp_path, "doctor", "--json", "--timeout", "50"))
    assert found["Database"] == "broken"  # it has no tables yet
    works = ("Python", "DSPy", "Pools", "Formats", "Local model", "Channel layer", "Disk: data")
    assert {part: found[part] for part in works} == dict.fromkeys(works, "ok")
    assert manage(tmp_path, "migrate").returncode == 0
    said = manage(tmp_path, "doctor", "--timeout", "50").stdout
    assert "ok        Database" in said
