"""Code fields: what is typed is coloured, completed and marked, and the form's own text box keeps it."""

import json
import re
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.pages import ask, choose, ended, field, imported, saved
from tests.browser.test_editor_parts import writing


def code(place: Locator) -> Locator:
    return place.locator(".cm-content")


def mark(place: Locator) -> Locator:
    return place.locator(".cm-lintRange-error")


def take(page: Page) -> None:
    page.wait_for_timeout(150)  # what has only just been offered is not taken by accident
    page.keyboard.press("Enter")


def test_a_template_is_completed_marked_and_undone_by_itself(
    page: Page, context: BrowserContext
) -> None:
    page.goto(writing(context, "Code"))
    choose(page, "write")
    template = field(page, "template")
    box = template.locator("textarea")
    code(template).click()
    page.keyboard.press("Control+End")
    page.keyboard.type(", {{ te")
    offered = template.get_by_role("option")
    expect(offered.filter(has_text="text").first).to_contain_text("str · input")
    take(page)
    page.keyboard.type("|upp")
    expect(offered).to_have_text(["upper"])
    take(page)
    page.keyboard.press("Control+End")
    expect(box).to_have_value("Hello {{ text }}, {{ text|upper}}")
    expect(template.locator(".preview")).to_contain_text("Hello ‹text›, ‹TEXT›")
    saved(page, 1)
    page.keyboard.type("{% macro f() %}")
    expect(template.locator(".err")).to_contain_text("not available")
    expect(mark(template)).to_have_text(re.compile("macro"))
    expect(code(template)).to_have_attribute("aria-invalid", "true")
    for _ in range(8):
        page.keyboard.press("Control+z")
    expect(box).to_have_value("Hello {{ text }}")
    saved(page, 2)  # the text was undone by one more edit; the graph's own undo was not asked
    expect(page.locator("#redo")).to_be_disabled()
    page.keyboard.press("Tab")
    expect(code(template)).not_to_be_focused()


def test_tab_indents_for_whoever_chooses_it(page: Page, context: BrowserContext) -> None:
    page.goto(writing(context, "Tab"))
    choose(page, "write")
    template = field(page, "template")
    code(template).click()
    page.keyboard.press("Control+m")
    page.keyboard.press("Tab")
    expect(template.locator("textarea")).to_have_value(re.compile("^  Hello"))
    expect(code(template)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(code(template)).not_to_be_focused()
    page.keyboard.press("Shift+Tab")  # there is one stop, not one for the text box as well
    expect(code(template)).to_be_focused()


def listing(context: BrowserContext) -> str:
    """A pipeline that takes a list and gives it; its address."""
    fields = {"fields": [{"name": "items", "type": "list[int]"}]}
    return imported(
        context,
        {
            "name": "Lists",
            "nodes": {
                "input": {"kind": "input", "version": 1, "config": fields},
                "output": {"kind": "output", "version": 1, "config": fields},
            },
            "edges": {"output.items": ["input.items"]},
            "layout": {"input": [40, 60], "output": [360, 60]},
        },
    )


def test_json_is_marked_where_it_goes_wrong_formatted_and_run(
    page: Page, context: BrowserContext
) -> None:
    page.goto(listing(context))
    form = page.locator("#run-form")
    code(form).click()
    page.keyboard.type("[1, 2")  # the bracket closes by itself
    expect(form.locator("textarea")).to_have_value("[1, 2]")
    page.keyboard.press("Control+End")
    page.keyboard.press("Backspace")
    expect(form.locator(".own")).to_have_text(re.compile("Line 1, column 6: .* a comma or ]"))
    expect(mark(form)).to_have_text("2")
    page.keyboard.type("]")
    expect(form.locator(".own")).to_be_hidden()
    page.keyboard.press("Shift+Alt+f")
    expect(form.locator("textarea")).to_have_value("[\n  1,\n  2\n]")
    page.locator("#run-form").get_by_title("Fold line", exact=True).last.click()
    expect(form.locator(".cm-foldPlaceholder")).to_be_visible()
    page.keyboard.press("Control+Enter")
    ended(page)
    ask(page, items="[7]")  # a script's text reaches the editor, too
    expect(code(form)).to_have_text("[7]")


BIG = json.dumps([{"id": number, "text": "x" * 40} for number in range(17_000)], indent=1)
SECONDS = """async (text) => {
  const box = document.querySelector("#run-form textarea");
  const begin = performance.now();
  box.value = text;
  await new Promise(requestAnimationFrame);
  return performance.now() - begin;
}"""


def test_a_megabyte_is_shown_and_typed_in(page: Page, context: Any) -> None:
    assert len(BIG) > 1_000_000
    page.goto(listing(context))
    form = page.locator("#run-form")
    code(form).click()
    assert page.evaluate(SECONDS, BIG) < 2_000  # it takes some 100 ms
    page.keyboard.press("Control+f")  # the browser would search what is drawn
    page.keyboard.type('"id": 16543')
    page.keyboard.press("Enter")
    expect(form.locator(".cm-searchMatch-selected")).to_have_text('"id": 16543')
    page.keyboard.press("Escape")
    page.keyboard.press("Control+End")
    page.keyboard.type(" \n \n ")
    page.keyboard.press("Tab")  # a text as long as this comes into the text box in the end
    expect(form.locator("textarea")).to_have_value(re.compile(r"\]\s+$"))
