"""10,000 short runs: whether anything that works for months grows.

`manage.py up --no-runner` serves the pages, `manage.py runner` executes, pages of the site are fetched
meanwhile, and each run asks a scripted model twice: natively, and one in twenty in a worker. Memory is what
each process holds for itself and its children, when the first 1,000 runs are over and at the end.
"""

import http.cookiejar
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.memory import family, pss
from benchmarks.report import Report
from benchmarks.server import database
from tests.faults.model import model

if TYPE_CHECKING:
    from tests.faults.world import Process, World

RUNS = 10_000
WARM = 1_000
LOT = 200
"""Runs that are queued at a time."""
PAGES = 5
"""Pages of the site that are fetched for each lot."""
SECONDS = 300.0
"""After which it ends with as many runs as it did."""
WORKERS_EVERY = 20
"""Of so many runs, one has a step in a worker process."""

type Memory = dict[str, float]
"""Megabytes, by who takes them."""


def run(report: Report) -> None:
    with model() as counting, database():
        from tests.faults.world import World, runner, web

        world = World(Path(os.environ["DSPEX_DATA_DIR"]), counting)
        _pipelines(world)
        pages, works = web(world.directory, "--no-runner"), runner(world.directory)
        try:
            done, before, after = _soak(world, Site(pages), lambda: _memory(pages, works))
        finally:
            pages.end()
            works.end()
        report("soak_runs", done, "runs")
        growth = {name: max(0.0, (after[name] / before[name] - 1) * 100) for name in before}
        for name, percent in growth.items():
            report(f"soak_{name}_mb", after[name], "mb")
            report(f"soak_{name}_growth_percent", percent, "points")
        report("soak_growth_percent", max(growth.values()), "points")


def _pipelines(world: "World") -> None:
    from pipelines.models import LMProfile
    from tests.graphs import chain

    answers = ["[[ ## y ## ]]\nDone.\n\n[[ ## completed ## ]]"]
    scripted = {"answers": answers, "delay": 0.0}
    LMProfile.objects.create(
        project=world.project, name="scripted", adapter="scripted", settings=scripted
    )
    for backend in ("native", "dspy"):
        policy = {"cache": False, "backend": backend}
        world.add(f"soak {backend}", chain(2, lm="scripted", policy=policy))


def _soak(world: "World", site: "Site", memory: Callable[[], Memory]) -> tuple[int, Memory, Memory]:
    """How many runs it did, and the memory after the first thousand and at the end."""
    from runner.models import Run
    from runner.models.run import FINAL

    unfinished = Run.objects.exclude(status__in=FINAL)
    until = time.monotonic() + SECONDS
    before: Memory = {}
    for done in range(0, RUNS, LOT):
        if done == WARM:
            before = memory()
        if done > WARM and time.monotonic() > until:
            break
        for number in range(done, done + LOT):
            backend = "native" if number % WORKERS_EVERY else "dspy"
            run = world.run(f"soak {backend}", f"run {number}")
        for _ in range(PAGES):
            site.fetch("/runs/")
            site.fetch(f"/runs/{run.pk}/")
        world.wait("end of a lot", lambda: not unfinished.exists())
    if failed := Run.objects.exclude(status="succeeded").first():
        raise AssertionError(f"A run {failed.status}: {failed.failure_message}")
    return Run.objects.count(), before, memory()


class Site:
    """A browser of sorts, signed in."""

    def __init__(self, pages: "Process") -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        found = re.search(r"(http://[^/\s]+)/\S+", pages.said())
        assert found
        self._address = found[1]
        page = self._opener.open(found[0], timeout=30).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        if token:  # the one-time address asks for a press of a button
            form = {"csrfmiddlewaretoken": token[1], "token": found[0].partition("token=")[2]}
            self._opener.open(found[0], urllib.parse.urlencode(form).encode(), timeout=30)
        self.fetch("/runs/")

    def fetch(self, path: str) -> None:
        with self._opener.open(self._address + path, timeout=30) as answer:
            assert answer.url == self._address + path, f"{path} led to {answer.url}"
            answer.read()


def _memory(pages: "Process", works: "Process") -> Memory:
    from tests.processes import children

    forkservers = children(works.pid, "runner.bridge.forkserver")
    workers = {pid for each in forkservers for pid in family(each)}
    return {
        "web": sum(map(pss, family(pages.pid))),
        "runner": pss(works.pid),
        "workers": sum(map(pss, workers)),
    }
