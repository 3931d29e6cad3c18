"""The main job, from the printed address to the list of runs: with a mouse, and without one."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from pipelines.examples import EXAMPLES, example
from tests.browser.pages import (
    MODEL,
    choose,
    ended,
    field,
    from_template,
    is_writing,
    node,
    run_link,
    saved,
    start,
    stop_button,
    streamed,
    writer,
)

ANALYSE = "chain_of_thought"

# What is painted of one step: by the node, and by its row of the panel. A paint counts when there is
# more text than at the last, while the step goes on.
COUNT_PAINTS = """(node) => {
  const seen = (window.painted = { node: [], panel: [], fields: [] });
  const look = () => {
    const box = document.querySelector(`pipeline-canvas [data-node=${node}][data-st=running]`);
    if (!box) return;
    const add = (list, length) => length > (list.at(-1) ?? 0) && list.push(length);
    add(seen.node, box.querySelector(".pc-stream")?.textContent.length ?? 0);
    const lines = [...document.querySelectorAll("run-live .stream")];
    const text = (line) => line.querySelector(".text")?.textContent ?? "";
    add(seen.panel, lines.map(text).join("").length);
    for (const line of lines) {
      const field = line.querySelector("code")?.textContent;
      if (text(line) && !seen.fields.includes(field)) seen.fields.push(field);
    }
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
}"""


def test_a_pipeline_is_opened_changed_run_and_watched(page: Page) -> None:
    page.goto("/templates/")
    assert page.locator("main").get_by_role("button").count() >= 6
    from_template(page, "Flagship")
    choose(page, ANALYSE)
    field(page, "instructions").locator("textarea").fill("Say what the keywords have in common.")
    saved(page, 1)
    add_and_connect_a_template(page)

    page.evaluate(COUNT_PAINTS, ANALYSE)
    start(page, query="What is DSPy?")
    expect(node(page, ANALYSE)).to_have_attribute("data-st", "running", timeout=MODEL)
    expect(node(page, "predict")).to_have_attribute("data-st", "ok")
    ended(page)
    painted = page.evaluate("window.painted")
    assert len(painted["node"]) >= 2, painted
    assert len(painted["panel"]) >= 2, painted
    assert painted["fields"][-2:] == ["reasoning", "analysis"]
    expect(node(page, ANALYSE)).to_have_attribute("data-st", "ok")
    expect(page.locator("#run-panel")).to_contain_text("In short: ")

    short = re.findall("[0-9a-f]{6}", run_link(page).inner_text())[0]
    run_link(page).click()
    a_step_tells_what_it_did(page)
    page.goto("/runs/")
    row = page.get_by_role("row").filter(has_text=short)
    expect(row).to_contain_text("Succeeded")
    expect(row).to_contain_text("Flagship")


def add_and_connect_a_template(page: Page) -> None:
    """Between “Compose answer” and the output."""
    kind = page.locator(".palette [data-kind=template]")
    kind.drag_to(page.locator("pipeline-canvas"), target_position={"x": 540, "y": 190})
    expect(node(page, "template_2")).to_be_visible()
    saved(page, 2)
    choose(page, "template_2")
    field(page, "template").locator("textarea").fill("In short: {{ long }}")
    saved(page, 3)
    port(page, "template", "text").drag_to(port(page, "template_2", "long"))
    saved(page, 4)
    port(page, "template_2", "text").drag_to(port(page, "output", "text"))
    saved(page, 5)
    expect(page.locator("#problem-count")).to_be_hidden()


def port(page: Page, of: str, name: str) -> Locator:
    return node(page, of).locator(f".react-flow__handle[data-handleid='{name}']")


def a_step_tells_what_it_did(page: Page) -> None:
    lane(page, ANALYSE).click()
    step = page.locator("#step")
    expect(step.get_by_role("heading", name="Why dspy")).to_be_visible()
    for said in ("Analyse", "tok", "Inputs", "keywords", "Outputs", "reasoning"):
        expect(step).to_contain_text(said)
    calls = step.get_by_role("table").filter(has_text="Model")
    expect(calls.locator("tbody tr:not(.notes)")).to_have_count(1)
    step.get_by_text(re.compile("^Messages")).first.click()
    expect(step.locator(".msg").first).to_be_visible()
    expect(step).to_contain_text("Say what the keywords have in common.")


def lane(page: Page, path: str) -> Locator:
    """The link of a step in the run's timeline."""
    return page.locator(f".lane[data-path='{path}'] a").first


INPUTS: dict[str, dict[str, str]] = {
    "lines": {"lines": '["Rain is forecast for Monday", "The match ended one to one"]'},
    "message": {"message": "My parcel has not arrived."},
    "text": {"text": "Write to Jo Oduya, jo@example.com."},
}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "flagship"])
def test_every_template_runs_as_it_is(page: Page, name: str) -> None:
    graph = example(name)
    from_template(page, re.escape(graph.name))
    asked = next(each for each in graph.children(None) if each.kind == "input")
    (only,) = asked.config["fields"]
    start(page, **INPUTS.get(only["name"], {only["name"]: "What is a signature in DSPy?"}))
    ended(page)
    for each in graph.children(None):
        if each.kind not in ("input", "output"):
            expect(node(page, each.id)).to_have_attribute("data-st", re.compile("^(ok|skipped)$"))


