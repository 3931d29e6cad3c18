"""What pages weigh, and what the server takes for them, with 1,000 pipelines and 10,000 runs there.

Each page is asked for over HTTP, by one who is signed in, as a browser asks; the slowest one counts.
"""

import gzip
import re
import statistics
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import BrowserContext, Response

from benchmarks.browser import chromium, sign_in
from benchmarks.report import Report
from benchmarks.server import database, up

if TYPE_CHECKING:
    from pipelines.models import PipelineVersion

PIPELINES = 1_000
RUN_ONES = 100
RUNS = 10_000
"""Pipelines, those of them that have been run, and runs."""
STATUSES = ("succeeded", "succeeded", "failed", "cancelled")
LISTS = (
    *("/templates/", "/pipelines/", "/pipelines/?q=99", "/pipelines/?page=20"),
    *("/pipelines/?show=archived", "/pipelines/figures/", "/runs/", "/runs/?page=250"),
    *("/runs/?status=failed", "/runs/?q=pipeline", "/signatures/", "/collections/"),
    *("/lm-profiles/", "/workers/", "/goto/?q=9", "/admin/", "/admin/pipelines/pipeline/"),
    *("/admin/runner/run/", "/admin/runner/step/", "/admin/runner/event/"),
)
ROUNDS = 11


def run(report: Report) -> None:
    with database():
        pages = _fill()
        with up("--no-warm-up") as server, chromium() as browser:
            context = sign_in(browser, server)
            weights = {page: _weight(context, page) for page in pages if _is_light(page)}
            report("page_kb", max(weights.values()), "kb")
            signature = next(page for page in pages if re.match(r"/signatures/\w", page))
            report("page_with_code_kb", _weight(context, signature, uses="code-editor"), "kb")
            cookies = {each["name"]: each["value"] for each in context.cookies()}
            with httpx.Client(base_url=server.address, cookies=cookies) as client:
                taken = {page: _taken(client, page) for page in pages}
    slowest = sorted(taken, key=lambda page: -taken[page])
    print("  the slowest:", ", ".join(f"{page} {taken[page]:.0f} ms" for page in slowest[:5]))
    report("page_p50_ms", taken[slowest[0]], "ms")


def _is_light(page: str) -> bool:
    """Whether it is a page of ours that is not the editor: one of each, without its filters."""
    parts = ("/admin/", "?q=", "?page=", "?status=", "/figures/", "/goto/", "/panel/")
    return not any(part in page for part in parts) and not re.match(r"/pipelines/[0-9a-f]", page)


def _weight(context: BrowserContext, page: str, uses: str = "") -> float:
    """Kilobytes of JavaScript and CSS that the page loads into an empty browser, gzipped; also what it
    loads when the pointer comes to the first element of what it `uses`."""
    tab = context.new_page()
    found: list[Response] = []
    tab.on("response", lambda response: found.append(response))
    tab.goto(page, wait_until="networkidle")
    if uses:
        tab.locator(uses).first.hover()
        tab.wait_for_load_state("networkidle")
        tab.locator(f"{uses} [contenteditable]").first.wait_for()
    files = [each for each in found if urlsplit(each.url).path.endswith((".js", ".css"))]
    weight = sum(len(gzip.compress(each.body())) for each in files) / 1000
    tab.close()
    return weight


def _taken(client: httpx.Client, page: str) -> float:
    """Milliseconds, the median of several times."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        response = client.get(page)
        times.append(time.perf_counter() - begin)
        if response.status_code != 200:
            raise RuntimeError(f"{page} answers with {response.status_code}.")
    return 1000 * statistics.median(times)


def _fill() -> list[str]:
    """Pipelines and runs, and the addresses of all pages: lists first, then one of each thing."""
    from django.contrib.auth.models import User

    from pipelines import services
    from pipelines.examples import example
    from runner.models import Run

    user = User.objects.create_superuser("admin")
    project = services.personal_project(user=user)
    pipelines = [
        services.create_pipeline(
            project=project, user=user, name=f"Pipeline {number}", graph=example("flagship")
        )
        for number in range(PIPELINES)
    ]
    collection = services.create_collection(project=project, user=user, name="Docs")
    signature = services.create_signature(project=project, user=user, name="Answer")
    services.new_signature_version(signature=signature, user=user, text="question -> answer")
    _run_them([services.freeze_version(pipeline=each, user=user) for each in pipelines[:RUN_ONES]])
    run = f"/runs/{Run.objects.latest('created_at').pk}/"
    return [
        *LISTS,
        *(f"{run}?show={show}" for show in ("timeline", "output", "events")),
        f"/runs/?pipeline={pipelines[0].pk}",
        f"/collections/{collection.pk}/",
        f"/signatures/{signature.pk}/",
        f"/pipelines/{pipelines[0].pk}/",
        f"/pipelines/{pipelines[0].pk}/panel/",
    ]


def _run_them(versions: "list[PipelineVersion]") -> None:
    """Runs of these in turn, each with its steps and their events."""
    from runner.models import Event, Run, Step

    now = datetime.now(UTC)
    seconds = timedelta(seconds=4)
    runs = [
        Run(
            project_id=version.owning_project_id,
            pipeline_id=version.pipeline_id,
            version=version,
            author_id=version.pipeline.created_by_id,
            status=STATUSES[number % len(STATUSES)],
            inputs={"query": "What is DSPy?"},
            outputs={"text": "A framework."},
            started_at=now - timedelta(minutes=number),
            finished_at=now - timedelta(minutes=number) + seconds,
            output_tokens=200,
            last_seq=len(version.graph.nodes),
        )
        for number, version in zip(range(RUNS), cycle(versions), strict=False)
    ]
    Run.objects.bulk_create(runs, batch_size=500)
    nodes = list(enumerate(versions[0].graph.nodes, start=1))
    Step.objects.bulk_create(
        (
            Step(
                run=run,
                path=node,
                status="succeeded",
                backend="native",
                started_at=run.started_at,
                finished_at=run.finished_at,
                seconds=4.0,
                first_seq=seq,
                last_seq=seq,
            )
            for run in runs
            for seq, node in nodes
        ),
        batch_size=500,
    )
    Event.objects.bulk_create(
        (
            Event(run=run, seq=seq, epoch=1, type="step_succeeded", step=node, at=now.timestamp())
            for run in runs
            for seq, node in nodes
        ),
        batch_size=500,
    )
