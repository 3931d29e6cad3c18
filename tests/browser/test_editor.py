"""The editor in a real browser against a real server: what people do, and what must not go wrong."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import Server, watch

ANALYSE = "chain_of_thought"


def new_pipeline(page: Page, template: str = "Flagship") -> str:
    """A pipeline from a template; its address."""
    page.goto("/templates/")
    page.get_by_role("button", name=re.compile(f"^{template}")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(f"{template} {uuid.uuid4().hex[:6]}")
    dialog.get_by_role("button", name="Create pipeline").click()
    page.wait_for_url(re.compile(r"/pipelines/[0-9a-f-]{36}/"))
    expect(node(page, "input")).to_be_visible()
    return page.url


def node(page: Page, name: str) -> Locator:
    return page.locator(f"pipeline-canvas [data-node='{name}']")


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#inspector [data-field='{name}']")


def choose(page: Page, name: str) -> None:
    node(page, name).click()
    expect(page.locator(f"#inspector form[data-node='{name}']")).to_be_visible()


def saved(page: Page, revision: int) -> None:
    expect(page.locator("#save-state")).to_have_text(f"Saved · rev {revision}")


def test_the_printed_address_opens_on_the_gallery(page: Page) -> None:
    page.goto("/templates/")
    for name in ("Flagship", "Sort a message", "Find contact details", "Ask the documents"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_be_visible()


def test_a_change_is_saved_and_is_there_after_a_reload(page: Page) -> None:
    new_pipeline(page)
    choose(page, ANALYSE)
    text = "keywords: list[str] -> analysis, score: float"
    field(page, "signature").locator("textarea").fill(text)
    saved(page, 1)
    expect(node(page, ANALYSE)).to_contain_text("score")
    page.reload()
    choose(page, ANALYSE)
    expect(field(page, "signature").locator("textarea")).to_have_value(text)


def test_a_bad_value_stays_in_its_box_and_is_not_saved(page: Page) -> None:
    new_pipeline(page)
    choose(page, ANALYSE)
    box = field(page, "signature").locator("textarea")
    box.fill("keywords -> analysis: flaot")
    expect(field(page, "signature")).to_contain_text("did you mean float")
    expect(box).to_have_attribute("aria-invalid", "true")
    page.wait_for_timeout(700)
    saved(page, 0)
    expect(box).to_have_value("keywords -> analysis: flaot")


def test_a_node_is_added_named_undone_and_redone_by_keys_alone(page: Page) -> None:
    new_pipeline(page)
    page.keyboard.press("a")
    page.keyboard.type("templ")
    page.keyboard.press("Enter")
    expect(node(page, "template_2")).to_be_focused()
    saved(page, 1)
    page.keyboard.press("F2")
    expect(page.locator("#inspector [name=label]")).to_be_focused()
    page.keyboard.type("Write up")
    expect(node(page, "template_2")).to_contain_text("Write up")
    saved(page, 2)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+z")
    saved(page, 3)
    page.keyboard.press("Control+z")
    expect(node(page, "template_2")).to_have_count(0)
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+y")
    expect(node(page, "template_2")).to_contain_text("Write up")


def test_keys_are_letters_while_one_types(page: Page) -> None:
    new_pipeline(page)
    choose(page, ANALYSE)
    label = page.locator("#inspector [name=label]")
    label.fill("")
    label.press_sequentially("Say a?")
    label.press("Delete")
    label.press("Backspace")
    expect(label).to_have_value("Say a")
    expect(node(page, ANALYSE)).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_kind_is_dragged_onto_the_canvas(page: Page) -> None:
    new_pipeline(page, "Sort a message")
    kind = page.locator(".palette [data-kind=lm]")
    kind.drag_to(page.locator("pipeline-canvas"), target_position={"x": 400, "y": 420})
    expect(node(page, "lm")).to_be_visible()
    saved(page, 1)


def test_deleting_can_be_taken_back(page: Page) -> None:
    new_pipeline(page)
    choose(page, "template")
    page.locator("#inspector").get_by_role("button", name="Remove").click()
    expect(node(page, "template")).to_have_count(0)
    expect(page.locator("#problem-count")).to_have_text("1")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(node(page, "template")).to_be_visible()
    expect(page.locator("#problem-count")).to_be_hidden()


def test_a_problem_leads_to_its_node(page: Page) -> None:
    new_pipeline(page)
    choose(page, "predict")
    page.keyboard.press("Delete")
    expect(node(page, "predict")).to_have_count(0)
    page.get_by_role("tab", name="Problems").click()
    page.get_by_role("button", name="Analyse, keywords").click()
    expect(page.locator(f"#inspector form[data-node='{ANALYSE}']")).to_be_visible()


def test_edits_made_offline_are_kept_through_a_reload_and_sent_later(
    page: Page, context: BrowserContext
) -> None:
    address = new_pipeline(page)
    operations = re.compile("/operations/")
    context.route(operations, lambda route: route.abort("internetdisconnected"))
    page.locator("#name").fill("Named offline")
    page.locator("#name").press("Enter")
    expect(page.locator("#save-state")).to_have_text("Offline, 1 edit kept here")
    page.goto(address)
    expect(page.locator("#save-state")).to_have_text("Offline, 1 edit kept here")
    context.unroute(operations)
    page.evaluate("dispatchEvent(new Event('online'))")
    saved(page, 1)
    page.reload()
    expect(page.locator("#name")).to_have_value("Named offline")


def test_a_run_is_of_what_is_on_the_page(page: Page) -> None:
    new_pipeline(page, "Sort a message")
    choose(page, "sort")
    field(page, "instructions").locator("textarea").fill("Pick the topic.")
    page.locator("#run-form textarea").fill("My parcel has not arrived")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-panel")).to_contain_text("Succeeded", timeout=60_000)
    saved(page, 1)
    expect(node(page, "sort")).to_contain_text("tok")


def test_a_run_asks_for_what_the_input_has_now(page: Page) -> None:
    new_pipeline(page, "Sort a message")
    choose(page, "input")
    rows = field(page, "fields")
    rows.get_by_role("button", name="Add field").click()
    rows.get_by_label("Name").last.fill("tone")
    expect(page.locator("#run-form")).to_contain_text("tone")
    expect(node(page, "input")).to_contain_text("tone")


def test_a_copy_of_nodes_is_pasted_with_its_edges(page: Page) -> None:
    new_pipeline(page, "Sort a message")
    node(page, "sort").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+d")
    expect(node(page, "sort_2")).to_be_visible()
    saved(page, 1)
    expect(page.locator("pipeline-canvas .react-flow__edge")).to_have_count(4)


def test_what_is_archived_can_be_taken_out_again(page: Page) -> None:
    address = new_pipeline(page, "Sort a message")
    name = page.locator("#name").input_value()
    page.get_by_role("button", name="More").first.click()
    page.get_by_role("button", name="Archive").click()
    page.wait_for_url("**/pipelines/")
    expect(page.locator(".toast")).to_contain_text(f"{name} is in the archive.")
    page.goto("/pipelines/?show=archived")
    page.get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("button", name="Take out of the archive").click()
    page.wait_for_url(lambda url: url.endswith("/pipelines/"))
    page.goto(address)
    expect(page.locator("#save-state")).to_be_visible()


def test_what_somebody_else_does_is_there_at_once(
    page: Page, server: Server, browser: Browser
) -> None:
    address = new_pipeline(page)
    with opened_by(server, browser, "maya", address) as other:
        expect(page.locator("#people")).to_have_text("ML")
        choose(other, "template")
        expect(node(page, "template")).to_contain_text("Maya")
        other.locator("#inspector [name=label]").fill("Write it up")
        expect(node(page, "template")).to_contain_text("Write it up")
        saved(page, 1)
        other.locator("#inspector").get_by_role("button", name="Remove").click()
        expect(node(page, "template")).to_have_count(0)
        expect(page.locator("#problem-count")).to_have_text("1")
        node(page, "colbert").hover()
        node(other, "search").click()
        other.keyboard.press("Shift+ArrowRight")
        saved(page, 3)
        assert place(page, "search") == place(other, "search")
    expect(page.locator("#people")).to_have_text("")
    expect(page.locator(".pc-who")).to_have_count(0)


def test_two_tabs_of_one_person_follow_each_other_without_a_socket(
    page: Page, context: BrowserContext
) -> None:
    address = new_pipeline(page)
    other = context.new_page()
    other.route_web_socket(re.compile("/ws/live/"), lambda socket: socket.close())
    other.goto(address)
    expect(node(other, "input")).to_be_visible()
    choose(page, "template")
    page.locator("#inspector [name=label]").fill("Seen by polling")
    # It asks every five seconds.
    expect(node(other, "template")).to_contain_text("Seen by polling", timeout=15_000)
    expect(page.locator("#people")).to_have_text("")


def test_who_types_over_what_somebody_else_has_changed_overwrites_nothing(
    page: Page, server: Server, browser: Browser
) -> None:
    address = new_pipeline(page)
    choose(page, ANALYSE)
    mine = page.locator("#inspector [name=label]")
    mine.focus()
    with opened_by(server, browser, "maya", address) as other:
        choose(other, ANALYSE)
        other.locator("#inspector [name=label]").fill("By Maya")
        saved(other, 1)
        expect(node(page, ANALYSE)).to_contain_text("By Maya")
        expect(mine).to_have_value("Analyse")  # nothing moves under somebody's hands
        mine.fill("By me")
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("Maya Lind saved rev 1 while you edited rev 0.")
        expect(page.locator("#save-state")).to_have_text("Conflict, 1 of your edits kept here")
        banner.get_by_role("button", name="See both").click()
        expect(banner).to_contain_text("By me")
        expect(node(page, ANALYSE)).to_contain_text("By Maya")
        page.reload()
        banner.get_by_role("button", name="Use mine").click()
        expect(node(other, ANALYSE)).to_contain_text("By me")
        saved(page, 2)


def test_a_refused_edit_can_be_kept_as_a_copy(page: Page, server: Server, browser: Browser) -> None:
    address = new_pipeline(page)
    choose(page, ANALYSE)
    page.route(re.compile("/operations/"), lambda route: route.abort("internetdisconnected"))
    page.locator("#inspector [name=label]").fill("By me")
    expect(page.locator("#save-state")).to_have_text("Offline, 1 edit kept here")
    with opened_by(server, browser, "maya", address) as other:
        choose(other, ANALYSE)
        other.locator("#inspector").get_by_role("button", name="Remove").click()
        saved(other, 1)
    page.unroute(re.compile("/operations/"))
    page.evaluate("dispatchEvent(new Event('online'))")
    banner = page.get_by_role("alert")
    banner.get_by_role("button", name="Keep mine as a copy").click()
    page.locator(".toast").get_by_role("button", name="Open").click()
    page.wait_for_url(lambda url: url != address)
    expect(node(page, ANALYSE)).to_contain_text("By me")


def test_a_version_is_published_looked_at_and_gone_back_to(page: Page) -> None:
    address = new_pipeline(page)
    page.get_by_role("button", name="Publish v1").click()
    page.get_by_label("What is new").fill("The first one")
    page.get_by_role("dialog").get_by_role("button", name="Publish v1").click()
    expect(page.get_by_role("button", name="Publish v2")).to_be_visible()
    choose(page, "template")
    page.keyboard.press("Delete")
    expect(node(page, "template")).to_have_count(0)
    page.get_by_role("button", name="History").click()
    history = page.locator("#history-panel")
    expect(history).to_contain_text("Removed template")
    history.get_by_role("link", name="Open v1").click()
    expect(node(page, "template")).to_be_visible()
    expect(page.locator(".banner")).to_contain_text("The first one")
    node(page, "template").click()
    expect(page.locator("#inspector [name=label]")).to_have_attribute("readonly", "")
    page.keyboard.press("Delete")
    expect(node(page, "template")).to_be_visible()
    page.get_by_role("button", name="Restore v1").click()
    page.wait_for_url(address)
    expect(node(page, "template")).to_be_visible()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(node(page, "template")).to_have_count(0)
    saved(page, 3)


def test_the_draft_is_taken_back_from_the_history_beside_it(page: Page) -> None:
    new_pipeline(page)
    page.get_by_role("button", name="Publish v1").click()
    page.get_by_role("dialog").get_by_role("button", name="Publish v1").click()
    choose(page, "template")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="History").click()
    page.locator("#history-panel").get_by_role("button", name="Restore").click()
    expect(node(page, "template")).to_be_visible()
    saved(page, 2)
    page.locator("#history-panel").get_by_role("button", name="Close").click()
    expect(page.locator("#inspector")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(node(page, "template")).to_have_count(0)


def test_run_becomes_stop_while_a_run_goes_on(page: Page) -> None:
    new_pipeline(page)
    page.locator("#run-form textarea").fill(f"What is late interaction? {uuid.uuid4().hex}")
    page.locator("#run").click()
    stop = page.locator("#stop")
    expect(stop).to_contain_text(re.compile(r"Stop\s*\d+\.\d s"))
    expect(page.locator("#run")).to_be_hidden()
    expect(node(page, "output")).to_contain_text("Queued")
    stop.click()
    expect(page.locator("#run")).to_be_visible()
    expect(stop).to_be_hidden()
    expect(node(page, "output")).not_to_contain_text("Queued")


def test_a_run_without_its_input_does_not_start_and_leads_to_it(page: Page) -> None:
    new_pipeline(page)
    box = page.locator("#run-form textarea")
    expect(box).to_be_visible()
    page.locator("#fold-drawer").click()
    expect(box).to_be_hidden()
    page.locator("#run").click()
    expect(box).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("Not run: this input is empty.")
    box.fill("x")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_run_waits_until_what_is_typed_is_saved(page: Page) -> None:
    new_pipeline(page, "Sort a message")
    choose(page, "sort")
    page.locator("#run-form textarea").fill("My parcel has not arrived")
    page.locator("#inspector [name=label]").fill("Sort it now")
    with page.expect_response(re.compile("/start/")):
        page.keyboard.press("Control+Enter")
    saved(page, 1)
    run = page.locator("#run-panel run-live").get_attribute("data-run")
    page.goto(f"/runs/{run}/")
    expect(page.locator("main")).to_contain_text("Sort it now")


def test_an_edge_is_pulled_to_another_port_or_off(page: Page) -> None:
    new_pipeline(page)
    edges = page.locator("pipeline-canvas .react-flow__edge")
    expect(edges).to_have_count(8)
    pull(page, port(page, "predict", "query"))
    drop(page, port(page, "template", "results"))  # takes the place of the edge that was there
    expect(edges).to_have_count(7)
    saved(page, 1)
    assert "input.query→template.results" in page.evaluate(JOINED)
    pull(page, port(page, "search", "query"))
    page.mouse.move(700, 250, steps=5)
    page.mouse.up()
    expect(edges).to_have_count(6)
    saved(page, 2)
    assert "search.query" not in page.evaluate(JOINED)


JOINED = """document.querySelector('pipeline-canvas').graph.edges
    .map(each => `${each.source}.${each.source_port}→${each.target}.${each.target_port}`).join()"""


def test_an_edge_dropped_on_the_empty_canvas_offers_what_fits(page: Page) -> None:
    new_pipeline(page)
    begin = port(page, ANALYSE, "analysis").bounding_box()
    assert begin
    page.mouse.move(begin["x"] + 5, begin["y"] + 5)
    page.mouse.down()
    page.mouse.move(begin["x"] + 20, begin["y"] + 120, steps=5)
    page.mouse.up()
    options = page.locator("#kinds [role=option]")
    expect(options.filter(has_text="Template")).to_have_count(1)
    expect(options.filter(has_text="Input")).to_have_count(0)
    page.keyboard.type("templ")
    page.keyboard.press("Enter")
    expect(node(page, "template_2")).to_be_visible()
    expect(page.locator("pipeline-canvas .react-flow__edge")).to_have_count(9)


def test_several_nodes_are_handled_together(page: Page) -> None:
    new_pipeline(page)
    node(page, "input").click()
    page.keyboard.press("Control+a")
    bar = page.get_by_role("toolbar", name="Selected nodes")
    expect(bar).to_contain_text("8 nodes")
    expect(page.locator("#inspector")).to_contain_text("8 nodes selected")
    bar.get_by_role("button", name="Remove").click()
    expect(page.locator("pipeline-canvas")).to_contain_text("Nothing here yet")
    page.keyboard.press("Control+z")
    expect(page.locator("pipeline-canvas [data-node]")).to_have_count(8)


def test_a_new_container_holds_what_it_needs(page: Page) -> None:
    new_pipeline(page)
    page.keyboard.press("a")
    page.keyboard.type("map")
    page.keyboard.press("Enter")
    expect(node(page, "map")).to_contain_text("items")
    expect(node(page, "input_2")).to_contain_text("item")
    expect(node(page, "output_2")).to_contain_text("result")
    saved(page, 1)


def test_the_list_of_places_knows_the_editors_commands(page: Page) -> None:
    new_pipeline(page)
    page.keyboard.press("Control+k")
    page.keyboard.type("histo")
    expect(page.get_by_role("option", name="History")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#history-panel")).to_contain_text("Versions")


def test_a_map_covers_nothing_while_all_is_in_view(page: Page) -> None:
    new_pipeline(page)
    expect(page.get_by_role("img", name="Minimap")).to_be_hidden()
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    expect(page.get_by_role("img", name="Minimap")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 1024, 768])
def test_the_editor_keeps_to_its_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    new_pipeline(page)
    choose(page, ANALYSE)
    too_wide = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    assert not too_wide
    for name in ("Run", "History"):
        button = page.get_by_role("button", name=name, exact=True).first.bounding_box()
        assert button and button["x"] + button["width"] <= width
    canvas = page.locator("pipeline-canvas").bounding_box()
    assert canvas and canvas["width"] >= 400


def port(page: Page, name: str, of: str) -> Locator:
    return page.locator(f"[data-node='{name}'] .react-flow__handle[data-handleid='{of}']")


def pull(page: Page, target: Locator) -> None:
    """Take hold of the end of the edge that comes into a port."""
    box = target.bounding_box()
    assert box
    page.mouse.move(box["x"] - 5, box["y"] + 5)
    page.mouse.down()


def drop(page: Page, target: Locator) -> None:
    box = target.bounding_box()
    assert box
    page.mouse.move(box["x"] + 4, box["y"] + 4, steps=5)
    page.mouse.up()


def place(page: Page, name: str) -> Any:
    return page.evaluate(
        "name => { const node = document.querySelector('pipeline-canvas').graph.nodes"
        ".find(each => each.id === name); return [node.x, node.y]; }",
        name,
    )


@contextmanager
def opened_by(server: Server, browser: Browser, name: str, address: str) -> Iterator[Page]:
    """The pipeline in a team-mate's browser, in which nothing may go wrong either."""
    context = person(server, browser, name, address)
    page = context.new_page()
    wrong = watch(page)
    page.goto(address)
    expect(node(page, "input")).to_be_visible()
    yield page
    assert wrong == []
    context.close()


