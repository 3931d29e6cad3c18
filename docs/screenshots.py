"""The pictures of the documentation, taken of a real server on a fresh database with the local model.

Run it by `make screenshots`. It needs Chromium, as the browser tests do, whose server it starts.
"""

import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from tests.browser.conftest import CHROMIUM, OPTIONS, Server, serving  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1440, "height": 900}
LARGEST = 150_000
PATIENCE = 120_000
"""Bytes of a picture, and milliseconds for a run on a busy machine."""
QUERY = "What does an optimizer do?"
FILL = """
from django.contrib.auth.models import User
from pipelines import services
user = User.objects.get()
project = services.personal_project(user=user)
made = services.create_signature(project=project, user=user, name="RouteTicket")
better = "ticket, history: list[str] -> queue: Literal['billing', 'delivery'], urgent: bool"
for text in ("ticket -> queue", better):
    services.new_signature_version(signature=made, user=user, text=text)
print(made.pk)
"""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        serving(Path(data)) as server,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        context = browser.new_context(base_url=server.address, viewport=SIZE, color_scheme="light")
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(server.sign_in)
        page.wait_for_url(re.compile(r"/templates/"))
        take(page, "gallery")
        _flagship(page)
        _code(page)
        _registries(page, server)
        browser.close()


def _flagship(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Flagship")).click()
    page.get_by_role("dialog").get_by_role("button", name="Create pipeline").click()
    page.locator("pipeline-canvas [data-node='input']").wait_for()
    take(page, "editor")
    page.get_by_label("query").first.fill(QUERY)
    page.keyboard.press("Control+Enter")
    page.locator("pipeline-canvas [data-node='chain_of_thought'] [data-st='running']").wait_for()
    page.wait_for_timeout(200)  # some tokens to see
    take(page, "running")
    page.locator("pipeline-canvas [data-node='output'] [data-st='ok']").wait_for()
    page.goto("/runs/")
    take(page, "runs")
    page.locator("table a[href^='/runs/']").first.click()
    page.locator(".lane[data-path='chain_of_thought']").click()
    page.locator("#step h2, #step h3").first.wait_for()
    take(page, "run")


def _code(page: Page) -> None:
    page.goto("/templates/")
    page.get_by_role("button", name=re.compile("^Ask the documents")).click()
    page.get_by_role("dialog").get_by_role("button", name="Create pipeline").click()
    page.locator("pipeline-canvas [data-node='context']").click()
    page.locator("#inspector [data-field=template] .cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n{{ passages | le")
    page.get_by_role("option", name="length").wait_for()
    take(page, "code")


def _registries(page: Page, server: Server) -> None:
    signature = server.manage(FILL)
    page.goto(f"/signatures/{signature}/")
    take(page, "signatures")
    page.goto("/collections/docs/")
    page.get_by_role("searchbox", name="Query").fill("how do I keep secrets away from workers?")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator(".found").wait_for()
    take(page, "collections")
    page.goto("/pipelines/")
    take(page, "pipelines")
    page.goto("/admin/")
    take(page, "admin")


def take(page: Page, name: str) -> None:
    if name not in ("editor", "running", "code"):  # there a socket speaks
        page.wait_for_load_state("networkidle")
    if name != "running":  # that is over in a second
        page.wait_for_timeout(500)
    picture = smaller(page.screenshot(animations="disabled"))
    (IMAGES / f"{name}.png").write_bytes(picture)
    sys.stdout.write(f"docs/images/{name}.png: {len(picture):,} bytes\n")
    if len(picture) > LARGEST:
        raise SystemExit(f"{name}.png is larger than {LARGEST:,} bytes: show less on it.")


def smaller(png: bytes) -> bytes:
    """The same picture in six bits a colour and without filters, which for pages takes two thirds."""
    parts = list(_parts(png))
    width = struct.unpack(">I", parts[0][1][:4])[0] * 3
    fewer = bytes(value & 0xFC | value >> 6 for value in range(256))
    raw = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    rows = b"".join(b"\0" + row.translate(fewer) for row in _rows(raw, width))
    whole = (parts[0], (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in whole
    )


def _parts(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(png):
        (size,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        place += 12 + size


def _rows(raw: bytes, width: int) -> Iterator[bytes]:
    """Undo the filters of PNG (RFC 2083, section 6), for three bytes a pixel."""
    above = bytearray(width)
    for start in range(0, len(raw), width + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + width])
        for at in range(width):
            left, corner = (row[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            up = above[at]
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda value, guess=guess: abs(guess - value))
            row[at] = (row[at] + (0, left, up, (left + up) // 2, nearest)[kind]) & 0xFF
        above = row
        yield bytes(row)


if __name__ == "__main__":
    main()
