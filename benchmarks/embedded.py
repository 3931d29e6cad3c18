"""`manage.py up` as its user has it: the first page, the flagship's first token, and the memory of it all.

Warm means the second start: bytecode and database are there. Memory is what the system says that server,
forkserver, workers and model take together (PSS: what several share is counted once): when all of them
have been loaded, and after runs, when there is the encoder of late interaction too.
"""

import re
import statistics
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium, run_pipeline, sign_in, wait_for_end
from benchmarks.memory import family, pss
from benchmarks.report import Report
from benchmarks.server import Server, database, up

STARTS = 3
QUESTIONS = ("What is DSPy?", "What does an optimizer do?", "How are signatures written?")
LOADED = 10_000
"""Milliseconds within which DSPy and the model have been loaded."""
SETTLED = 1000
"""Milliseconds after a run until there are spare workers again."""


def run(report: Report) -> None:
    with database(), chromium() as browser:
        with up():
            pass  # the first start of all, which compiles and makes the administrator
        report("up_to_first_page_s", statistics.median(_starts(browser)), "s")
        with up() as server:
            page = _flagship(browser, server)
            page.wait_for_timeout(LOADED)
            report("pss_mb", sum(map(pss, family(server.pid))), "mb")
            cold = _first_token(page, "What is a language model?")
            report("first_token_after_start_s", cold, "s")
            report(
                "first_token_s", statistics.median(_first_token(page, q) for q in QUESTIONS), "s"
            )
            page.wait_for_timeout(SETTLED)
            report("pss_after_runs_mb", sum(map(pss, family(server.pid))), "mb")


def _starts(browser: Browser) -> Iterator[float]:
    for _ in range(STARTS):
        begin = time.perf_counter()
        with up() as server:
            sign_in(browser, server).close()
            yield time.perf_counter() - begin


def _flagship(browser: Browser, server: Server) -> Page:
    """The editor of a pipeline that was made from the flagship template a moment ago."""
    page = sign_in(browser, server).new_page()
    page.goto("/templates/")
    page.get_by_role("button", name=re.compile("^Flagship")).click()
    page.get_by_role("dialog").get_by_role("button", name="Create pipeline").click()
    page.wait_for_url(re.compile(r"/pipelines/[0-9a-f-]{36}/"))
    return page


FIRST_TOKEN = """() => {
  const next = new MessageChannel();
  next.port1.onmessage = () => { window.firstToken = performance.now() - pressed; };
  let pressed = 0;
  const painted = new MutationObserver((records) => {
    const words = ".stream[data-live] .text, .pc-stream";
    const shows = ({ target }) => target.closest?.(words)?.textContent.trim();
    if (!records.some(shows)) return;
    painted.disconnect();
    requestAnimationFrame(() => next.port2.postMessage(0));
  });
  document.getElementById("run").addEventListener("click", () => {
    pressed = performance.now();
    painted.observe(document.body, { childList: true, subtree: true });
  }, { capture: true, once: true });
  window.firstToken = 0;
}"""
"""Keeps, in the page, the milliseconds from the next press of Run to the first words painted."""


def _first_token(page: Page, question: str) -> float:
    """Seconds."""
    page.locator("#run-query").wait_for()
    page.evaluate(FIRST_TOKEN)
    run_pipeline(page, query=question)
    wait_for_end(page)
    return float(page.evaluate("window.firstToken")) / 1000
