"""A run's steps against time: one lane a step, drawn as SVG in thousandths of the run's length."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from pipelines.graph.graph import Graph
from runner.models import Attempt, Run, Step
from runner.views import figures

LANES = 500
"""Steps that are drawn; the page says how many there are beyond."""
NARROWEST = 3.0
WIDE = 1000.0
LABEL = 0.8
"""Thousandths: the narrowest bar, the whole lane; and from which part of it labels go before the bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A piece of a lane. `look` is the status that it is drawn as."""

    x: float
    width: float
    look: str
    label: str = ""
    before: bool = False

    @property
    def label_x(self) -> str:
        end = self.x - 6 if self.before else self.x + self.width + 6
        return f"{end / 10:.2f}%"

    @property
    def left(self) -> str:
        return f"{self.x / 10:.2f}%"

    @property
    def wide(self) -> str:
        return f"{self.width / 10:.2f}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A step, or one of its attempts."""

    step: Step
    title: str
    depth: int
    glyph: str
    word: str
    figures: str
    bar: Bar | None
    attempts: list[tuple[str, Bar]] = field(default_factory=list)

    @property
    def indent(self) -> list[None]:
        return [None] * self.depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    lanes: list[Lane]
    beyond: int
    ticks: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    length: float

    def bar(
        self, begin: datetime | None, end: datetime | None, look: str, label: str = ""
    ) -> Bar | None:
        if begin is None:
            return None
        from_, to = self._place(begin), self._place(end or timezone.now())
        x = min(from_, WIDE - NARROWEST)
        width = max(to - from_, NARROWEST)
        before = x + width > WIDE * LABEL and x > WIDE * (1 - LABEL)
        return Bar(x=x, width=min(width, WIDE - x), look=look, label=label, before=before)

    def _place(self, moment: datetime) -> float:
        passed = figures.between(self.start, moment) or 0.0
        return min(passed / self.length * WIDE, WIDE)


def timeline_of(run: Run) -> Timeline:
    """Three queries, however many steps there are."""
    steps = list(
        Step.objects.filter(run=run).order_by("started_at", "first_seq", "path")[: LANES + 1]
    )
    beyond = Step.objects.filter(run=run).count() - LANES if len(steps) > LANES else 0
    scale = _scale(run, steps)
    tries = _attempts(run, steps)
    graph = run.version.graph
    lanes = [_lane(step, graph, scale, tries.get(step.path, [])) for step in steps[:LANES]]
    return Timeline(lanes=lanes, beyond=beyond, ticks=_ticks(scale.length))


def _scale(run: Run, steps: list[Step]) -> _Scale:
    # A run that was taken over or resumed has steps from before its last start.
    starts = [moment for moment in (run.started_at, *(s.started_at for s in steps)) if moment]
    start = min(starts, default=run.created_at)
    end = run.finished_at or timezone.now()
    return _Scale(start, max(figures.between(start, end) or 0.0, 0.001))


def _attempts(run: Run, steps: list[Step]) -> dict[str, list[Attempt]]:
    """Of the steps that needed more than one: a single one is the step itself."""
    several = {step.path for step in steps if step.attempt_count > 1}
    found: dict[str, list[Attempt]] = {}
    if several:
        rows = Attempt.objects.filter(run=run).order_by("epoch", "number")
        for attempt in rows:
            if attempt.step in several:
                found.setdefault(attempt.step, []).append(attempt)
    return found


def _lane(step: Step, graph: Graph, scale: _Scale, tries: list[Attempt]) -> Lane:
    took = figures.seconds(step.seconds)
    look = figures.GLYPHS[step.status]
    return Lane(
        step=step,
        title=title_of(step.path, graph),
        depth=min(step.path.count("/"), 6),
        glyph=look,
        word=figures.WORDS[step.status],
        figures=figures_of(step),
        bar=scale.bar(step.started_at, step.finished_at, look, took),
        attempts=_tries(tries, scale),
    )


def _tries(tries: list[Attempt], scale: _Scale) -> list[tuple[str, Bar]]:
    found = []
    for attempt in tries:
        look = figures.GLYPHS[attempt.status]
        bar = scale.bar(attempt.started_at, attempt.finished_at, look, attempt.failure_message[:60])
        if bar is not None:
            found.append((f"Attempt {attempt.number}", bar))
    return found


def figures_of(step: Step) -> str:
    """Time, tokens and cost, those that there are."""
    count = step.input_tokens + step.output_tokens
    parts = [
        figures.seconds(step.seconds),
        figures.tokens(count) if count else "",
        figures.cost(step.cost) if step.cost else "",
    ]
    return " · ".join(part for part in parts if part)


def titles_of(graph: Graph) -> dict[str, str]:
    return {node.id: node.title for node in graph.nodes.values()}


def title_of(path: str, graph: Graph) -> str:
    """The node's label, with its place in a loop: `Retrieve 4`."""
    outer, _, name = path.rpartition("/")
    node = graph.nodes.get(name)
    title = node.title if node else name
    place = outer.rpartition("/")[2].partition("[")[2].rstrip("]")
    return f"{title} {int(place) + 1}" if place.isdecimal() else title


def _ticks(length: float) -> list[tuple[str, str]]:
    """Round numbers of seconds along the axis: where, and what they say."""
    unit = _unit(length)
    count = int(length / unit)
    places: list[Any] = [
        (number * unit / length * 100, number * unit) for number in range(count + 1)
    ]
    return [
        (f"{percent:.2f}%", f"{at:g} s" if not at or at == unit else f"{at:g}")
        for percent, at in places
    ]


def _unit(length: float) -> float:
    """The round step that gives some four to eight marks."""
    unit = 0.001
    for factor in (2, 2.5, 2) * 12:
        if length / unit <= 8:
            break
        unit = round(unit * factor, 6)
    return unit
