"""A part of a pipeline is run anew, and the rest takes what it gave before."""

from playwright.sync_api import Page, expect

from tests.browser.pages import (
    choose,
    ended,
    field,
    from_template,
    node,
    run_link,
    saved,
    start,
    stop_button,
)

ANALYSE, KEYWORDS = "chain_of_thought", "predict"


def test_a_node_is_edited_and_run_from_there(page: Page) -> None:
    from_template(page, "Flagship")
    start(page, query="What is a pipeline?")
    ended(page)
    first = run_link(page).inner_text().removeprefix("Run ")
    choose(page, ANALYSE)
    field(page, "instructions").locator("textarea").fill("Say what they mean.")
    # It is not saved yet, nor checked: the run waits for both.
    node(page, ANALYSE).click(button="right")
    page.locator("#node-menu").get_by_role("button", name="Run from here").click()
    expect(run_link(page)).not_to_have_text(f"Run {first}")
    ended(page)
    saved(page, 1)
    expect(node(page, KEYWORDS)).to_have_attribute("data-st", "cached")
    expect(node(page, ANALYSE)).to_have_attribute("data-st", "ok")
    taken = page.locator(".run-step").filter(has_text="Extract keywords")
    expect(taken.get_by_role("link", name=f"run {first}")).to_be_visible()

    pin_and_run_a_step_alone(page)
    run_link(page).click()
    expect(page.locator("#run-head")).to_contain_text(f"Only {KEYWORDS}")
    expect(page.locator("#run-strip")).to_contain_text("Not in this run")
    page.go_back()
    run_from_it_by_key(page)
    run_link(page).click()
    expect(page.locator("#run-head")).to_contain_text("From chain_of_thought")
    expect(page.locator("#run-strip")).to_contain_text("pinned output")
    expect(page.locator("#run-head")).to_contain_text("4 cached")


def pin_and_run_a_step_alone(page: Page) -> None:
    choose(page, KEYWORDS)
    page.get_by_role("tab", name="Last result").click()
    page.get_by_role("button", name="Pin this output").click()
    expect(page.locator("#run-pins")).to_contain_text("Extract keywords")
    expect(node(page, KEYWORDS).get_by_label("Its output is pinned")).to_be_visible()
    page.locator("#inspector").get_by_role("button", name="Edit inputs and run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("textarea")).to_have_value("What is a pipeline?")
    dialog.locator("textarea").fill("What is an optimizer?")
    dialog.get_by_role("button", name="Run this step").click()
    expect(dialog).to_be_hidden()
    expect(stop_button(page)).to_be_visible()
    ended(page)
    expect(node(page, KEYWORDS)).to_have_attribute("data-st", "ok")
    assert node(page, ANALYSE).get_attribute("data-st") is None  # it takes no part


def run_from_it_by_key(page: Page) -> None:
    before = run_link(page).inner_text()
    node(page, ANALYSE).focus()
    page.keyboard.press("Control+Shift+Enter")
    expect(run_link(page)).not_to_have_text(before)
    ended(page)
    expect(node(page, KEYWORDS)).to_have_attribute("data-st", "cached")
