"""The graph as it was run, small: nodes in columns from left to right, with state and figures."""

from collections.abc import Mapping
from dataclasses import dataclass

from runner.models import Run, Step
from runner.views import figures
from runner.views.call_figures import CallFigures
from runner.views.outline import Outline, Outlined, outline_of
from runner.views.part_words import nodes_in, taken_words
from runner.views.timeline import Timeline, look_of
from runner.views.values import brief

HEIGHT = 166
NODE = 44
NARROW, BROAD, LETTER, GLYPH = 126, 192, 8, 44
APART = 26
MARGIN = 16
"""Pixels: of the strip, of a node, its least and greatest width, what a letter of its title and its
glyph take, between two columns, and round all."""
ROWS = {1: 64, 2: 64, 3: 52}
PACKED = 50
"""Pixels from row to row, by how many there are in the fullest column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniNode:
    path: str
    title: str
    glyph: str
    word: str
    second: str
    since: float | None
    x: int
    y: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniEdge:
    d: str
    family: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    nodes: list[MiniNode]
    edges: list[MiniEdge]
    width: int
    height: int


def strip_of(run: Run, timeline: Timeline) -> Strip:
    """No query: from what the timeline has read."""
    outline = outline_of(run.version)
    columns, part = _columns(outline), nodes_in(run)
    fullest = max(map(len, columns), default=1)
    apart = ROWS.get(fullest, PACKED)
    height = max(HEIGHT, (fullest - 1) * apart + NODE + MARGIN)
    nodes: dict[str, MiniNode] = {}
    x = MARGIN
    for column in columns:
        width = max(_width(node.title) for node in column)
        top = (height - (len(column) - 1) * apart - NODE) // 2
        for row, node in enumerate(column):
            beside = part is not None and node.id not in part
            made = _node(run, node, timeline, beside, x, top + row * apart, width)
            nodes[node.id] = made
        x += width + APART
    return Strip(
        nodes=list(nodes.values()),
        edges=_edges(outline, nodes),
        width=max(x - APART + MARGIN, 0),
        height=height,
    )


def _columns(outline: Outline) -> list[list[Outlined]]:
    columns: list[list[Outlined]] = []
    for node in sorted(outline.top, key=lambda each: each.layer):
        if len(columns) <= node.layer:
            columns.append([])
        columns[-1].append(node)
    if columns and (last := outline.of_kind("output")) and last not in columns[-1]:
        columns = [[node for node in column if node is not last] for column in columns]
        columns = [*filter(None, columns), [last]]
    return columns


def _width(title: str) -> int:
    return round(min(max(len(title) * LETTER + GLYPH, NARROW), BROAD))


def _node(
    run: Run, node: Outlined, timeline: Timeline, beside: bool, x: int, y: int, width: int
) -> MiniNode:
    """`beside`: it takes no part in the run."""
    step = timeline.steps.get(node.id)
    calls = timeline.calls.get(node.id, [])
    if beside:
        glyph, second = "skipped", "Not in this run"
    elif node.kind in ("input", "output"):
        glyph, second = _interface(run, node)
    elif step is None:
        glyph, second = ("skipped", "Not reached") if run.is_final else ("queued", "")
    else:
        glyph, second = look_of(step, calls), _second(step, calls, timeline)
    running = step is not None and step.status == "running" and step.started_at
    return MiniNode(
        path=node.id,
        title=node.title,
        glyph=glyph,
        word=figures.GLYPH_WORDS[glyph],
        second=second or figures.GLYPH_WORDS[glyph],
        since=step.started_at.timestamp() if step and running and step.started_at else None,
        x=x,
        y=y,
        width=width,
    )


def _interface(run: Run, node: Outlined) -> tuple[str, str]:
    if node.kind == "input":
        return "ok", brief(run.inputs)
    if run.status == "succeeded":
        return "ok", brief(run.outputs)
    return ("skipped", "Not produced") if run.is_final else ("queued", "")


def _second(step: Step, calls: list[CallFigures], timeline: Timeline) -> str:
    """The line under the title: time, and the one thing that says most."""
    if step.taken_from:
        return taken_words(step)
    time = figures.seconds(step.seconds)
    lane = next((lane for lane in timeline.lanes if lane.path == step.path), None)
    count = step.input_tokens + step.output_tokens
    if step.status == "failed":
        more = "failed"
    elif look_of(step, calls) == "cached":
        more = "cached"
    elif step.attempt_count > 1:
        more = f"{step.attempt_count} attempts"
    elif lane and (lane.progress or lane.holds):
        more = lane.progress.text if lane.progress else lane.holds
    else:
        more = figures.tokens(count) if count else ""
    return " · ".join(part for part in (time, more) if part)


def _edges(outline: Outline, nodes: Mapping[str, MiniNode]) -> list[MiniEdge]:
    done = {"ok", "cached"}
    edges = []
    for line in outline.lines:
        source, target = nodes.get(line.source), nodes.get(line.target)
        if source is None or target is None:
            continue
        state = "done" if source.glyph in done and target.glyph != "skipped" else ""
        if state and target.glyph == "running":
            state = "live"
        elif state and target.glyph == "queued":
            state = ""
        edges.append(MiniEdge(d=_path(source, target), family=line.family, state=state))
    return edges


def _path(source: MiniNode, target: MiniNode) -> str:
    """A bezier from right to left; a long one leaves and arrives level, so it stays readable."""
    x1, y1 = source.x + source.width, source.y + NODE // 2
    x2, y2 = target.x, target.y + NODE // 2
    middle = min((x2 - x1) / 2, 48) if x2 > x1 else 24
    return f"M{x1} {y1}C{x1 + middle:g} {y1} {x2 - middle:g} {y2} {x2} {y2}"
