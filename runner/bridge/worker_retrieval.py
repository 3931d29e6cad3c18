"""ColBERTv2 in a worker: DSPy's class, with the host in the place of its HTTP client."""

from typing import Any

import dspy
import msgspec
from dspy.dsp.utils import dotdict

from runner.bridge.payloads import RETRIEVE, RetrievePayload
from runner.bridge.worker_loop import Step

MAX_K = 100
"""ColBERT's own limit, as in DSPy's client."""


class HostColBERTv2(dspy.ColBERTv2):  # type: ignore[misc]  # DSPy is not typed
    """`dspy.ColBERTv2(url=…)(query, k=…)`, without network: the host answers from its collection, or
    asks the server at `url` if an admin approved it."""

    def __init__(
        self, step: Step, *, url: str = "", collection: str = "", candidates: int = 0
    ) -> None:
        super().__init__(url=url)
        self._step = step
        self._collection = collection
        self._candidates = candidates

    def __call__(self, query: str, k: int = 10, simplify: bool = False) -> Any:
        """Rows with text, long_text, pid, rank, score and prob, best first; the texts with `simplify`."""
        if k > MAX_K:
            raise ValueError(f"ColBERTv2 gives at most {MAX_K} passages, not {k}.")
        arguments = {
            "query": query,
            "k": k,
            "collection": self._collection,
            "candidates": self._candidates,
            "url": self.url,
        }
        rows = self._step.ask_tool(RETRIEVE, arguments)[:k]
        if simplify:
            return [row["text"] for row in rows]
        return [dotdict({**row, "long_text": row["text"]}) for row in rows]


def run(step: Step, payload: dict[str, Any]) -> dict[str, Any]:
    """The `retrieve` operation: ColBERTv2's rows as `passages`."""
    call = msgspec.convert(payload, RetrievePayload)
    retriever = HostColBERTv2(
        step, url=call.url, collection=call.collection, candidates=call.candidates
    )
    rows = retriever(call.query, k=call.k)
    return {"passages": [{k: v for k, v in row.items() if k != "long_text"} for row in rows]}
