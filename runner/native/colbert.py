"""colbert: BM25 candidates, ranked anew by late interaction.

Each word piece of the query looks for its best match among the pieces of a passage; the score is the
sum of those matches (MaxSim, Khattab and Zaharia 2020). The rows and the softmax over the rows that
are given are those of ColBERT's server (server.py: /api/search), so DSPy's ColBERTv2 takes them.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pipelines.graph.kinds.retrieval import ColBERT
from runner.engine.errors import InvalidConfig, InvalidInput
from runner.engine.executor import Call
from runner.native.corpus import Corpus, Passage
from runner.native.passage_vectors import PassageVectors
from runner.native.search import query_of
from runner.native.token_encoder import Vectors

MAX_K = 100  # ColBERT's own limit
SMALL = 2_000  # passages up to which a query without a word in common looks at all of them

# GET of an approved address with these parameters: the decoded JSON of the answer.
type Fetch = Callable[[str, Mapping[str, str]], Awaitable[Any]]


class Retriever:
    """Answers `retrieve` for the colbert node, DSPy workers and the search API alike.

    Without `fetch` a node that names a server is refused.
    """

    def __init__(self, corpus: Corpus, vectors: PassageVectors, fetch: Fetch | None = None) -> None:
        self._corpus = corpus
        self._vectors = vectors
        self._fetch = fetch

    @property
    def reaches_servers(self) -> bool:
        return self._fetch is not None

    async def colbert(self, call: Call) -> Mapping[str, Any]:
        config: ColBERT = call.config
        passages = await self.retrieve(
            query_of(call),
            collection=config.collection,
            k=config.k,
            candidates=config.candidates,
            url=config.url,
        )
        return {"passages": passages}

    async def retrieve(
        self,
        query: str,
        *,
        collection: str = "docs",
        k: int = 10,
        candidates: int = 50,
        url: str = "",
    ) -> list[dict[str, Any]]:
        """Rows {text, title, pid, rank, score, prob}, the best first; `rank` counts from 1 and
        `prob` sums to 1 over the rows. With `url` a ColBERTv2 server answers instead."""
        if not 1 <= k <= MAX_K:
            raise InvalidInput(f"k is {k}: ColBERT gives 1 to {MAX_K} passages.")
        if url:
            return await self._from_server(url, query, k)
        found = await self._candidates(collection, query, max(candidates, k))
        if not found:
            return []
        version = await self._corpus.version(collection)
        scores = await asyncio.to_thread(self._score, version, query, found)
        ranked = sorted(zip(found, scores, strict=True), key=lambda pair: (-pair[1], pair[0].pid))
        return _rows(ranked[:k])

    async def _candidates(self, collection: str, query: str, count: int) -> Sequence[Passage]:
        """BM25's candidates. When it has fewer than asked, a small collection is looked at whole:
        meaning may be there without a word in common."""
        found = await self._corpus.search(collection, query, count)
        if len(found) >= count:
            return found
        everything = await self._corpus.passages(collection)
        return everything if len(everything) <= SMALL else found

    def _score(self, version: str, query: str, passages: Sequence[Passage]) -> list[float]:
        return max_sim(self._vectors.query(query), self._vectors.of(version, passages))

    async def _from_server(self, url: str, query: str, k: int) -> list[dict[str, Any]]:
        if self._fetch is None:
            raise InvalidConfig("No address of a ColBERTv2 server is approved: leave 'url' empty.")
        answer = await self._fetch(url, {"query": query, "k": str(k)})
        rows = answer.get("topk") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidConfig(f"'{url}' did not answer like a ColBERTv2 server: no list 'topk'.")
        return [{**row, "text": row.get("text", row.get("long_text", ""))} for row in rows[:k]]


def max_sim(query: Vectors, passages: Sequence[Vectors]) -> list[float]:
    """For each passage the sum, over the rows of `query`, of the best dot product with its rows.

    `query` is (q, d), each passage (p, d) with rows of unit length; an empty passage scores 0.
    """
    import numpy as np

    filled = [index for index, rows in enumerate(passages) if len(rows)]
    scores = [0.0] * len(passages)
    if not filled or not len(query):
        return scores
    lengths = [len(passages[index]) for index in filled]
    starts = np.cumsum([0, *lengths[:-1]])
    products = np.concatenate([passages[index] for index in filled]) @ query.T
    best = np.maximum.reduceat(products, starts, axis=0).sum(axis=1)
    for index, score in zip(filled, best, strict=True):
        scores[index] = float(score)
    return scores


def _rows(ranked: Sequence[tuple[Passage, float]]) -> list[dict[str, Any]]:
    probabilities = _softmax([score for _, score in ranked])
    return [
        {
            "text": passage.text,
            "title": passage.title,
            "pid": passage.pid,
            "rank": rank,
            "score": score,
            "prob": probability,
        }
        for rank, ((passage, score), probability) in enumerate(
            zip(ranked, probabilities, strict=True), start=1
        )
    ]


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores, default=0.0)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]
