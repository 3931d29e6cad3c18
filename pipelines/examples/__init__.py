"""Pipelines that come with DSPex, as canonical files beside this one."""

from importlib import resources

from pipelines.graph import codec
from pipelines.graph.graph import Graph, GraphError

EXAMPLES = (
    "flagship",
    "classify",
    "extract",
    "ask_documents",
    "map_list",
    "condition",
    "vote",
)
"""In the order of the gallery."""


def example(name: str) -> Graph:
    """The example of this name; a GraphError names the ones there are."""
    if name not in EXAMPLES:
        raise GraphError(f"There is no example '{name}'. Examples: {', '.join(EXAMPLES)}.")
    return codec.load(resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
