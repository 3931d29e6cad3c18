"""What people do on the pages, in the words of the tests."""

import json
import re
import uuid
from typing import Any

from playwright.sync_api import APIResponse, BrowserContext, Locator, Page, expect

LANDED = re.compile(r"/(templates|pipelines)/")
PIPELINE = re.compile(r"/pipelines/[0-9a-f-]{36}/")
MODEL, WORDS = 60_000, 30_000
"""Milliseconds until a run has ended, and until it writes, on a machine that does something else, too."""


def from_template(page: Page, template: str) -> str:
    """A pipeline from the gallery; its address."""
    page.goto("/templates/")
    page.get_by_role("button", name=re.compile(f"^{template}")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(f"{template} {uuid.uuid4().hex[:6]}")
    dialog.get_by_role("button", name="Create pipeline").click()
    page.wait_for_url(PIPELINE)
    expect(node(page, "input")).to_be_visible()
    return page.url


def post(context: BrowserContext, address: str, data: dict[str, str]) -> APIResponse:
    """A form, as a page of the site sends it."""
    token = re.search(r'name="csrf" content="(\w+)"', context.request.get("/templates/").text())
    assert token
    return context.request.post(address, form=data, headers={"X-CSRFToken": token.group(1)})


def imported(context: BrowserContext, graph: dict[str, Any]) -> str:
    """A pipeline from its file; its address."""
    answer = post(context, "/pipelines/import/", {"text": json.dumps({"format": 1, **graph})})
    assert answer.status == 204, answer.text()
    return answer.headers["hx-redirect"]


def writer(context: BrowserContext, **config: Any) -> str:
    """A pipeline of one node that writes for some seconds, so that something can happen meanwhile: on
    DSPy they would be half, as a refused answer is not asked for again there."""
    fields = {"fields": [{"name": "question", "type": "str"}]}
    story = {"fields": [{"name": "story", "type": "str"}]}
    config = {"signature": "question -> story", "max_tokens": 500, **config}
    return imported(
        context,
        {
            "name": f"Writer {uuid.uuid4().hex[:6]}",
            "nodes": {
                "input": {"kind": "input", "version": 1, "config": fields},
                "write": {
                    "kind": "predict",
                    "version": 1,
                    "config": config,
                    "policy": {"backend": "native"},
                },
                "output": {"kind": "output", "version": 1, "config": story},
            },
            "edges": {"write.question": ["input.question"], "output.story": ["write.story"]},
            "layout": {"input": [24, 60], "write": [260, 60], "output": [620, 60]},
        },
    )


# The editor


def node(page: Page, name: str) -> Locator:
    return page.locator(f"pipeline-canvas [data-node='{name}']")


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#inspector [data-field='{name}']")


def choose(page: Page, name: str) -> None:
    node(page, name).click()
    expect(page.locator(f"#inspector form[data-node='{name}']")).to_be_visible()


def saved(page: Page, revision: int) -> None:
    expect(page.locator("#save-state")).to_have_text(f"Saved · rev {revision}")


# Runs


def ask(page: Page, **inputs: str) -> None:
    """Fill in what the run panel asks for."""
    for name, text in inputs.items():
        page.locator(f"#run-form [name='input-{name}']").fill(text)


def start(page: Page, **inputs: str) -> None:
    ask(page, **inputs)
    page.locator("#run").click()


def run_status(page: Page) -> Locator:
    return page.locator("run-live [data-part=status]")


def ended(page: Page, word: str = "Succeeded", timeout: float = MODEL) -> None:
    expect(run_status(page)).to_have_text(word, timeout=timeout)


def run_of(page: Page) -> str:
    """The run that the page shows; its address."""
    found = page.locator("run-live").get_attribute("data-since-url")
    assert found
    return found.removesuffix("since/")


def run_link(page: Page) -> Locator:
    """From the run panel to the run's page."""
    return page.get_by_role("link", name=re.compile("^Run [0-9a-f]{6}"))


def stop_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Stop").first


def streamed(page: Page, name: str = "") -> Locator:
    """What the run panel (or the run's page) shows of a step's field while it is written."""
    streams = page.locator("run-live .stream")
    if name:
        streams = streams.filter(has=page.locator("code", has_text=re.compile(f"^{name}$")))
    return streams.locator(".text")


def is_writing(page: Page, name: str = "", more_than: int = 10) -> None:
    text = re.compile(rf"[\s\S]{{{more_than},}}")
    expect(streamed(page, name).last).to_have_text(text, timeout=WORDS)
