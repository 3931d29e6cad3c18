"""What `make setup` puts on the disk, as `du -sm` counts it: whole blocks, in units of 1024² bytes."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.report import Report

BLOCK = 512  # what st_blocks counts in, whatever the file system


def run(report: Report) -> None:
    # The make that called us must not pass its own variables on.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    with tempfile.TemporaryDirectory() as directory:
        venv = Path(directory) / ".venv"
        subprocess.run(
            ["make", "--silent", "setup", f"VENV={venv}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        pages = Path(directory) / "pages"
        pages.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(name, pages)
        subprocess.run(
            ["npm", "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=pages,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        report("install_mb", (_disk_bytes(venv) + _disk_bytes(pages)) / 1024**2, "mb")


def _disk_bytes(directory: Path) -> int:
    sizes = {}
    for path in directory.rglob("*"):
        status = path.lstat()
        sizes[status.st_dev, status.st_ino] = status.st_blocks * BLOCK
    return sum(sizes.values())
