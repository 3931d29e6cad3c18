"""Saved pipelines as nodes, imported programs and a node's last result, as people do it in the editor."""

import json
import uuid
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import watch
from tests.browser.pages import choose, ended, field, imported, node, post, saved, start

CLEAR = {"x": 400, "y": 60}
"""A place on the canvas where no node of `writing` lies."""
INPUT, OUTPUT = ({"fields": [{"name": name, "type": "str"}]} for name in ("text", "said"))


def writing(context: BrowserContext, name: str, **more: Any) -> str:
    """A pipeline of a template; its address."""
    nodes = {
        "input": {"kind": "input", "version": 1, "config": INPUT},
        "write": {"kind": "template", "version": 1, "config": {"template": "Hello {{ text }}"}},
        "output": {"kind": "output", "version": 1, "config": OUTPUT},
        **more,
    }
    edges = {"write.text": ["input.text"], "output.said": ["write.text"]}
    layout = {"input": [40, 60], "write": [300, 60], "output": [640, 60]}
    layout |= {key: [300, 240] for key in more}
    return imported(context, {"name": name, "nodes": nodes, "edges": edges, "layout": layout})


def publish(context: BrowserContext, address: str, revision: int) -> None:
    answer = post(context, f"{address}publish/", {"note": "", "revision": str(revision)})
    assert answer.ok, answer.text()


def greeting(context: BrowserContext) -> tuple[str, str]:
    """A published pipeline; its name and address."""
    name = f"Greeting {uuid.uuid4().hex[:6]}"
    address = writing(context, name)
    publish(context, address, 0)
    return name, address


def test_a_saved_pipeline_is_searched_dragged_and_updated(page: Page, context: Any) -> None:
    name, address = greeting(context)
    page.goto(writing(context, "Outer"))
    page.locator("#find-kind").fill(name)
    offered = page.locator(".palette").get_by_role("button", name=name)
    offered.drag_to(page.locator("pipeline-canvas"), target_position=CLEAR)
    expect(node(page, "pipeline")).to_contain_text(name)
    expect(node(page, "pipeline")).to_contain_text("said")
    saved(page, 1)
    rename(context, address)
    publish(context, address, 1)
    choose(page, "write")
    choose(page, "pipeline")
    expect(page.locator("#inspector")).to_contain_text("v1")
    page.get_by_role("button", name="Update to v2").click()
    saved(page, 2)
    expect(page.get_by_role("button", name="Update to v2")).to_have_count(0)
    expect(page.locator("#inspector")).to_contain_text("v2")


def rename(context: BrowserContext, address: str) -> None:
    said = post(context, f"{address}rename/", {"name": "Greeting anew", "description": ""})
    assert said.ok, said.text()


def test_a_saved_pipeline_is_added_from_the_list(page: Page, context: Any) -> None:
    name, _ = greeting(context)
    page.goto(writing(context, "Outer"))
    expect(node(page, "write")).to_be_visible()
    page.locator(".react-flow__pane").dblclick(position=CLEAR)
    page.keyboard.type(name)
    option = page.get_by_role("option", name=name)
    expect(option).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(node(page, "pipeline")).to_contain_text(name)
    saved(page, 1)


def test_an_edge_that_ends_nowhere_offers_saved_pipelines_and_the_node_runs(
    page: Page, context: Any
) -> None:
    name, _ = greeting(context)
    page.goto(writing(context, "Outer"))
    output = node(page, "input").locator(".react-flow__handle[data-handleid=text]")
    output.drag_to(page.locator("pipeline-canvas"), target_position=CLEAR)
    page.keyboard.type(name)
    expect(page.get_by_role("option", name=name)).to_be_visible()
    page.keyboard.press("Enter")
    saved(page, 1)
    expect(page.locator("#problem-count")).to_be_hidden()
    start(page, text="Ada")
    ended(page)
    choose(page, "pipeline")
    page.get_by_role("tab", name="Last result").click()
    expect(page.locator("#node-last")).to_contain_text("Hello Ada")


