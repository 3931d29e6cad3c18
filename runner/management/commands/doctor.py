"""`manage.py doctor`: what of this installation works, and the mend of what does not."""

import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management import BaseCommand

from runner.engine.findings import Finding, State
from runner.services.doctor import TIMEOUT, examine, is_broken


class Command(BaseCommand):
    help = "Look at every part of this installation: ok, degraded or broken, with the mend."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="For machines.")
        parser.add_argument(
            "--timeout", type=float, default=TIMEOUT, help="Seconds that a part may take."
        )

    def handle(self, *args: Any, json: bool, timeout: float, **options: Any) -> None:
        began = time.monotonic()
        findings = examine(timeout=timeout)
        seconds = time.monotonic() - began
        self.stdout.write(_as_json(findings, seconds) if json else self._as_text(findings, seconds))
        if is_broken(findings):
            sys.exit(1)

    def _as_text(self, findings: list[Finding], seconds: float) -> str:
        width = max(len(each.part) for each in findings)
        lines = []
        for each in findings:
            word = self._styled(each.state)(f"{each.state.value:8}")
            lines.append(f"{word}  {each.part:{width}}  {each.says}")
            if each.mend:
                lines.append(f"{'':8}  {'':{width}}  → {each.mend}")
        return "\n".join([*lines, "", f"{_counted(findings)}, in {seconds:.1f} s."])

    def _styled(self, state: State) -> Any:
        styles = {State.OK: "SUCCESS", State.DEGRADED: "WARNING", State.BROKEN: "ERROR"}
        return getattr(self.style, styles[state])


def _counted(findings: list[Finding]) -> str:
    counts = {state: sum(each.state is state for each in findings) for state in State}
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)


def _as_json(findings: list[Finding], seconds: float) -> str:
    report = {
        "ok": not is_broken(findings),
        "seconds": round(seconds, 2),
        "parts": msgspec.to_builtins(findings),
    }
    return json.dumps(report, ensure_ascii=False)
