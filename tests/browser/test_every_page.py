"""Every page, light and dark, wide and narrow: nothing breaks the policy, asks elsewhere or overflows."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Server, tabs, watch
from tests.browser.pages import ended, from_template, post, run_of, start

# What is asked for by pages, or answers with a file or JSON; the rest must be looked at here.
_PARTS = """
    home goto new import copy rename archive export graph operations copy_with inspector
    node check new_signature parse_signature new_signature_version new_collection
    upload new_lm_profile new_credential since step cancel resume repeat panel start
    step_preview pipeline_figures test_lm_profile sign_out static sign_in answer
    docs_document document history metrics module_of_node publish restore router_pin
    router_reset router_settings run_lines search search_docs import_program saved
    saved_version set_budget several value version response_cache clear_response_cache
    code_words node_words check_option due delete_due order_pool stop_step pin step_inputs
    decide going follow edit_pin
"""  # a version looks as a revision does
PARTS = set(_PARTS.split())
ADMIN = ("/admin/", "/admin/pipelines/signature/", "/admin/pipelines/signatureversion/add/")


def named(patterns: Any, namespace: str = "") -> Iterator[str]:
    for entry in patterns:
        if isinstance(entry, URLPattern):
            yield str(entry.name)
        elif isinstance(entry, URLResolver) and entry.namespace != "admin":
            yield from named(entry.url_patterns)


@pytest.fixture(scope="module")
def pages(server: Server, browser: Browser, signed_in: Any) -> dict[str, str]:
    """The address of every page, by name, on an installation in which something has happened."""
    context = tabs(server, browser, signed_in)
    page = context.new_page()
    editor = from_template(page, "Sort a message")
    start(page, message="My parcel has not arrived.")
    ended(page)
    found = {
        **{"gallery": "/templates/", "list": "/pipelines/", "signatures": "/signatures/"},
        **{"collections": "/collections/", "lm_profiles": "/lm-profiles/", "runs": "/runs/"},
        **{"workers": "/workers/", "editor": editor, "run": run_of(page)},
        **{"docs": "/collections/docs/", "revision": f"{editor}revisions/0/"},
        **{
            name: reverse(f"runner:{name}") for name in ("router", "dspy_modules", "doctor", "kept")
        },
        "signature": made(context, "/signatures/new/", name="Every page"),
        "collection": made(context, "/collections/new/", name="Every page"),
        "lm_profile": made(context, "/lm-profiles/new/", name="every-page", adapter="scripted"),
    }
    context.close()
    return found


def made(context: BrowserContext, address: str, **data: str) -> str:
    answer = post(context, address, data)
    assert answer.status == 204, answer.text()
    return answer.headers["hx-redirect"]


def test_no_page_is_left_out(pages: dict[str, str]) -> None:
    """Give the address of a new page in `pages`, or name what is none in PARTS."""
    assert set(named(get_resolver().url_patterns)) == pages.keys() | PARTS


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024])
def test_every_page_is_whole(
    server: Server, browser: Browser, signed_in: Any, pages: dict[str, str], theme: str, width: int
) -> None:
    context = tabs(server, browser, signed_in, viewport={"width": width, "height": 900})
    context.add_cookies([{"name": "dspex_theme", "value": theme, "url": server.address}])
    page = context.new_page()
    wrong = watch(page)
    run = pages["run"]
    for address in (*pages.values(), f"{run}?show=output", f"{run}?show=events"):
        page.goto(address)
        expect(page.locator("main")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        is_whole(page)
    assert wrong == []
    context.close()


def is_whole(page: Page) -> None:
    assert page.evaluate(WHOLE) == [], page.url


# Wider than the window; what a strict policy would refuse; what has no name for who can't see it.
WHOLE = """() => {
  const root = document.documentElement;
  const wrong = [];
  if (root.scrollWidth > root.clientWidth) wrong.push(`is ${root.scrollWidth} wide`);
  for (const each of document.querySelectorAll("script:not([src]):not([type='application/json'])"))
    wrong.push(`has a script in it: ${each.textContent.slice(0, 40)}`);
  for (const each of document.querySelectorAll("*"))
    for (const { name } of each.attributes)
      if (/^on/.test(name) || name === "hx-on") wrong.push(`has ${name} on ${each.tagName}`);
  for (const each of document.querySelectorAll("button, a[href], input, select, textarea")) {
    const named = each.ariaLabel || each.textContent.trim() || each.labels?.length || each.title;
    if (!named && each.checkVisibility() && each.type !== "hidden" && !each.ariaLabelledByElements)
      wrong.push(`has no name: ${each.outerHTML.slice(0, 80)}`);
  }
  return wrong;
}"""


def test_the_admin_keeps_to_the_policy(page: Page) -> None:
    for address in ADMIN:
        page.goto(address)
        expect(page.locator("#content")).to_be_visible()


def test_strangers_get_a_page_to_sign_in(server: Server, browser: Browser) -> None:
    context = tabs(server, browser, None)
    page = context.new_page()
    wrong = watch(page)
    page.goto("/pipelines/")
    expect(page.get_by_label("Password")).to_be_visible()
    is_whole(page)
    assert wrong == []
    context.close()


def test_a_page_that_is_not_there_says_so(
    server: Server, page: Page, context: BrowserContext
) -> None:
    other = context.new_page()
    answer = other.goto("/runs/00000000-0000-0000-0000-000000000000/")
    assert answer
    assert answer.status == 404
    expect(other.get_by_role("link").first).to_be_visible()
    is_whole(other)
