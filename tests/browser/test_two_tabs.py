"""One pipeline in two tabs of one person: the one that is behind overwrites nothing."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import watch
from tests.browser.pages import choose, from_template, node, saved

OPERATIONS = re.compile("/operations/")


@pytest.fixture
def other(page: Page, context: BrowserContext) -> Page:
    """A second tab on the same pipeline."""
    from_template(page, "Flagship")
    other = context.new_page()
    other.goto(page.url)
    expect(node(other, "template")).to_be_visible()
    return other


def held_back(page: Page) -> Callable[[], None]:
    """Saving takes long in this tab, until what is returned is called."""
    waiting: list[Route] = []
    is_held = True

    def come(route: Route) -> None:
        if is_held:
            waiting.append(route)
        else:
            route.continue_()

    def let_go() -> None:
        nonlocal is_held
        is_held = False
        for route in waiting:
            route.continue_()

    page.route(OPERATIONS, come)
    return let_go


def label(page: Page, text: str) -> None:
    choose(page, "template")
    page.locator("#inspector [name=label]").fill(text)


def both_changed_the_label(page: Page, other: Page) -> None:
    let_go = held_back(page)
    with page.expect_request(OPERATIONS):
        label(page, "By tab one")
    label(other, "By tab two")
    saved(other, 1)
    let_go()
    expect(page.get_by_role("alert")).to_contain_text("Both changed")


def test_a_stale_save_is_refused_and_shown(page: Page, other: Page) -> None:
    wrong = watch(other)
    both_changed_the_label(page, other)
    expect(page.locator("#save-state")).to_have_text("Conflict, 1 of your edits kept here")
    page.get_by_role("alert").get_by_role("button", name="See both").click()
    for text in ("By tab one", "By tab two"):
        expect(page.get_by_role("alert")).to_contain_text(text)
    expect(node(page, "template")).to_contain_text("By tab two")
    expect(node(other, "template")).to_contain_text("By tab two")
    assert wrong == []


@pytest.mark.parametrize(
    ("choice", "stays"), [("Use mine", "By tab one"), ("Use rev", "By tab two")]
)
def test_what_is_chosen_is_in_both_tabs(page: Page, other: Page, choice: str, stays: str) -> None:
    both_changed_the_label(page, other)
    page.get_by_role("alert").get_by_role("button", name=re.compile(choice)).click()
    expect(page.get_by_role("alert")).to_have_count(0)
    for tab in (page, other):
        expect(node(tab, "template")).to_contain_text(stays)
        tab.reload()
        expect(node(tab, "template")).to_contain_text(stays)


def test_a_refused_edit_outlives_a_reload(page: Page, other: Page) -> None:
    both_changed_the_label(page, other)
    page.reload()
    banner = page.get_by_role("alert")
    banner.get_by_role("button", name="See both").click()
    expect(banner).to_contain_text("By tab one")


def test_what_does_not_meet_is_saved_from_both(page: Page, other: Page) -> None:
    let_go = held_back(page)
    with page.expect_request(OPERATIONS):
        label(page, "By tab one")
    choose(other, "predict")
    other.locator("#inspector [name=label]").fill("By tab two")
    saved(other, 1)
    let_go()
    for tab in (page, other):
        expect(node(tab, "template")).to_contain_text("By tab one")
        expect(node(tab, "predict")).to_contain_text("By tab two")


def test_an_edit_of_a_node_that_the_other_tab_deleted_is_kept(page: Page, other: Page) -> None:
    let_go = held_back(page)
    with page.expect_request(OPERATIONS):
        label(page, "By tab one")
    choose(other, "template")
    other.keyboard.press("Delete")
    saved(other, 1)
    let_go()
    expect(page.locator("#save-state")).to_have_text("Conflict, 1 of your edits kept here")
    banner = page.get_by_role("alert")
    banner.get_by_role("button", name="Keep mine as a copy").click()
    page.locator(".toast").get_by_role("button", name="Open").click()
    page.wait_for_url(lambda url: url != other.url)
    expect(node(page, "template")).to_contain_text("By tab one")
    expect(node(other, "template")).to_have_count(0)
