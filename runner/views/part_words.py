"""How a run of a part of a pipeline is said: what was run, and where the rest is from."""

from typing import Any
from uuid import UUID

from pipelines.graph.graph import GraphError, Port
from pipelines.graph.ports import node_ports
from runner.engine.partial import concerned
from runner.engine.step_store import PINNED
from runner.models import Run, Step
from runner.views import figures

_WORDS = {"from": "From", "to": "To", "only": "Only", "all": "With pinned outputs"}


def part_words(run: Run) -> dict[str, str] | None:
    """`From` and `analyse`; None when all of it was run."""
    part = run.part
    return {"word": _WORDS[part.mode], "node": part.node, "mode": part.mode} if part else None


def nodes_in(run: Run) -> frozenset[str] | None:
    """The nodes that took part; None: all."""
    part = run.whole_part
    if part is None or (part.node and part.node not in run.version.graph.nodes):
        return None
    return concerned(run.version.graph, part)


def result_ports(run: Run) -> tuple[Port, ...] | None:
    """The ports whose values are the run's outputs, where those are a step's."""
    part = run.part
    if part is None or part.mode in ("from", "all"):
        return None
    graph = run.version.graph
    try:
        return node_ports(graph, graph.node(part.node)).outputs
    except (GraphError, ValueError):
        return ()


def taken_words(step: Step) -> str:
    """Where outputs are from that are not the step's own."""
    if not step.taken_from:
        return ""
    if step.taken_from == PINNED:
        return "pinned output"
    return f"from run {figures.short_id(step.taken_from)}"


def taken_from(step: Step) -> dict[str, Any] | None:
    """The same, with the run's id while that is kept."""
    if not step.taken_from:
        return None
    pinned = step.taken_from == PINNED
    rows = Run.objects.filter(project=step.run.project_id)
    found = None if pinned else rows.filter(pk=UUID(step.taken_from)).values_list("pk", flat=True)
    return {
        "pinned": pinned,
        "run": found.first() if found is not None else None,
        "short": figures.short_id(step.taken_from),
    }
