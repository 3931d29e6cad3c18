"""A run's steps against time, in the order of the graph: a lane a step, and under it its attempts, waits,
LM calls and, of a container, its items. Drawn as SVG in thousandths of the lane."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from runner.models import Attempt, Run, Step
from runner.views import figures
from runner.views.call_figures import CACHE, WORTH_SAYING, CallFigures, all_from_cache, calls_of
from runner.views.outline import Outline, Outlined, node_and_index, outline_of
from runner.views.part_words import nodes_in, taken_words
from runner.views.progress import CONTAINERS, Progress, inner, inner_of, progress_of
from runner.views.values import brief

LANES = 500
CALL_LANES = 12
"""Steps that are drawn, and LM calls under one step; the page says how many there are beyond."""
NARROWEST = 4.0
WIDE = 1000.0
USED = 780.0
"""Thousandths: the narrowest bar, the whole lane, and what the run's time takes of it: the rest is for
the label that stands after the last bar."""
CHARACTER = 9.0
"""Thousandths that a character of a label takes, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A piece of a lane. `look` is the status that it is drawn as."""

    x: float
    width: float
    look: str
    label: str = ""

    @property
    def label_x(self) -> str:
        return f"{(self.x + self.width + 7) / 10:.2f}%"

    @property
    def left(self) -> str:
        return f"{self.x / 10:.2f}%"

    @property
    def wide(self) -> str:
        return f"{self.width / 10:.2f}%"

    @property
    def end(self) -> str:
        return f"{(self.x + self.width) / 10:.2f}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sub:
    """What happened within a step: an attempt, a wait, an LM call."""

    kind: str
    name: str
    bar: Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A step, the pipeline's own input or output, or (without a path) an item of a container."""

    path: str
    title: str
    depth: int
    glyph: str
    word: str
    figures: str
    bar: Bar | None
    backend: str = ""
    critical: bool = False
    subs: list[Sub] = field(default_factory=list)
    group: str = ""
    holds: str = ""
    progress: Progress | None = None
    lanes: list["Lane"] = field(default_factory=list)

    @property
    def indent(self) -> list[None]:
        return [None] * min(self.depth, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`steps` are the rows that were read, by path, and `calls` their LM calls."""

    lanes: list[Lane]
    beyond: int
    ticks: list[tuple[str, str]]
    steps: Mapping[str, Step]
    calls: Mapping[str, list[CallFigures]]


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
        x = min(from_, USED - NARROWEST)
        width = min(max(to - from_, NARROWEST), WIDE - x)
        return Bar(x=x, width=width, look=look, label=_fitting(label, x + width))

    def _place(self, moment: datetime) -> float:
        passed = figures.between(self.start, moment) or 0.0
        return min(passed / self.length * USED, USED)


def _fitting(label: str, end: float) -> str:
    """As much of it as there is room for after the bar."""
    room = max(8, int((WIDE - end) / CHARACTER))
    return label if len(label) <= room else f"{label[: room - 1].rstrip()}…"


def timeline_of(run: Run) -> Timeline:
    """Seven queries at most, however many steps there are. The top level is drawn before what is in it."""
    outer = Step.objects.filter(run=run).exclude(path__contains="/")
    inner = Step.objects.filter(run=run, path__contains="/").order_by("first_seq")
    steps = [*outer[:LANES], *inner[:LANES]][:LANES]
    beyond = Step.objects.filter(run=run).count() - LANES if len(steps) == LANES else 0
    calls = calls_of(run, steps)
    made = _Lanes(
        run,
        outline_of(run.version),
        _scale(run, steps),
        calls,
        _attempts(run, steps),
        _progress(run, steps, whole=not beyond),
        {},
    )
    for step in steps:
        made.inside.setdefault(step.path.rpartition("/")[0], []).append(step)
    return Timeline(
        lanes=made.all(),
        beyond=beyond,
        ticks=_ticks(made.scale.length * WIDE / USED),
        steps={step.path: step for step in steps},
        calls=calls,
    )


def _scale(run: Run, steps: list[Step]) -> _Scale:
    # A run that was taken over or resumed has steps from before its last start.
    starts = [moment for moment in (run.started_at, *(s.started_at for s in steps)) if moment]
    start = min(starts, default=run.created_at)
    end = run.finished_at or timezone.now()
    if run.status == "suspended":
        end = max((s.finished_at for s in steps if s.finished_at), default=end)
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


def _progress(run: Run, steps: list[Step], *, whole: bool) -> dict[str, Progress]:
    """Of the containers among these steps, which are all there are or (if not `whole`) some."""
    containers = [step for step in steps if step.kind in CONTAINERS]
    if not containers:
        return {}
    within = [inner(run, s.path, s.status, s.failure_code) for s in steps]
    return progress_of(run, containers, within if whole else inner_of(run))


@dataclass(frozen=True, slots=True)
class _Lanes:
    """`inside` has the steps of each level: of the top (``), a container (`each`), an item (`each[3]`)."""

    run: Run
    outline: Outline
    scale: _Scale
    calls: Mapping[str, list[CallFigures]]
    tries: Mapping[str, list[Attempt]]
    progress: Mapping[str, Progress]
    inside: dict[str, list[Step]]

    def all(self) -> list[Lane]:
        critical = critical_path(self.outline, self.inside.get("", []))
        begun: dict[str, Lane | None] = {lane.path: lane for lane in self._level("", 0, critical)}
        if not begun and not self.run.started_at:
            return []
        part = nodes_in(self.run)
        lanes = [
            begun.pop(node.id, None) or self._without_step(node)
            for node in self.outline.top
            if part is None or node.id in part
        ]
        return [*lanes, *filter(None, begun.values())]

    def _level(self, level: str, depth: int, critical: frozenset[str] = frozenset()) -> list[Lane]:
        steps = sorted(
            self.inside.get(level, []), key=lambda s: (self.outline.place(s.path), s.first_seq)
        )
        return [self._lane(step, depth, critical=step.path in critical) for step in steps]

    def _lane(self, step: Step, depth: int, *, critical: bool) -> Lane:
        calls = self.calls.get(step.path, [])
        look = look_of(step, calls)
        said = figures.seconds(step.seconds)
        taken = taken_words(step)
        cached = " · from cache" if look == "cached" else ""
        lanes = self._within(step.path, depth + 1)
        return Lane(
            path=step.path,
            title=self.outline.title(step.path),
            depth=depth,
            glyph=look,
            word=figures.GLYPH_WORDS.get(look, figures.WORDS[step.status]),
            figures=figures_of(step),
            bar=self.scale.bar(step.started_at, step.finished_at, look, taken or said + cached),
            backend=step.backend if step.backend in ("native", "dspy") else "",
            critical=critical,
            subs=self._subs(step, calls),
            group=step.path if lanes else "",
            holds=self._holds(step, lanes),
            progress=self.progress.get(step.path),
            lanes=lanes,
        )

    def _within(self, path: str, depth: int) -> list[Lane]:
        """Of a container: a lane for each item with its steps, or the steps of its only round."""
        items = {index for level in self.inside if (index := _item_of(path, level)) is not None}
        return [*self._level(path, depth), *(self._item(path, i, depth) for i in sorted(items))]

    def _item(self, path: str, index: int, depth: int) -> Lane:
        level = f"{path}[{index}]"
        steps = self.inside.get(level, [])
        if len(steps) == 1 and steps[0].attempt_count:
            return self._lane(steps[0], depth, critical=False)
        begin = min((s.started_at for s in steps if s.started_at), default=None)
        open_ = any(step.finished_at is None for step in steps)
        end = None if open_ else max((s.finished_at for s in steps if s.finished_at), default=None)
        look = _worst(step.status for step in steps)
        said = figures.seconds(figures.between(begin, end or timezone.now()))
        return Lane(
            path="",
            title=f"{self._word(path)} {index + 1}",
            depth=depth,
            glyph=look,
            word=figures.GLYPH_WORDS.get(look, ""),
            figures=said,
            bar=self.scale.bar(begin, end, look, said),
            group=level,
            lanes=self._level(level, depth + 1),
        )

    def _holds(self, step: Step, lanes: list[Lane]) -> str:
        if not lanes:
            return ""
        count = len(lanes)
        counts = not lanes[0].path or "[" in lanes[0].path.removeprefix(step.path)
        word = self._word(step.path).lower() if counts else "step"
        return f"{count} {word}" if count == 1 else f"{count} {word}s"

    def _word(self, path: str) -> str:
        node = self.outline.nodes.get(node_and_index(path.rpartition("/")[2])[0])
        return "Round" if node and node.kind in ("loop", "reduce") else "Item"

    def _subs(self, step: Step, calls: list[CallFigures]) -> list[Sub]:
        tries = self.tries.get(step.path, [])
        return self._attempt_lanes(tries, calls) if tries else self._call_lanes(calls)

    def _attempt_lanes(self, tries: list[Attempt], calls: list[CallFigures]) -> list[Sub]:
        found = []
        for attempt in tries:
            own = [c for c in calls if (c.epoch, c.attempt) == (attempt.epoch, attempt.number)]
            label = attempt.failure_message or _calls_said(own)
            look = figures.GLYPHS[attempt.status]
            bar = self.scale.bar(attempt.started_at, attempt.finished_at, look, label)
            if bar is not None:
                found.append(Sub(kind="attempt", name=f"Attempt {attempt.number}", bar=bar))
            if attempt.wait and attempt.finished_at:
                until = attempt.finished_at + timedelta(seconds=attempt.wait)
                wait = self.scale.bar(
                    attempt.finished_at, until, "wait", figures.seconds(attempt.wait)
                )
                found += [Sub(kind="wait", name="Wait", bar=wait)] if wait else []
        return found

    def _call_lanes(self, calls: list[CallFigures]) -> list[Sub]:
        found = []
        for call in calls[:CALL_LANES]:
            begin, end = (datetime.fromtimestamp(at, UTC) for at in (call.begin, call.at))
            look = "failed" if call.failed else "cached" if call.source == CACHE else "call"
            bar = self.scale.bar(begin, end, look, _calls_said([call]))
            if bar is not None:
                found.append(Sub(kind="call", name=f"LM call · {call.model}", bar=bar))
        return found

    def _without_step(self, node: Outlined) -> Lane:
        """The pipeline's own input or output, which take no time; or a step that has not begun."""
        run, begin = self.run, None
        look, said = ("skipped", "") if run.is_final else ("queued", "")
        if node.kind == "input":
            look, said, begin = "ok", brief(run.inputs), run.started_at
        elif node.kind == "output" and run.status == "succeeded":
            look, said, begin = "ok", brief(run.outputs), run.finished_at
        return Lane(
            path=node.id,
            title=node.title,
            depth=0,
            glyph=look,
            word="Not reached" if look == "skipped" else figures.GLYPH_WORDS[look],
            figures=said,
            bar=self.scale.bar(begin, begin, look, said),
            critical=begin is not None,
        )


def look_of(step: Step, calls: list[CallFigures]) -> str:
    cached = step.taken_from or all_from_cache(step, calls)
    return "cached" if cached else figures.GLYPHS[step.status]


def critical_path(outline: Outline, steps: list[Step]) -> frozenset[str]:
    """The steps that the run's time is made of: from the one that ended last, back over what each
    waited for longest."""
    ended = {step.path: step.finished_at for step in steps if step.started_at and step.finished_at}
    found: set[str] = set()
    path = max(ended, key=lambda each: ended[each], default=None)
    while path is not None and path not in found:
        found.add(path)
        node = outline.nodes.get(path)
        before = [each for each in (node.before if node else ()) if each in ended]
        path = max(before, key=lambda each: ended[each], default=None)
    return frozenset(found)


def _item_of(path: str, level: str) -> int | None:
    """The item of the container at `path` that this level is in, itself or further inside."""
    if not level.startswith(f"{path}["):
        return None
    index, _, _ = level[len(path) + 1 :].partition("]")
    return int(index) if index.isdecimal() else None


def _worst(statuses: Any) -> str:
    """How an item looks: as the first of these that one of its steps is."""
    counted = Counter(statuses)
    for status in ("failed", "cancelled", "waiting", "running", "queued", "succeeded"):
        if counted[status]:
            return figures.GLYPHS[status]
    return "skipped"


def _calls_said(calls: list[CallFigures]) -> str:
    """Tokens, how long until the first, and what else took the time."""
    if not calls:
        return ""
    if all(call.source == CACHE for call in calls):
        return "from cache"
    first = next((call.first_token for call in calls if call.first_token is not None), None)
    said = figures.tokens(sum(call.tokens for call in calls))
    waited, rejected = sum(call.waited for call in calls), sum(call.rejected for call in calls)
    more = {
        f"first at {figures.seconds(first)}": first is not None,
        f"waited {figures.seconds(waited)}": waited >= WORTH_SAYING,
        f"{rejected} rejected": rejected > 0,
    }
    return ", ".join([said, *(text for text, holds in more.items() if holds)])


def figures_of(step: Step) -> str:
    """Time, tokens and cost, those that there are; or where its outputs are from."""
    if step.taken_from:
        return taken_words(step)
    count = step.input_tokens + step.output_tokens
    parts = [
        figures.seconds(step.seconds),
        figures.tokens(count) if count else "",
        figures.cost(step.cost) if step.cost else "",
    ]
    return " · ".join(part for part in parts if part)


def _ticks(length: float) -> list[tuple[str, str]]:
    """Round numbers of seconds along the axis: where, and what they say."""
    unit = _unit(length)
    count = int(length / unit)
    places = [(number * unit / length * 100, number * unit) for number in range(count + 1)]
    return [(f"{percent:.2f}%", f"{at:g}" if at else "0 s") for percent, at in places]


def _unit(length: float) -> float:
    """The round step that gives some four to eight marks."""
    unit = 0.001
    for factor in (2, 2.5, 2) * 12:
        if length / unit <= 8:
            break
        unit = round(unit * factor, 6)
    return unit
