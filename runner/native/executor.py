"""The native backend: one handler a kind."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from pipelines.graph.graph import Backend, Node
from runner.engine.errors import OperationNotFound
from runner.engine.executor import Call
from runner.native.colbert import Fetch, Retriever
from runner.native.corpus import Corpus
from runner.native.http_request import HTTPRequests, Sites
from runner.native.lm import call_lm
from runner.native.metric import score
from runner.native.passage_vectors import Encoder, PassageVectors
from runner.native.predict import Gateway, Predictor, native_signature
from runner.native.search import search
from runner.native.template import fill_template
from runner.native.token_encoder import TokenEncoder
from runner.native.validate import validate

type Handler = Callable[[Call], Awaitable[Mapping[str, Any]]]


class NativeExecutor:
    """Runs nodes in this process. A new kind is one file here and one line in `handlers`."""

    backend: Backend = "native"
    warm = True

    def __init__(
        self,
        gateway: Gateway,
        corpus: Corpus,
        *,
        encoder: Encoder | None = None,
        fetch: Fetch | None = None,
        sites: Sites | None = None,
    ) -> None:
        """`encoder` makes the vectors of late interaction (MiniLM by default, loaded on first use);
        `sites` is where http_request may send to, and where ColBERTv2 servers may be; `fetch`
        reaches those in another way."""
        predictor = Predictor(gateway)
        vectors = PassageVectors(corpus.cache, encoder or TokenEncoder())
        requests = HTTPRequests(sites or Sites())
        if fetch is None and sites is not None and sites.approved:
            fetch = requests.fetch
        retriever = self._retriever = Retriever(corpus, vectors, fetch)
        self.handlers: dict[str, Handler] = {
            "predict": predictor.predict,
            "chain_of_thought": predictor.chain_of_thought,
            "lm": partial(call_lm, gateway),
            "template": fill_template,
            "validate": validate,
            "metric": score,
            "http_request": requests.send,
            "search": partial(search, corpus),
            "colbert": retriever.colbert,
        }

    def can(self, node: Node, config: Any) -> bool:
        """Whether there is a handler, and nothing in the config that only DSPy has: fields of its
        own types, or a ColBERTv2 server when none is approved here."""
        if node.kind not in self.handlers:
            return False
        if node.kind in ("predict", "chain_of_thought"):
            return native_signature(config)
        if node.kind == "colbert":
            return not config.url or self._retriever.reaches_servers
        return True

    async def execute(self, call: Call) -> Mapping[str, Any]:
        handler = self.handlers.get(call.node.kind)
        if handler is None:
            kinds = ", ".join(sorted(self.handlers))
            raise OperationNotFound(f"native can't run '{call.node.kind}'. It runs: {kinds}.")
        return await handler(call)

    async def retrieve(self, call: Call, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The host's tool of this name, for the ColBERTv2 of a DSPy worker: `query`, and as it likes
        `collection`, `k`, `candidates`, `url`."""
        return await self._retriever.retrieve(
            str(arguments["query"]),
            collection=arguments.get("collection") or "docs",
            k=arguments.get("k") or 10,
            candidates=arguments.get("candidates") or 50,
            url=arguments.get("url") or "",
        )
