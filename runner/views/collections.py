"""Collections as search sees them: a query tried out, and the collection that comes with DSPex."""

import time
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from pipelines.models import Collection
from pipelines.permissions import Action, get_or_404
from pipelines.views.collections import PAGE, SHOWN, listed, uses_of
from pipelines.views.requests import person
from runner.dispatcher.corpus import ProjectCorpus
from runner.engine.errors import RunnerError
from runner.host import HostSettings
from runner.native.colbert import Retriever
from runner.native.corpus import Corpus, FolderCorpus, Passage
from runner.native.passage_vectors import PassageVectors
from runner.native.token_encoder import TokenEncoder
from runner.views import figures

DOCS = "docs"
FOUND = 8
LONGEST_QUERY = 1_000
"""Passages that a query shows, and characters of a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A passage of the built-in collection, as a row of the list of documents."""

    position: int
    title: str
    text: str
    source_name: str = ""
    start: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """The built-in collection, with the names that a row of the database has."""

    content_hash: str
    documents: tuple[Shown, ...]
    document_count: int
    byte_count: int
    name: str = DOCS
    description: str = "About DSPy, DSPex and retrieval. It comes with DSPex and stays as it is."


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The built-in collection, to be read and tried."""
    found = _built_in()
    context = {
        **listed(request),
        "collection": found,
        "built_in": True,
        "page": Paginator(found.documents, PAGE).get_page(request.GET.get("page")),
        "uses": uses_of(person(request), DOCS, None),
    }
    part = "#entries" if request.headers.get("HX-Target", "").endswith("#entries") else ""
    return render(request, f"pipelines/collections.html{part}", context)


@require_safe
def docs_document(request: HttpRequest, position: int) -> HttpResponse:
    documents = _built_in().documents
    if position >= len(documents):
        raise Http404("There is no such document.")
    return render(request, "partials/document.html", {"document": documents[position]})


@require_safe
def search_docs(request: HttpRequest) -> HttpResponse:
    return _answer(request, _docs_corpus(), DOCS)


@require_safe
def search(request: HttpRequest, pk: UUID) -> HttpResponse:
    get_or_404(person(request), Action.VIEW, Collection, pk=pk)
    return _answer(request, _corpus_of(pk), pk.hex)


def _answer(request: HttpRequest, corpus: Corpus, name: str) -> HttpResponse:
    """The passages that a search node or a colbert node would find."""
    query = request.GET.get("query", "").replace("\x00", " ")[:LONGEST_QUERY].strip()
    late = request.GET.get("how") == "late"
    context: dict[str, Any] = {"query": query, "late": late}
    if query:
        began = time.perf_counter()
        try:
            context["passages"] = async_to_sync(_found)(corpus, name, query, late=late)
        except RunnerError as error:
            context["error"] = error.message
        context["took"] = figures.seconds(time.perf_counter() - began)
    return render(request, "partials/found.html", context)


async def _found(corpus: Corpus, name: str, query: str, *, late: bool) -> list[dict[str, Any]]:
    if late:
        retriever = Retriever(corpus, _vectors())
        return await retriever.retrieve(query, collection=name, k=FOUND)
    found = await corpus.search(name, query, FOUND)
    return [
        {"rank": rank, "pid": each.pid, "title": each.title, "text": each.text, "score": each.score}
        for rank, each in enumerate(found, start=1)
    ]


@cache
def _vectors() -> PassageVectors:
    return PassageVectors(_docs_corpus().cache, TokenEncoder())


@cache
def _docs_corpus() -> FolderCorpus:
    return FolderCorpus(HostSettings().cache_directory / "collections")


@lru_cache(maxsize=2)  # each may hold 50 MB of text
def _corpus_of(pk: UUID) -> ProjectCorpus:
    return ProjectCorpus(_docs_corpus().cache, {pk.hex: pk})


@cache
def _built_in() -> BuiltIn:
    version = _docs_corpus().read(DOCS)
    rows = tuple(_row(passage) for passage in version.passages)
    return BuiltIn(
        content_hash=version.hash,
        documents=rows,
        document_count=len(rows),
        byte_count=sum(len(row.text.encode()) for row in rows),
    )


def _row(passage: Passage) -> Shown:
    text = passage.text
    return Shown(
        position=passage.pid, title=passage.title, text=text, start=text[:SHOWN], size=len(text)
    )
