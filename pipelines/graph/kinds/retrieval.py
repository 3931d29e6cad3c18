"""search and colbert: passages of a collection that fit a query."""

from pydantic import Field

from pipelines.graph.graph import Port
from pipelines.graph.kinds.kind import Body, Config, Kind, Ports


class Search(Config):
    """Words in common, ranked by BM25."""

    collection: str = Field("docs", min_length=1, max_length=100)
    k: int = Field(5, ge=1, le=100, description="Passages to give at most.")


class ColBERT(Config):
    """Late interaction: BM25 candidates, ranked anew by MaxSim over token vectors."""

    collection: str = Field("docs", min_length=1, max_length=100)
    k: int = Field(
        10, ge=1, le=100, description="Passages to give at most; ColBERT's own limit is 100."
    )
    candidates: int = Field(50, ge=1, le=1_000, description="BM25 candidates that are ranked anew.")
    url: str = Field("", max_length=2_000, description="A ColBERTv2 server; empty: answered here.")


def _inputs(config: Config, body: Body) -> Ports:
    return (Port(name="query", type="str"),)


def _outputs(config: Config, body: Body) -> Ports:
    return (Port(name="passages", type="list[dict[str, Any]]"),)


SEARCH = Kind(
    name="search",
    title="Search",
    description="Finds passages that share words with the query (BM25).",
    group="retrieval",
    config=Search,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native"}),
)

COLBERT = Kind(
    name="colbert",
    title="ColBERT",
    description="Finds passages by late interaction between the tokens of query and passage.",
    group="retrieval",
    config=ColBERT,
    inputs=_inputs,
    outputs=_outputs,
    backends=frozenset({"native", "dspy"}),
)
