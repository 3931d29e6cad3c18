"""Markup and script in whatever people, models and files can say: text, on every page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, serving, sign_in, tabs, watch
from tests.browser.pages import choose, ended, node, run_of, start

BAD = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def is_only_text(page: Page, *, times: int = 1) -> None:
    """It is there to read, and nothing was made of it."""
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x]").count() == 0
    assert (
        page.evaluate(
            "text => document.body.innerText.split(text).length - 1"
            " + [...document.querySelectorAll('input, textarea')].filter(e => e.value.includes(text)).length",
            "<img src=x",
        )
        >= times
    ), page.url


@pytest.fixture(scope="module")
def hostile(scripts: None, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tab on a server whose every name is markup, and what is where."""
    with serving(tmp_path_factory.mktemp("hostile"), "--no-warm-up") as server:
        context = tabs(server, browser, sign_in(server, browser))
        page = context.new_page()
        wrong = watch(page)
        yield page, wrong, _filled(server)
        context.close()


def _filled(server: Server) -> dict[str, str]:
    code = (Path(__file__).parent / "hostile_data.py").read_text()
    found: dict[str, str] = json.loads(server.manage(code))
    return found


def test_lists_and_registries_show_it_as_text(hostile: Any) -> None:
    page, wrong, where = hostile
    for address in ("/pipelines/", "/collections/", "/signatures/", "/lm-profiles/"):
        page.goto(address)
        is_only_text(page)
    for name in ("signature", "collection", "profile"):
        page.goto(where[name])
        is_only_text(page, times=2)
    page.goto("/pipelines/")
    page.keyboard.press("Control+k")
    page.keyboard.type("good")
    expect(page.get_by_role("option", name=re.compile("good <img")).first).to_be_visible()
    is_only_text(page)
    assert wrong == []


def test_the_editor_and_its_run_show_it_as_text(hostile: Any) -> None:
    page, wrong, where = hostile
    page.goto(where["good"])
    for name in ("say", "frame"):
        choose(page, name)
        is_only_text(page, times=2)
    start(page, question=BAD)
    ended(page)
    expect(page.locator("#run-panel")).to_contain_text(BAD + BAD)
    is_only_text(page, times=3)
    page.goto(run_of(page))
    page.locator(".lane[data-path='say'] a").first.click()
    expect(page.locator("#step")).to_contain_text("Outputs")
    page.get_by_text(re.compile("^Messages")).first.click()
    is_only_text(page, times=5)
    for show in ("output", "events"):
        page.goto(page.url.split("?")[0] + f"?show={show}")
        is_only_text(page)
    page.goto("/runs/")
    is_only_text(page)
    assert wrong == []


def test_what_fails_with_it_shows_it_as_text(hostile: Any) -> None:
    page, wrong, where = hostile
    page.goto(where["bad"])
    start(page, question="Why?")
    ended(page, "Failed")
    expect(page.locator("#run-panel").get_by_role("alert")).to_contain_text("<img src=x")
    is_only_text(page)
    choose(page, "say")
    page.get_by_role("tab", name="Last result").click()
    expect(page.locator("#inspector")).to_contain_text("Last run")
    page.goto(run_of(page))
    expect(page.locator("#run-head").get_by_role("alert")).to_contain_text("<img src=x")
    is_only_text(page)
    page.goto("/runs/?status=failed")
    is_only_text(page)
    assert wrong == []


def test_what_is_typed_and_uploaded_shows_as_text(hostile: Any) -> None:
    page, wrong, where = hostile
    page.goto(where["good"])
    choose(page, "frame")
    page.locator("#inspector [name=label]").fill(f"2 {BAD}")
    expect(node(page, "frame")).to_contain_text("2 <img")
    page.locator("#name").fill(f"renamed {BAD}")
    page.locator("#name").press("Enter")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    page.goto(where["collection"])
    file = {"name": f"{BAD.replace('/', '')}.txt", "mimeType": "text/plain", "buffer": BAD.encode()}
    page.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]
    page.locator("form:has(input[type=file])").get_by_role("button").last.click()
    expect(page.locator(".toast")).to_contain_text("<img src=x")
    is_only_text(page, times=3)
    page.goto(where["good"])
    page.get_by_role("button", name="More").first.click()
    page.get_by_role("button", name="Archive").click()
    expect(page.locator(".toast")).to_contain_text("renamed <img src=x")
    is_only_text(page)
    assert wrong == []


def test_the_admin_shows_it_as_text(hostile: Any) -> None:
    page, wrong, _ = hostile
    for model in (
        "pipeline",
        "signature",
        "signatureversion",
        "collection",
        "document",
        "lmprofile",
    ):
        page.goto(f"/admin/pipelines/{model}/")
        is_only_text(page)
        page.locator("#result_list tbody th a").first.click()
        page.wait_for_url("**/change/")
        is_only_text(page)
    assert wrong == []