def person(server: Server, browser: Browser, name: str, address: str) -> BrowserContext:
    """A team-mate who may edit the pipeline, signed in by password."""
    pipeline = address.rstrip("/").rpartition("/")[2]
    server.manage(
        "from django.contrib.auth.models import User\n"
        "from pipelines.models import *\n"
        f"user, _ = User.objects.get_or_create(username={name!r}, "
        "defaults={'first_name': 'Maya', 'last_name': 'Lind'})\n"
        "user.set_password('for tests only'); user.save()\n"
        f"project = Pipeline.objects.get(pk={pipeline!r}).project\n"
        "Membership.objects.get_or_create(project=project, user=user, defaults={'role': 'editor'})"
    )
    context = browser.new_context(base_url=server.address, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto("/sign-in/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("for tests only")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/(templates|pipelines)/"))
    return context


PAGES = ("/templates/", "/pipelines/", "/signatures/", "/collections/", "/lm-profiles/")


@pytest.mark.parametrize("width", [1440, 1024])
def test_no_page_breaks_the_policy_or_its_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for address in PAGES:
        page.goto(address)
        expect(page.locator("main")).to_be_visible()
        too_wide = page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not too_wide, address


def test_a_page_other_than_the_editor_is_light(page: Page) -> None:
    sizes: list[int] = []
    page.on(
        "response",
        lambda response: (
            sizes.append(int(response.headers.get("content-length", 0)))
            if response.url.split("?")[0].endswith((".js", ".css"))
            else None
        ),
    )
    page.goto("/pipelines/")
    assert 0 < sum(sizes) <= 100_000


