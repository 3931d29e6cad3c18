"""Graphs on their way into the database: what is stored can be read again, and is not too large."""

import re

from pipelines.graph import codec
from pipelines.graph.graph import Graph, GraphError
from pipelines.graph.validate import MAX_EDGES, MAX_NODES
from pipelines.models.errors import InvalidInput, TooLarge

# As JSON writes it: a backslash that is not itself escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def read_graph(text: str | bytes) -> Graph:
    """The graph of a pipeline file from outside. Raises GraphError, InvalidInput or TooLarge."""
    graph = codec.load(text)
    graph_text(graph)
    return graph


def graph_text(graph: Graph) -> str:
    """The canonical text, checked to be storable and readable. Raises as `read_graph` does."""
    check_size(graph)
    try:
        text = codec.dump(graph)
    except RecursionError:
        raise GraphError("A value in the pipeline is nested too deep.") from None
    check_json_text(text, limit=codec.MAX_TEXT, what="The pipeline")
    codec.load(text)
    return text


def check_size(graph: Graph) -> None:
    for things, count, limit in (
        ("nodes", len(graph.nodes), MAX_NODES),
        ("edges", len(graph.edges), MAX_EDGES),
    ):
        if count > limit:
            raise TooLarge(
                f"The pipeline has {count:,} {things}; {limit:,} is the limit. "
                "Move parts of it into pipelines of their own."
            )


def check_json_text(text: str, *, limit: int, what: str) -> None:
    """Refuse JSON that no database or browser could hold: too long, NULs, broken Unicode."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(
            f"{what} holds half a character (a lone surrogate). Remove it and send it again."
        ) from None
    if size > limit:
        raise TooLarge(
            f"{what} is {size:,} bytes long; {limit:,} is the limit. Take large texts out of it: "
            "documents belong in a collection."
        )
    if _NUL.search(text):
        raise InvalidInput(f"{what} holds a NUL character. Remove it and send it again.")
