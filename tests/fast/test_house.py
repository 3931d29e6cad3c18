"""The house rules that no tool checks by itself."""

import os
import re
import socket
import stat
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from dspex_site import environment, secret_key

ROOT = Path(__file__).parents[2]


def floors() -> set[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rows = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    return {name.strip(" ()") for row in rows for name in row.replace("|", ":").split(":")}


def modules(package: str) -> Iterator[str]:
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("package", ["pipelines", "runner"])
def test_every_module_stands_on_a_floor(package: str) -> None:
    known = floors()
    homeless = [
        module
        for module in modules(package)
        if module != package
        and not any(module == floor or module.startswith(f"{floor}.") for floor in known)
    ]
    assert not homeless, f"Give these a floor in pyproject.toml ([tool.importlinter]): {homeless}"


@pytest.mark.parametrize("package", ["pipelines", "runner"])
def test_package_faces_are_empty_so_that_a_worker_loads_no_django(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text() == ""


def imported_by(path: Path) -> set[str]:
    """The packages that a file imports, at its top or later."""
    return set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))


def test_only_files_of_the_worker_import_dspy() -> None:
    importers = [
        path.relative_to(ROOT)
        for package in ("pipelines", "runner", "dspex_site")
        for path in (ROOT / package).rglob("*.py")
        if "dspy" in imported_by(path)
    ]
    assert importers
    assert all(path.match("runner/bridge/worker*.py") for path in importers), importers


def test_the_public_api_stands_on_the_host() -> None:
    code = ROOT / "dspex.py"
    assert imported_by(code) <= {"pipelines", "runner", "dspex"} | sys.stdlib_module_names


@pytest.mark.parametrize("lock", ["setup", "", "cluster", "dev", "bench", "sandbox"])
def test_locks_name_no_registry(lock: str) -> None:
    name = f"requirements-{lock}.lock" if lock else "requirements.lock"
    assert "://" not in (ROOT / name).read_text()


def test_a_test_is_marked_with_its_layer(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("fast")
    assert not request.node.get_closest_marker("integration")


def test_a_test_cannot_reach_another_machine() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
        pytest.raises(Exception, match=r"socket.connect to \('192.0.2.1', 9\)"),
    ):
        outside.connect(("192.0.2.1", 9))
    with pytest.raises(Exception, match="looking up dspex"):
        socket.getaddrinfo("dspex.example", 443)


def test_a_test_can_reach_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.mark.parametrize(("value", "expected"), [("", True), ("on", True), ("FALSE", False)])
def test_a_flag_is_read(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("DSPEX_DEBUG", value)
    assert environment.flag("DSPEX_DEBUG", default=True) is expected


def test_a_flag_that_is_neither_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_DEBUG", "maybe")
    with pytest.raises(ImproperlyConfigured, match="DSPEX_DEBUG is 'maybe'"):
        environment.flag("DSPEX_DEBUG", default=False)


def test_origins_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_ORIGINS", " https://a.example, https://[2001:db8::1]:8443 ")
    found = environment.origins("DSPEX_ORIGINS")
    assert found == ["https://a.example", "https://[2001:db8::1]:8443"]


@pytest.mark.parametrize(
    "value",
    [
        "a.example",
        "*",
        "https://*.a.example",
        "https://a.example/",
        "https://a.example/path",
        "https://me@a.example",
        "https://a.example:port",
        "ftp://a.example",
        "https://",
        "https://a.example, http://b.example",
    ],
)
def test_what_is_no_origin_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DSPEX_ORIGINS", value)
    with pytest.raises(ImproperlyConfigured, match="DSPEX_ORIGINS"):
        environment.origins("DSPEX_ORIGINS")


def test_headers_for_a_collector_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a=b, x-team=us")
    found = environment.pairs("OTEL_EXPORTER_OTLP_HEADERS")
    assert found == {"authorization": "Bearer a=b", "x-team": "us"}


def test_a_header_that_can_not_be_read_stops_the_start_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret")
    with pytest.raises(ImproperlyConfigured, match="part 2 is not of the form") as caught:
        environment.pairs("OTEL_EXPORTER_OTLP_HEADERS")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["127.0.0.1:4318", "ftp://x", "http://"])
def test_what_is_no_address_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", value)
    with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_ENDPOINT is"):
        environment.url("OTEL_EXPORTER_OTLP_ENDPOINT")


def test_a_data_directory_that_is_a_file_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DSPEX_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(ImproperlyConfigured, match="can't be used as a directory"):
        environment.directory("DSPEX_DATA_DIR", tmp_path)


def test_the_secret_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    key = secret_key.read_or_make(path)
    assert len(key) >= 50
    assert secret_key.read_or_make(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["secret_key"]


def test_two_processes_that_start_together_get_one_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.write_text("made by the other process")
    secret_key._make(path)
    assert path.read_text() == "made by the other process"


def test_out_of_the_box_only_this_machine_is_served() -> None:
    # Django's test runner adds its own host at the end.
    assert not settings.DEBUG
    assert settings.ALLOWED_HOSTS[:3] == ["localhost", "127.0.0.1", "[::1]"]
    response = Client().get("/admin/login/", headers={"host": "attacker.example"})
    assert response.status_code == 400


def test_a_stranger_is_sent_to_sign_in() -> None:
    response = Client().get("/admin/", headers={"host": "localhost"})
    assert response.status_code == 302
    assert response["Location"] == "/admin/login/?next=/admin/"


def test_every_answer_carries_the_strict_policy() -> None:
    response = Client().get("/nothing-here/", headers={"host": "127.0.0.1"})
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response
