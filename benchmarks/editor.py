"""The editor with a pipeline of 500 nodes: until one can work with it, and what a dragged node costs.

A drag step is one movement of the pointer and the frame that shows it; what counts is how long the main
thread works for it, not how long the screen takes.
"""

from dataclasses import replace

from playwright.sync_api import Locator, Page

from benchmarks.browser import MainThread, chromium, sign_in
from benchmarks.report import Report
from benchmarks.server import database, up
from pipelines.graph.graph import Edge, Graph, Node, Position

COLUMNS, ROWS = 25, 20
STEPS = 60
LOADS = 3


def run(report: Report) -> None:
    with database():
        address = f"/pipelines/{_pipeline()}/"
        with up("--no-warm-up") as server, chromium() as browser:
            page = sign_in(browser, server).new_page()
            page.add_init_script(INTERACTIVE)
            report(
                "editor_500_interactive_ms", min(_load(page, address) for _ in range(LOADS)), "ms"
            )
            whole = _drag(page)  # all of it is in sight
            _zoom(page, 1)
            report("editor_500_drag_ms", _drag(page), "ms")
            _zoom(page, 0.5)
            report("editor_500_drag_far_ms", max(whole, _drag(page)), "ms")


INTERACTIVE = """
  let last = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) last = Math.max(last, task.startTime + task.duration);
  }).observe({ type: "longtask", buffered: true });
  const look = () => {
    if (!document.querySelector("pipeline-canvas [data-node]")) return requestAnimationFrame(look);
    const shown = performance.now();
    // Quiet from here on, or the end of the last task over 50 ms.
    setTimeout(() => { window.interactive = Math.max(shown, last); }, 1500);
  };
  requestAnimationFrame(look);
"""
"""Keeps, in the page, the milliseconds from the navigation until there are nodes and no long task."""


def _load(page: Page, address: str) -> float:
    page.goto(address)
    for _ in range(100):
        page.wait_for_timeout(100)
        if found := page.evaluate("window.interactive ?? 0"):
            return float(found)
    raise RuntimeError("The editor of 500 nodes was not there after 10 s.")


def _zoom(page: Page, zoom: float) -> None:
    page.evaluate("zoom => document.querySelector('pipeline-canvas').view.zoomTo(zoom)", zoom)
    page.wait_for_timeout(500)


def _drag(page: Page) -> float:
    """Milliseconds of the main thread for a step of a drag, on average over a drag."""
    box = _in_the_middle(page).bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + 12
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y)
    page.wait_for_timeout(500)
    thread = MainThread(page)
    for step in range(STEPS):
        page.mouse.move(x + 8 + 4 * (step % 30), y + 4 * (step % 20))
        page.evaluate("new Promise(requestAnimationFrame)")
    worked = thread.ms()
    page.mouse.up()
    page.wait_for_timeout(500)
    return worked / STEPS


def _in_the_middle(page: Page) -> Locator:
    """A node that is not at the edge, where a drag would pan."""
    canvas = page.locator("pipeline-canvas").bounding_box()
    assert canvas
    for node in page.locator("pipeline-canvas article[data-node]").all():
        box = node.bounding_box()
        if box and 200 < box["x"] - canvas["x"] < canvas["width"] - 500 and 200 < box["y"] < 500:
            return node
    raise RuntimeError("No node is in the middle of the canvas.")


def _pipeline() -> str:
    """Columns of language-model calls, each of which reads two of the column before."""
    from django.contrib.auth.models import User

    from pipelines import services

    user = User.objects.create_superuser("admin")
    project = services.personal_project(user=user)
    made = services.create_pipeline(project=project, user=user, graph=_graph())
    return str(made.pk)


def _graph() -> Graph:
    name = "n_{}_{}".format
    signature = "left, right -> text, keywords: list[str]"
    nodes = [
        Node(id=name(column, row), kind="predict", config={"signature": signature})
        for column in range(COLUMNS)
        for row in range(ROWS)
    ]
    edges = [
        Edge(
            source=name(column - 1, (row + shift) % ROWS),
            source_port="text",
            target=name(column, row),
            target_port=port,
        )
        for column in range(1, COLUMNS)
        for row in range(ROWS)
        for shift, port in enumerate(("left", "right"))
    ]
    places = {
        name(column, row): Position(x=column * 360, y=row * 200)
        for column in range(COLUMNS)
        for row in range(ROWS)
    }
    return replace(Graph.of(nodes, edges, name="Five hundred nodes"), layout=places)
