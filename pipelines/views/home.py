"""Where one lands, and the gallery of templates."""

from dataclasses import dataclass
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from pipelines.examples import EXAMPLES, example
from pipelines.graph.graph import Graph
from pipelines.models import Pipeline
from pipelines.views.requests import person


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """An example as the gallery shows it; `boxes` and `lines` draw it small."""

    key: str
    name: str
    description: str
    boxes: tuple[tuple[float, float, float, float], ...]
    lines: tuple[str, ...]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    has_pipelines = Pipeline.objects.visible_to(person(request)).active().exists()
    return redirect("pipelines:list" if has_pipelines else "pipelines:gallery")


@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    return render(request, "pipelines/gallery.html", {"templates": templates()})


@cache
def templates() -> tuple[Template, ...]:
    """All examples, in the gallery's order."""
    return tuple(_template(key, example(key)) for key in EXAMPLES)


def _template(key: str, graph: Graph) -> Template:
    boxes = _boxes(graph)
    return Template(
        key=key,
        name=graph.name,
        description=graph.description,
        boxes=tuple(boxes.values()),
        lines=tuple(
            _line(boxes[edge.source], boxes[edge.target])
            for edge in graph.edges
            if edge.source in boxes and edge.target in boxes
        ),
    )


WIDTH, HEIGHT, BOX = 176.0, 36.0, (20.0, 9.0)
_MOST_ROWS = 3


def _boxes(graph: Graph) -> dict[str, tuple[float, float, float, float]]:
    """The nodes of the top level in columns, by what waits for what: x, y, width, height."""
    columns = _columns(graph)
    across = min(40.0, (WIDTH - BOX[0] - 2) / max(1, len(columns) - 1))
    down = (HEIGHT - BOX[1] - 2) / (_MOST_ROWS - 1)
    return {
        node: (
            round(1 + x * across, 1),
            round((HEIGHT - BOX[1]) / 2 + (y - (len(column) - 1) / 2) * down, 1),
            *BOX,
        )
        for x, column in enumerate(columns)
        for y, node in enumerate(column)
    }


def _columns(graph: Graph) -> list[list[str]]:
    depths: dict[str, int] = {}
    waiting = [node.id for node in graph.children(None)]
    while waiting:
        ready = [
            node
            for node in waiting
            if all(edge.source in depths for edge in graph.edges_into(node))
        ]
        for node in ready:
            sources = [depths[edge.source] for edge in graph.edges_into(node)]
            depths[node] = max(sources, default=-1) + 1
        if not ready:  # a circle can't be laid out
            break
        waiting = [node for node in waiting if node not in depths]
    columns: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for node, depth in depths.items():
        columns[depth].append(node)
    return columns


def _line(
    source: tuple[float, float, float, float], target: tuple[float, float, float, float]
) -> str:
    x1, y1 = source[0] + source[2], source[1] + source[3] / 2
    x2, y2 = target[0], target[1] + target[3] / 2
    bend = max(4.0, (x2 - x1) / 2)
    return f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