def test_the_whole_name_of_a_kind_adds_that_kind(page: Page, context: Any) -> None:
    page.goto(writing(context, "Names"))
    expect(node(page, "write")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.type("Template")
    page.keyboard.press("Enter")
    expect(node(page, "template")).to_be_visible()


def test_the_last_result_of_a_node_is_there_after_a_run(page: Page, context: Any) -> None:
    page.goto(writing(context, "Result"))
    choose(page, "write")
    page.get_by_role("tab", name="Last result").click()
    expect(page.locator("#node-last")).to_contain_text("Run the pipeline")
    start(page, text="Ada")
    ended(page)
    expect(page.locator("#node-last")).to_contain_text("Hello Ada")
    expect(page.locator("#node-last .empty")).to_be_hidden()


def test_a_program_is_imported_and_taken_back(context: BrowserContext) -> None:
    page = context.new_page()
    wrong = watch(page, "422")  # the first file is refused
    asks = {"kind": "predict", "version": 1, "config": {"signature": "question -> answer"}}
    page.goto(writing(context, "Program", ask=asks))
    choose(page, "ask")
    upload(page, b"\x80\x04.")
    expect(page.get_by_role("dialog")).to_contain_text("is a pickle")
    page.get_by_role("dialog").locator("[type=file]").set_input_files(file(program()))
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    expect(field(page, "instructions").locator("textarea")).to_have_value("Be brief.")
    page.get_by_role("button", name="Undo").last.click()
    expect(field(page, "instructions").locator("textarea")).to_have_value("")
    assert wrong == []


def upload(page: Page, data: bytes) -> None:
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Import a DSPy program").click()
    page.get_by_role("dialog").locator("[type=file]").set_input_files(file(data))
    page.get_by_role("dialog").get_by_role("button", name="Import").click()


def file(data: bytes) -> Any:
    return {"name": "program.json", "mimeType": "application/json", "buffer": data}


def program() -> bytes:
    fields = [
        {"prefix": f"{n}:", "description": f"${{{n.lower()}}}"} for n in ("Question", "Answer")
    ]
    state = {"demos": [], "signature": {"instructions": "Be brief.", "fields": fields}, "lm": None}
    return json.dumps({"ask": state}).encode()


def test_a_node_whose_id_is_an_address_asks_nothing_else(context: BrowserContext) -> None:
    page = context.new_page()
    odd = {"kind": "template", "version": 1, "config": {"template": "x"}}
    page.goto(writing(context, "Odd", **{"../../x": odd}))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("pipeline-canvas [data-node='../../x']").click()
    expect(page.locator("#inspector")).to_contain_text("no form for")
    assert not [url for url in asked if url.endswith("/pipelines/x/")]


def test_options_of_a_dspy_module_are_single_controls(page: Page, context: BrowserContext) -> None:
    """Two that are typed one after the other are both kept, beside one that DSPy does not know."""
    options = {"temperature": 0.5, "unheard": True}
    config = {"module": "Predict", "signature": "text -> story", "options": options}
    page.goto(
        writing(context, "Options", ask={"kind": "dspy_module", "version": 1, "config": config})
    )
    choose(page, "ask")
    tokens = page.locator("#inspector [data-part=options][data-field=max_tokens] input")
    for _ in range(60):  # until the first worker has said what its DSPy has
        page.wait_for_timeout(500)
        if tokens.is_visible():
            break
        page.reload()
        choose(page, "ask")
    tokens.fill("0")
    expect(page.locator("#inspector [data-field=max_tokens] .err")).to_contain_text("at least 1")
    tokens.fill("20")
    page.locator("#inspector [data-part=options][data-field=seed] input").fill("7")
    saved(page, 2)
    page.reload()
    choose(page, "ask")
    expect(tokens).to_have_value("20")
    expect(page.locator("#inspector [data-part=options][data-field=seed] input")).to_have_value("7")
    unheard = page.locator("#inspector [data-part=options][data-field=unheard]")
    expect(unheard.locator(".err")).to_contain_text("has no option 'unheard'")
