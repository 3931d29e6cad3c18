"""search: passages of a collection that share words with the query."""

from collections.abc import Mapping
from typing import Any

from pipelines.graph.kinds.retrieval import Search
from runner.engine.errors import InvalidInput
from runner.engine.executor import Call
from runner.native.corpus import Corpus


async def search(corpus: Corpus, call: Call) -> Mapping[str, Any]:
    """`passages`: {text, title, pid, rank, score}, the best first; `rank` counts from 1."""
    config: Search = call.config
    found = await corpus.search(config.collection, query_of(call), config.k)
    return {
        "passages": [
            {
                "text": passage.text,
                "title": passage.title,
                "pid": passage.pid,
                "rank": rank,
                "score": round(passage.score, 6),
            }
            for rank, passage in enumerate(found, start=1)
        ]
    }


def query_of(call: Call) -> str:
    query = call.inputs.get("query")
    if not isinstance(query, str):
        raise InvalidInput("input field 'query': invalid type, expected string.")
    return query
