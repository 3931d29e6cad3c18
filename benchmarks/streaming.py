"""From the provider's token to the painted one: through gateway, journal, socket and page.

Two places show a token, the run panel and the node on the canvas; the slower one counts.
"""

import statistics

from playwright.sync_api import Page

from benchmarks import provider
from benchmarks.browser import (
    WATCH_TOKENS,
    MainThread,
    chromium,
    painted_tokens,
    run_pipeline,
    sign_in,
    wait_for_end,
)
from benchmarks.report import Report
from benchmarks.server import database, up

BURSTS = 5
STREAMS = 40
SECONDS = 4


def run(report: Report) -> None:
    with database(), provider.provider() as base_url:
        one, many = provider.pipeline(base_url), provider.pipeline(base_url, STREAMS)
        with up("--no-warm-up") as server, chromium() as browser:
            page = sign_in(browser, server).new_page()
            page.goto(f"/pipelines/{one}/")
            page.evaluate(WATCH_TOKENS)
            _painted(page, tokens=50, pace=50)  # warms caches up
            # Prompts differ, or an answer of before would come at once.
            bursts = [max(_painted(page, tokens=1000, take=take)) for take in range(BURSTS)]
            report("paint_1000_tokens_ms", statistics.median(bursts), "ms")
            report("token_to_paint_p95_ms", _p95(_painted(page, tokens=500, pace=50)), "ms")
            page.goto(f"/pipelines/{many}/")
            report("streams_40_busy_ms", _busy(page), "ms")


def _painted(page: Page, *, tokens: int, **asked: int) -> list[float]:
    """Milliseconds from provider to paint, of the place where they are more."""
    page.evaluate("for (const place of Object.values(window.paintedTokens)) place.clear()")
    run_pipeline(page, prompt=provider.prompt(tokens=tokens, **asked))
    wait_for_end(page)
    return max(painted_tokens(page, tokens).values(), key=_p95)


def _busy(page: Page) -> float:
    """Milliseconds that the main thread works in each second of so many streams."""
    run_pipeline(page, prompt=provider.prompt(tokens=400, pace=50))
    page.locator("#run-panel .stream").nth(STREAMS - 1).wait_for()
    thread = MainThread(page)
    page.wait_for_timeout(1000 * SECONDS)
    worked = thread.ms()
    wait_for_end(page)
    return worked / SECONDS


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if values else 0.0