def test_a_signature_is_saved_in_versions(page: Page) -> None:
    page.goto("/signatures/")
    page.get_by_role("button", name="New signature").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(f"Ask {uuid.uuid4().hex[:6]}")
    dialog.get_by_role("button", name="Create signature").click()
    page.wait_for_url(re.compile("/signatures/[0-9a-f-]{36}/"))
    page.get_by_role("textbox", name="Signature", exact=True).fill(
        "question, passages: list[str] -> answer: flaot"
    )
    expect(page.locator("#text-error")).to_contain_text("did you mean float")
    page.get_by_role("textbox", name="Signature", exact=True).fill(
        "question, passages: list[str] -> answer: float"
    )
    expect(page.locator("#fields tbody tr")).to_have_count(3)
    expect(page.locator("#schemas")).to_contain_text('"number"')
    page.get_by_role("button", name="Save as v1").click()
    expect(page.get_by_role("button", name="Save as v2")).to_be_visible()


def test_go_to_anything_goes_there(page: Page) -> None:
    page.goto("/pipelines/")
    page.keyboard.press("Control+k")
    page.keyboard.type("lm prof")
    expect(page.get_by_role("option", name=re.compile("LM profiles"))).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/lm-profiles/")


def test_the_theme_that_is_chosen_stays(page: Page) -> None:
    page.goto("/pipelines/")
    page.get_by_role("button", name="Theme").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
