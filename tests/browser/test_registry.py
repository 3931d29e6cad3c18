"""The signature registry in the admin: added while its text is parsed, a new version, who uses it."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.pages import writer

TEXT = "question -> story"


def test_a_signature_is_added_versioned_and_its_uses_are_seen(
    page: Page, context: BrowserContext
) -> None:
    writer(context)
    page.goto("/admin/")
    page.get_by_role("link", name="Signatures", exact=True).first.click()
    page.get_by_role("link", name=re.compile("^Add signature", re.I)).first.click()
    page.get_by_label("Name:").fill("Tell")
    text = page.locator("textarea[name=text]")
    text.fill("question -> story: flaot")
    expect(page.locator("#content")).to_contain_text("did you mean float")
    text.fill(TEXT)
    expect(page.locator("#content")).to_contain_text('"properties"')
    expect(page.locator("#content table").filter(has_text="story").first).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="Tell").click()
    expect(page.locator("#content")).to_contain_text("Writer")

    page.get_by_role("link", name="New version").first.click()
    page.locator("textarea[name=text]").fill(f"{TEXT}, length: int")
    expect(page.locator("#content")).to_contain_text('"integer"')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("added successfully")
    assert page.locator("#result_list tbody tr").filter(has_text="Tell").count() == 2
