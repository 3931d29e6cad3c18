"""What is offered while code is typed: the words of its language, and the names that a node can read."""

from collections.abc import Iterator
from uuid import UUID

from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe
from pydantic import ValidationError

from pipelines.graph.graph import Graph, GraphError, Node, Port
from pipelines.graph.kinds.repetition import ROUND
from pipelines.graph.ports import node_ports
from pipelines.graph.words import words
from pipelines.models import Pipeline
from pipelines.permissions import Action, get_or_404
from pipelines.views.canvas_graph import title_of
from pipelines.views.requests import person

MOST_NAMES = 500
type Name = dict[str, str]


@require_safe
@cache_control(private=True, max_age=600)
def code_words(request: HttpRequest) -> JsonResponse:
    return JsonResponse(words().as_json())


@require_safe
@never_cache
def node_words(request: HttpRequest, pk: UUID, node_id: str) -> JsonResponse:
    """The names that a text of this node can read, of the draft."""
    pipeline = get_or_404(
        person(request), Action.VIEW, Pipeline.objects.select_related("draft"), pk=pk
    )
    graph = pipeline.draft.graph
    if node_id not in graph.nodes:
        raise Http404("There is no such node.")
    found: dict[str, Name] = {}
    for name in names_for(graph, graph.node(node_id)):
        found.setdefault(name["name"], name)
    return JsonResponse({"names": list(found.values())[:MOST_NAMES]})


def names_for(graph: Graph, node: Node) -> Iterator[Name]:
    """First what arrives at the node and what it asks for, then what other nodes beside it could give: a
    name that a template reads becomes an input, which is joined to such an output."""
    if node.kind == "loop":
        yield from _of_the_body(graph, node)
        return
    for edge in graph.edges_into(node.id):
        port = next(
            (each for each in _outputs(graph, edge.source) if each.name == edge.source_port), None
        )
        yield _name(edge.target_port, port.type if port else "", "input")
    for port in _inputs(graph, node.id):
        yield _name(port.name, port.type, "input")
    for other in graph.children(node.parent):
        if other.id != node.id:
            title = title_of(other)
            for port in _outputs(graph, other.id):
                yield _name(port.name, port.type, f"of {title}")


def _of_the_body(graph: Graph, node: Node) -> Iterator[Name]:
    """The end of a loop reads what its body gives and takes, and the number of the round."""
    for port in (*_outputs(graph, node.id), *_inputs(graph, node.id)):
        yield _name(port.name, port.type, "body")
    yield _name(ROUND, "int", "counts from 1")


def _name(name: str, type_: str, where: str) -> Name:
    return {"name": name, "type": "" if type_ == "Any" else type_, "from": where}


def _outputs(graph: Graph, node: str) -> tuple[Port, ...]:
    try:
        return node_ports(graph, graph.node(node)).outputs
    except (ValidationError, GraphError):
        return ()


def _inputs(graph: Graph, node: str) -> tuple[Port, ...]:
    try:
        return node_ports(graph, graph.node(node)).inputs
    except (ValidationError, GraphError):
        return ()
