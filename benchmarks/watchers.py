"""Fifty sockets that watch one run: how late its tokens come, and whether the run is slower for it.

All sockets are a browser's, of two people, since one may have thirty. Late is from the provider of the
language model to the socket.
"""

import statistics
import time

from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks import provider
from benchmarks.browser import chromium, run_pipeline, sign_in, wait_for_end
from benchmarks.report import Report
from benchmarks.server import Server, database, up

SOCKETS = 25
"""Of each of two people."""
ROUNDS = 3
TOKENS, PACE = 250, 50


def run(report: Report) -> None:
    with database(), provider.provider() as base_url:
        pipeline = provider.pipeline(base_url)
        with up("--no-warm-up") as server, chromium() as browser:
            runner = sign_in(browser, server).new_page()
            watching = [runner.context.new_page(), _colleague(browser, server).new_page()]
            runner.goto(f"/pipelines/{pipeline}/")
            for page in watching:
                page.goto("/templates/")
            _seconds(runner)  # warms caches up
            alone, watched, late = [], [], []
            for _ in range(ROUNDS):
                alone.append(_seconds(runner))
                watched.append(_seconds(runner, watching))
                late += [each for page in watching for each in page.evaluate("window.late")]
            report("watchers_50_p95_ms", statistics.quantiles(late, n=20)[-1], "ms")
            runs = statistics.median(watched), statistics.median(alone)
            report("watched_run_s", runs[0], "s", "the run unwatched", runs[1])


WATCH = """([run, count]) => Promise.all(Array.from({ length: count }, () => new Promise((ready) => {
  window.late = [];
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/live/`);
  socket.onmessage = ({ data }) => {
    const now = Date.now();
    const frame = JSON.parse(data);
    if (frame.type === "hello") socket.send(JSON.stringify({ type: "subscribe", run, after_seq: 0 }));
    if (frame.type === "mark") socket.send(JSON.stringify({ type: "mark", n: frame.n }));
    if (frame.type === "caught_up") ready();
    if (frame.type !== "chunks") return;
    for (const { text } of frame.chunks)
      for (const [, stamp] of text.matchAll(/t(\\d{8})[.]\\d{4}/g))
        window.late.push((now - Number(stamp)) % 1e8);
  };
  (window.sockets ??= []).push(socket);
})))"""
CLOSE = "() => { for (const socket of (window.sockets ?? []).splice(0)) socket.close(); }"


def _seconds(runner: Page, watching: list[Page] | None = None) -> float:
    """How long a run takes by the server's own figures, watched or not."""
    from runner.models import Run

    asked = provider.prompt(tokens=TOKENS, pace=PACE, take=time.monotonic_ns())
    before = Run.objects.order_by("pk").last()
    run_pipeline(runner, prompt=asked)
    # The panel may show the run before once more.
    shown = f"#run-now run-live:not([data-run='{before.pk if before else ''}'])"
    run = runner.locator(shown).get_attribute("data-run") or ""
    for page in watching or ():
        page.evaluate(WATCH, [run, SOCKETS])
    wait_for_end(runner)
    for page in watching or ():
        page.evaluate(CLOSE)
    made = Run.objects.get(pk=run)
    assert made.started_at and made.finished_at
    return (made.finished_at - made.started_at).total_seconds()


def _colleague(browser: Browser, server: Server) -> BrowserContext:
    """A second person, who may see the pipeline too."""
    from django.contrib.auth.models import User

    from pipelines.models import Membership, Pipeline, Role
    from runner.services import sign_in_token
    from runner.services.sign_in import PATH

    colleague = User.objects.create_user("colleague")
    project = Pipeline.objects.get().project
    Membership.objects.create(user=colleague, project=project, role=Role.VIEWER)
    token = sign_in_token(user=colleague)
    return sign_in(browser, server, f"{server.address}{PATH}?token={token}")
