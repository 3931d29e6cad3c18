"""A run that is watched while something happens: a reload, Stop, no socket, a server that dies."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    WebSocket,
    WebSocketRoute,
    expect,
)

from tests.browser.conftest import Server, serving, sign_in, tabs, watch
from tests.browser.pages import (
    MODEL,
    ended,
    imported,
    is_writing,
    run_of,
    run_status,
    start,
    stop_button,
    streamed,
    writer,
)

SOCKET = re.compile("/ws/live/")
LONG = {"constraints": {"story": {"min_length": 900}}, "max_tokens": 700}
LONGEST = {"constraints": {"story": {"min_length": 2_000}}, "max_tokens": 2_000}


def recorded(context: BrowserContext, run: str) -> dict[str, Any]:
    found: dict[str, Any] = context.request.get(f"{run}since/?after=0").json()
    assert not found["more"]
    return found


def story_of(context: BrowserContext, run: str) -> str:
    """What the run is recorded to have written, of which nothing is missing and nothing there twice."""
    events = recorded(context, run)["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run_finished"
    assert len([event for event in events if event["type"] == "step_succeeded"]) == len(
        {event["step"] for event in events if event["type"] == "step_succeeded"}
    )
    return str(events[-1]["data"]["outputs"]["story"])


def shows_all(page: Page, run: str) -> None:
    """The page says what is recorded, to the letter."""
    expect(streamed(page, "story").last).to_have_text(story_of(page.context, run))


class Frames:
    """What came through the sockets of a tab."""

    def __init__(self, page: Page) -> None:
        self.sockets = 0
        self.seqs: list[list[int]] = []
        page.on("websocket", self.opened)

    def opened(self, socket: WebSocket) -> None:
        self.sockets += 1
        self.seqs.append(seqs := [])
        socket.on("framereceived", lambda text: seqs.extend(numbers(text)))


def numbers(text: str | bytes) -> Iterator[int]:
    said = json.loads(text)
    if said["type"] == "events":
        yield from (event["seq"] for event in said["events"])


def test_a_reload_in_mid_run_misses_nothing(page: Page, context: BrowserContext) -> None:
    page.goto(writer(context, **LONG))
    start(page, question="Tell a story about a dog")
    is_writing(page)
    run = run_of(page)
    frames = Frames(page)
    page.goto(run)
    is_writing(page)
    page.reload()
    is_writing(page)
    expect(page.locator("#run-head")).to_contain_text("Succeeded", timeout=MODEL)
    shows_all(page, run)
    for seqs in frames.seqs:
        assert seqs == list(range(1, len(seqs) + 1))
    assert len(frames.seqs[-1]) == len(recorded(context, run)["events"])


NODES = """() => [...document.querySelectorAll("pipeline-canvas [data-node]")].map((node) => [
  node.dataset.node,
  node.dataset.st,
  node.dataset.st === "running" || node.querySelector("footer").textContent,
])"""


def test_a_tab_shows_what_another_runs_and_a_reload_changes_nothing(
    page: Page, context: BrowserContext
) -> None:
    page.goto(imported(context, chapters()))
    other = context.new_page()
    wrong = watch(other)
    other.goto(page.url)
    other.locator("#tab-problems").click()
    start(page, question="Tell a story about a cat")
    is_writing(page, "story")
    run = run_of(page)
    expect(stop_button(other)).to_be_visible()
    expect(other.locator("#problems")).to_be_visible()  # it stays where its person was
    page.reload()
    is_writing(page, "story")
    seen = page.evaluate(NODES)
    assert [[*node[:2]] for node in seen] == [
        ["input", "ok"],
        ["sketch", "ok"],
        ["write", "running"],
        ["output", "queued"],
    ]
    assert other.evaluate(NODES) == seen
    ended(page)
    for tab in (page, other):
        assert run_of(tab) == run
        shows_all(tab, run)
    assert wrong == []


def test_stop_stops_at_once_and_frees_the_model(page: Page, context: BrowserContext) -> None:
    page.goto(writer(context, **LONGEST))
    start(page, question="Tell a story about a bird")
    is_writing(page)
    run = run_of(page)
    stop_button(page).click()
    expect(run_status(page)).to_have_text("Stopped", timeout=2_000)
    at_the_end = recorded(context, run)
    start(page, question="Tell another story")
    expect(run_status(page)).to_have_text("Running")
    is_writing(page)
    stop_button(page).click()
    ended(page, "Stopped")
    after = recorded(context, run)
    assert after == at_the_end
    assert after["events"][-1]["data"]["status"] == "cancelled"
    assert len(after["streams"][0]["text"]) < 2_000


def test_without_websockets_the_page_asks_and_shows_the_same(
    context: BrowserContext,
) -> None:
    context.route_web_socket(SOCKET, lambda socket: socket.close())
    page = context.new_page()
    wrong = watch(page)
    page.goto(writer(context, **LONG))
    start(page, question="Tell a story about a fish")
    is_writing(page)
    ended(page)
    shows_all(page, run_of(page))
    assert wrong == []


def test_a_socket_that_is_cut_comes_back_with_what_was_missed(context: BrowserContext) -> None:
    routes: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        routes.append(socket)

    context.route_web_socket(SOCKET, through)
    page = context.new_page()
    wrong = watch(page)
    page.goto(writer(context, **LONG))
    start(page, question="Tell a story about a horse")
    is_writing(page)
    for route in tuple(routes):
        route.close(code=1012)
    before = len(routes)
    expect(page.locator("run-live [data-part=connection]")).to_have_text("Reconnecting")
    expect(page.locator("run-live [data-part=connection]")).to_have_text("", timeout=15_000)
    assert len(routes) > before
    ended(page)
    shows_all(page, run_of(page))
    assert wrong == []


def test_two_tabs_that_watch_one_run_show_the_same(page: Page, context: BrowserContext) -> None:
    page.goto(writer(context, **LONG))
    start(page, question="Tell a story about a mouse")
    is_writing(page)
    run = run_of(page)
    other = context.new_page()
    wrong = watch(other)
    other.goto(run)
    is_writing(other)
    ended(page)
    expect(other.locator("#run-head")).to_contain_text("Succeeded")
    shows_all(page, run)
    shows_all(other, run)
    assert wrong == []


@pytest.fixture
def own_server(scripts: None, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def test_a_run_outlives_the_server_that_is_killed(
    own_server: Server, browser: Browser, tmp_path: Path
) -> None:
    context = tabs(own_server, browser, sign_in(own_server, browser))
    page = context.new_page()
    page.goto(imported(context, chapters()))
    start(page, question="Tell a story about a whale")
    is_writing(page, "story")
    run = run_of(page)
    own_server.process.kill()
    own_server.process.wait()
    expect(page.locator("run-live [data-part=connection]")).to_have_text("Reconnecting")
    with serving(tmp_path, "--port", own_server.port):
        ended(page, timeout=2 * MODEL)
        shows_all(page, run)
        started = [
            event["step"]
            for event in recorded(context, run)["events"]
            if event["type"] == "step_started"
        ]
        assert started == ["sketch", "write", "write"]
    context.close()


def chapters() -> dict[str, Any]:
    """A short step, which is recorded when the server dies in the long one."""

    def asks(**fields: str) -> dict[str, Any]:
        return {"fields": [{"name": name, "type": type_} for name, type_ in fields.items()]}

    sketch = {"signature": "question -> plot"}
    write = {"signature": "plot -> story", **LONG}
    return {
        "name": "Chapters",
        "nodes": {
            "input": {"kind": "input", "version": 1, "config": asks(question="str")},
            "sketch": {"kind": "predict", "version": 1, "config": sketch},
            "write": {
                "kind": "predict",
                "version": 1,
                "config": write,
                "policy": {"backend": "native"},
            },
            "output": {"kind": "output", "version": 1, "config": asks(story="str")},
        },
        "edges": {
            "sketch.question": ["input.question"],
            "write.plot": ["sketch.plot"],
            "output.story": ["write.story"],
        },
    }
