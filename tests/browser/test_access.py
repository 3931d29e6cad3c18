"""Every page can be used by everybody: axe-core's rules on names, contrast, structure and keyboards."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import ROOT, Server

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = {"serious", "critical"}
# What a page is filled with, and where it is then to be found.
FILL = """
import json
from django.contrib.auth.models import User
from pipelines import services
from pipelines.examples import example
from runner.services import start_run
user = User.objects.get()
project = services.personal_project(user=user)
pipeline = services.create_pipeline(project=project, user=user, graph=example("classify"))
signature = services.create_signature(project=project, user=user, name="Access")
services.new_signature_version(signature=signature, user=user, text="question -> answer: bool")
collection = services.create_collection(project=project, user=user, name="access")
documents = [services.DocumentText(text="Hello", title="A greeting")]
services.replace_documents(collection=collection, user=user, documents=documents)
run = start_run(user=user, pipeline=pipeline, inputs={"message": "Where is my parcel?"})
pages = {"editor": f"/pipelines/{pipeline.pk}/", "run": f"/runs/{run.pk}/"}
pages |= {"signature": f"/signatures/{signature.pk}/", "collection": f"/collections/{collection.pk}/"}
print(json.dumps(pages))
"""
PAGES = [
    *("/templates/", "/pipelines/", "/pipelines/?show=archived", "editor", "/runs/", "run"),
    *("/signatures/", "signature", "/collections/", "/collections/docs/", "collection"),
    *("/lm-profiles/", "/workers/", "/admin/", "/admin/pipelines/signature/"),
    *("/admin/pipelines/signature/add/",),
]


@pytest.fixture(scope="session")
def places(server: Server, signed_in: Any) -> dict[str, str]:
    places: dict[str, str] = json.loads(server.manage(FILL).splitlines()[-1])
    return places


@pytest.fixture(params=["light", "dark"])
def themed(context: BrowserContext, server: Server, request: pytest.FixtureRequest) -> Page:
    context.add_cookies([{"name": "dspex_theme", "value": request.param, "url": server.address}])
    context.add_init_script(path=AXE)  # in this way the page's policy does not forbid it
    return context.new_page()


def violations(page: Page) -> list[str]:
    """What is gravely wrong, with the element. The admin's own widgets are Django's to mend."""
    found = page.evaluate(
        "() => axe.run({exclude: ['.select2', '#searchbar']}, {resultTypes: ['violations']})"
    )
    return [
        f"{rule['id']}: {node['html'][:160]} ({rule['help']})"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_nothing_grave_is_wrong_with_a_page(
    themed: Page, places: dict[str, str], name: str
) -> None:
    themed.goto(places.get(name, name))
    themed.wait_for_load_state("networkidle")
    assert violations(themed) == []


@pytest.mark.parametrize("opens", ["New pipeline", "Import", "Shortcuts", "Go to"])
def test_nothing_grave_is_wrong_with_a_dialog(themed: Page, opens: str) -> None:
    themed.goto("/pipelines/")
    if opens == "Go to":
        themed.keyboard.press("Control+k")
    else:
        themed.get_by_role("button", name=opens).first.click()
    themed.get_by_role("dialog").wait_for()
    themed.wait_for_timeout(300)  # what it shows comes from the server
    assert violations(themed) == []


def test_nothing_grave_is_wrong_with_code_fields_in_use(
    themed: Page, places: dict[str, str]
) -> None:
    themed.goto(places["signature"])
    field = themed.get_by_role("textbox", name="Signature", exact=True)
    themed.locator("code-editor").first.hover()
    themed.locator(".cm-content").first.wait_for()
    field.press("Control+End")
    field.press_sequentially(": flaot, more: ")
    field.press("Control+Space")
    themed.get_by_role("option").first.wait_for()
    themed.locator(".cm-lintRange-error").wait_for()
    # The list is walked by the field's own arrow keys.
    assert [each for each in violations(themed) if 'role="listbox"' not in each] == []


def test_nothing_grave_is_wrong_for_strangers(browser: Browser, server: Server) -> None:
    context = browser.new_context(base_url=server.address)
    context.add_init_script(path=AXE)
    page = context.new_page()
    for address in ("/sign-in/", "/sign-in/?token=used", "/sign-in/?next=/nothing/"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert violations(page) == []
    context.close()


FOCUSED = """() => {
  const it = document.activeElement, look = getComputedStyle(it);
  const drawn = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2;
  const around = it.matches("input[type=radio]") && getComputedStyle(it.closest("label"));
  return [it.outerHTML.slice(0, 120), drawn || (around && around.outlineStyle !== "none")];
}"""


@pytest.mark.parametrize("address", ["/pipelines/", "/collections/docs/", "/templates/"])
def test_the_tab_key_reaches_everything_and_shows_where_it_is(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    wanted = page.locator("main :is(button, a[href], input:not([type=hidden]), select)").count()
    assert wanted > 3
    reached = set()
    for _ in range(min(wanted, 30)):
        page.keyboard.press("Tab")
        element, visible = page.evaluate(FOCUSED)
        assert visible, element
        reached.add(element)
    assert len(reached) > min(wanted, 30) / 2
