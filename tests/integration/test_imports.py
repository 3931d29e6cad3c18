"""What a fresh process loads: the floors below the line never bring Django, and only a worker DSPy."""

import subprocess
import sys

import pytest

HEAVY = ("channels", "daphne", "django", "dspy", "litellm", "onnxruntime", "xllamacpp")


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in found.stdout.split() if "." not in name}


@pytest.mark.parametrize("module", ["dspex", "runner.host", "runner.bridge.forkserver"])
def test_the_public_api_starts_light(module: str) -> None:
    assert not loaded_by(module) & set(HEAVY)


def test_the_command_line_starts_without_dspy() -> None:
    loaded = loaded_by("django.core.management, runner.management.commands.run_pipeline")
    assert not loaded & {"dspy", "litellm", "onnxruntime", "xllamacpp"}