def test_the_whole_story_without_a_mouse(page: Page) -> None:
    page.goto("/templates/")
    tab_to(page, page.get_by_role("button", name=re.compile("^Sort a message")))
    press(page, "Enter")
    expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    press(page, "Enter")
    expect(node(page, "sort")).to_be_visible()

    add_a_node_by_keys(page)
    connect_by_keys(page)
    tab_to(page, page.get_by_role("textbox", name="message"))
    page.keyboard.type("My parcel has not arrived.")
    page.keyboard.press("Control+Enter")
    ended(page)
    expect(page.locator("#run-panel")).to_contain_text("Topic: ")

    tab_to(page, run_link(page), back=True)
    press(page, "Enter")
    tab_to(page, lane(page, "sort"))
    press(page, "Enter")
    expect(page.locator("#step").get_by_role("heading", name="Sort")).to_be_visible()


def add_a_node_by_keys(page: Page) -> None:
    press(page, "a", "Template")
    wanted = page.get_by_role("option", name=re.compile("^Template"))
    expect(wanted).to_be_visible()
    while wanted.get_attribute("aria-selected") != "true":
        press(page, "ArrowDown")
    press(page, "Enter")
    expect(node(page, "template")).to_be_focused()
    saved(page, 1)
    press(page, "F2")
    tab_to(page, field(page, "template").locator("code-editor"))
    page.keyboard.press("Control+a")
    page.keyboard.type("Topic: {{ topic }}")
    saved(page, 2)


def connect_by_keys(page: Page) -> None:
    """The topic goes through the template into the output."""
    tab_to(page, page.locator("pipeline-canvas").get_by_role("application"), back=True)
    press(page, "Home", "ArrowRight")
    expect(node(page, "sort")).to_be_focused()
    for start_, end in (("topic", "Template · topic"), ("text", "Topic · topic")):
        press(page, "l", start_, "Enter")
        expect(page.get_by_role("dialog", name=re.compile("^Join "))).to_be_visible()
        press(page, end, "Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        press(page, "ArrowRight")  # along the new edge
    saved(page, 4)


def test_a_run_is_stopped_by_keys(page: Page, context: Any) -> None:
    page.goto(writer(context, constraints={"story": {"min_length": 2_000}}, max_tokens=2_000))
    tab_to(page, page.locator("#run-question"))
    page.keyboard.type("Tell me a story")
    page.keyboard.press("Control+Enter")
    is_writing(page)
    tab_to(page, stop_button(page))
    press(page, "Enter")
    ended(page, "Stopped")
    assert len(streamed(page).inner_text()) < 2_000


def press(page: Page, *keys: str) -> None:
    """Keys by name, and what is longer is typed."""
    for key in keys:
        if re.fullmatch(r"\w|Enter|F2|Home|ArrowRight|ArrowDown", key):
            page.keyboard.press(key)
        else:
            page.keyboard.type(key)


def tab_to(page: Page, wanted: Locator, *, back: bool = False) -> None:
    """Press Tab until it has the focus, as somebody does who has no mouse."""
    expect(wanted).to_be_visible()
    for _ in range(120):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{wanted} is not reached by Tab.")
