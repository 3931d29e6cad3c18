"""Chromium as benchmarks drive it: a signed-in tab, and what was painted there when."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as TookTooLong

from benchmarks.server import Server

OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PAINTED = 5
"""Seconds within which everything has been painted after a run's end."""
NODE_SHOWS = 260
"""Of what comes at once a node shows the end: 4,000 characters, tokens of fifteen."""
WINDOW = ViewportSize(width=1920, height=1080)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "chromium", args=OPTIONS
        )
        yield browser
        browser.close()


def sign_in(browser: Browser, server: Server, address: str = "") -> BrowserContext:
    """A browser session of whoever the one-time address is for: the administrator unless given."""
    context = browser.new_context(base_url=server.address, viewport=WINDOW)
    page = context.new_page()
    page.goto(address or server.sign_in)
    page.wait_for_url(re.compile(r"/(templates|pipelines)/"))
    page.close()
    return context


class MainThread:
    """How long a tab's main thread has worked, in milliseconds since this was made."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        # Its processor time: what other programs take from it says nothing about the page.
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = self._worked()

    def ms(self) -> float:
        return self._worked() - self._before

    def _worked(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return 1000 * float(
            next(each["value"] for each in metrics if each["name"] == "TaskDuration")
        )


def run_pipeline(page: Page, **inputs: str) -> None:
    """Fill the run panel and press Run."""
    page.evaluate("document.querySelector('#run-now run-live')?.remove()")  # the run before
    for name, value in inputs.items():
        page.locator(f"#run-{name}").fill(value)
    page.locator("#run").click()


def wait_for_end(page: Page, seconds: float = 60) -> None:
    """Return when the run of the panel has succeeded; RuntimeError with what the panel says if not."""
    status = page.locator("#run-panel [data-part=status]")
    try:
        status.get_by_text("Succeeded").wait_for(timeout=1000 * seconds)
    except TookTooLong as error:
        raise RuntimeError(f"The run did not succeed: {status.inner_text()}") from error


WATCH_TOKENS = """() => {
  const painted = { panel: new Map(), node: new Map() };
  const texts = { panel: "", node: "" };
  const next = new MessageChannel();
  let waiting = [];
  // A message that is sent from a frame's callback comes after the frame has been painted.
  next.port1.onmessage = () => {
    const now = Date.now();
    for (const { place, stamp, number } of waiting.splice(0)) {
      // Text that has settled, or moved, is set anew.
      if (!painted[place].has(number)) painted[place].set(number, (now - stamp) % 1e8);
    }
  };
  new MutationObserver((records) => {
    for (const { target, addedNodes } of records) {
      const within = (selector) => target.closest?.(selector);
      const place = within(".pc-stream") ? "node" : within(".stream .text") ? "panel" : "";
      if (!place) continue;
      for (const added of addedNodes) {
        texts[place] += added.textContent;
        texts[place] = texts[place].replace(/t(\\d{8})\\.(\\d{4})/g, (_, stamp, number) => {
          waiting.push({ place, stamp: Number(stamp), number });
          return "";
        });
      }
    }
    if (waiting.length) requestAnimationFrame(() => next.port2.postMessage(0));
  }).observe(document.body, { childList: true, subtree: true });
  window.paintedTokens = painted;
}"""
"""Keeps, in the page, how many milliseconds after it left the provider each token was painted."""


PAINTED_TOKENS = """() => Object.fromEntries(
  Object.entries(window.paintedTokens).map(([place, tokens]) => [place, [...tokens.values()]]))"""


def painted_tokens(page: Page, expected: int) -> dict[str, list[float]]:
    """Milliseconds by place, `panel` and `node`; RuntimeError unless so many tokens are painted."""
    found: dict[str, list[float]] = {}
    for _ in range(PAINTED * 20):
        found = page.evaluate(PAINTED_TOKENS)
        if len(found["panel"]) == expected and len(found["node"]) >= min(expected, NODE_SHOWS):
            return found
        page.wait_for_timeout(50)
    counts = {name: len(place) for name, place in found.items()}
    raise RuntimeError(f"Of {expected} tokens were painted: {counts}.")
