"""What a test of the fast layer costs on average: its own set-up and tear-down with it, pytest's start
without."""

import os
import re
import subprocess

from benchmarks.report import Report


def run(report: Report) -> None:
    # The make that called us must not pass its own variables on.
    environment = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    finished = subprocess.run(
        ["make", "--silent", "test-fast"], env=environment, capture_output=True, text=True
    )
    found = re.search(r"^fast: \d+ tests, ([\d.]+) ms", finished.stdout, re.MULTILINE)
    if finished.returncode or not found:
        raise RuntimeError(f"The fast tests did not pass:\n{finished.stdout}{finished.stderr}")
    report("fast_test_ms", float(found[1]), "ms")
