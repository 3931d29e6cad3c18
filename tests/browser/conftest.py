"""A real `manage.py up` on a database of its own, and a real Chromium that looks at it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "chromium"
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
START = 60
"""Seconds that a server may take until it names its address."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.needs("chromium"))


@dataclass(frozen=True, kw_only=True)
class Server:
    """`sign_in` is the one-time address that it printed; `environment` reaches its database."""

    address: str
    sign_in: str
    environment: dict[str, str]
    process: "subprocess.Popen[str]"

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def manage(self, code: str) -> str:
        """What a piece of Python says in the server's installation."""
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="session")
def scripts() -> None:
    """What the pages load, built from the sources as they are."""
    subprocess.run(["npm", "run", "--silent", "build"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="session")
def server(scripts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("data")) as server:
        yield server


@contextmanager
def serving(data: Path, *options: str) -> Iterator[Server]:
    """A server on this data directory, until the end of the block or until it is killed in it."""
    environment = {**os.environ, "DSPEX_DATA_DIR": str(data), "DSPEX_ORIGINS": ""}
    with subprocess.Popen(
        [sys.executable, "manage.py", "up", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            found = _address_in(process)
            yield Server(
                address=found.group(1),
                sign_in=found.group(0),
                environment=environment,
                process=process,
            )
        finally:
            process.terminate()
            process.wait(timeout=START)


def _address_in(process: "subprocess.Popen[str]") -> "re.Match[str]":
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"(http://[^/\s]+)/\S+", line):
            return found
    raise AssertionError("The server ended without an address.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(server: Server, browser: Browser) -> Any:
    """What a browser remembers of whoever opened the printed address."""
    return sign_in(server, browser)


def sign_in(server: Server, browser: Browser) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.sign_in)
    page.wait_for_url(re.compile(r"/(templates|pipelines)/"))
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(server: Server, browser: Browser, signed_in: Any) -> Iterator[BrowserContext]:
    context = tabs(server, browser, signed_in)
    yield context
    context.close()


def tabs(server: Server, browser: Browser, state: Any, **options: Any) -> BrowserContext:
    """A browser of its own, as far as the site can tell."""
    options = {"viewport": {"width": 1440, "height": 900}, **options}
    context = browser.new_context(base_url=server.address, storage_state=state, **options)
    context.set_default_timeout(10_000)
    context.add_init_script(TELL_VIOLATIONS)
    return context


TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`The policy was broken: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong unseen: no error of a script, nothing against the policy,
    no request to another site."""
    page = context.new_page()
    wrong = watch(page)
    yield page
    assert wrong == []


def watch(page: Page, *expected: str) -> list[str]:
    """What goes wrong in a tab from now on, but for what contains one of `expected`."""
    wrong: list[str] = []
    expected = ("ERR_INTERNET_DISCONNECTED", *expected)

    def tell(text: str) -> None:
        if not any(each in text for each in expected):
            wrong.append(text)

    page.on("pageerror", lambda error: tell(str(error)))
    page.on(
        "console",
        lambda said: said.type == "error" and tell(f"{said.text} ({said.location['url']})"),
    )
    page.on("request", lambda request: _is_here(request.url) or tell(f"asked {request.url}"))
    page.on("websocket", lambda socket: _is_here(socket.url) or tell(f"asked {socket.url}"))
    return wrong


def _is_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname == "127.0.0.1"
