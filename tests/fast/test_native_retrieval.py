"""search and colbert with an encoder whose vectors are words."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.graph.graph import Node
from pipelines.graph.kinds.retrieval import ColBERT, Search
from pipelines.graph.policy import StepPolicy
from runner.engine.errors import InvalidConfig, InvalidInput, MissingPackages
from runner.engine.executor import Call
from runner.native import passage_vectors, token_encoder
from runner.native.colbert import max_sim
from runner.native.corpus import FolderCorpus, Passage, build_index, search_terms
from runner.native.executor import NativeExecutor
from runner.native.token_encoder import DIMENSIONS, TokenEncoder, Vectors
from tests.fast.test_native_predict import Gateway, Observer

TEXTS = {
    "cats": "Cats purr and sleep",
    "dogs": "Dogs bark, and dogs run",
    "honey": "Bees make honey, optimizers make prompts",
    "motor": "A vehicle with an engine",
}
MEANING = {"car": "vehicle", "feline": "cats"}


class WordEncoder:
    """One vector a word: words that mean the same share it. Counts the texts it was given."""

    name = "words"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[Vectors]:
        self.encoded += texts
        return [self._vectors(text) for text in texts]

    def _vectors(self, text: str) -> Vectors:
        words = [MEANING.get(word, word) for word in text.lower().replace(",", " ").split()]
        rows = np.zeros((len(words), DIMENSIONS), dtype=np.float32)
        for row, word in enumerate(words):
            rows[row, sum(map(ord, word)) * 7 % DIMENSIONS] = 1.0
        return rows


@pytest.fixture
def corpus(tmp_path: Path) -> FolderCorpus:
    file = tmp_path / "animals.jsonl"
    rows = [{"id": id_, "title": "", "text": text} for id_, text in TEXTS.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FolderCorpus(tmp_path / "cache", {"animals": file})


def a_call(kind: str, config: Any, query: Any) -> Call:
    return Call(
        run_id="r",
        path="p",
        attempt=1,
        node=Node(id="p", kind=kind),
        config=config,
        policy=StepPolicy(),
        inputs={"query": query},
        observer=Observer(),
    )


def an_executor(corpus: FolderCorpus, **more: Any) -> NativeExecutor:
    return NativeExecutor(Gateway([]), corpus, **{"encoder": WordEncoder(), **more})


async def found(corpus: FolderCorpus, query: str, k: int = 10) -> list[str]:
    return [passage.id for passage in await corpus.search("animals", query, k)]


async def test_search_ranks_by_shared_words_and_stems(corpus: FolderCorpus) -> None:
    assert (await found(corpus, "dogs"))[0] == "dogs"
    assert await found(corpus, "optimizing") == ["honey"]


async def test_search_gives_rows_the_best_first(corpus: FolderCorpus) -> None:
    call = a_call("search", Search(collection="animals", k=1), "honey bees")
    (row,) = (await an_executor(corpus).execute(call))["passages"]
    assert (row["pid"], row["rank"], row["text"]) == (2, 1, TEXTS["honey"])
    assert row["score"] > 0


@pytest.mark.parametrize(
    "query",
    [
        'dogs"',
        "dogs OR",
        "dogs AND NOT (",
        "title:dogs",
        "dogs*",
        "^dogs NEAR/2 (x y)",
        "dogs'; DROP TABLE passages; --",
        "dogs\x00",
        "dogs \ud800",
        "{dogs} + - | & \\",
    ],
)
async def test_what_is_typed_is_words_and_nothing_else(corpus: FolderCorpus, query: str) -> None:
    assert (await found(corpus, query))[0] == "dogs"


@pytest.mark.parametrize("query", ["", "  ", '"*"', "()", "\x00", "-", "zzz"])
async def test_no_word_in_common_finds_nothing(corpus: FolderCorpus, query: str) -> None:
    assert await found(corpus, query) == []


def test_long_queries_are_cut() -> None:
    assert search_terms(" ".join(f"w{n}" for n in range(1_000))).count(" OR ") == 63


async def test_unknown_collections_are_named_with_what_there_is(corpus: FolderCorpus) -> None:
    with pytest.raises(InvalidConfig, match=r"'nowhere'.*animals, docs"):
        await corpus.search("nowhere", "x", 1)


async def test_a_changed_collection_is_another_version(
    corpus: FolderCorpus, tmp_path: Path
) -> None:
    await corpus.search("animals", "dogs", 1)
    file = tmp_path / "animals.jsonl"
    file.write_text(json.dumps({"id": "new", "title": "Dogs", "text": "new"}) + "\n")
    later = FolderCorpus(tmp_path / "cache", {"animals": file})
    assert await later.version("animals") != await corpus.version("animals")
    assert await found(later, "dogs") == ["new"]
    assert await found(corpus, "bark") == ["dogs"]


def test_an_index_that_is_built_twice_at_once_is_whole(tmp_path: Path) -> None:
    passages = [Passage(pid=n, id=str(n), title="", text=f"word{n} common") for n in range(300)]
    index = tmp_path / "cache" / "index.sqlite"
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: build_index(index, passages), range(4)))
    assert [path.name for path in index.parent.iterdir()] == ["index.sqlite"]
    with sqlite3.connect(index) as database:
        query = "SELECT count(*) FROM passages WHERE passages MATCH 'common'"
        assert database.execute(query).fetchone() == (300,)
    database.close()


def test_max_sim_sums_each_query_tokens_best_match() -> None:
    query = np.array([[1, 0], [0, 1]], dtype=np.float32)
    near = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    far = np.array([[-1, 0]], dtype=np.float32)
    empty = np.zeros((0, 2), dtype=np.float32)
    assert max_sim(query, [far, empty, near]) == pytest.approx([-1.0, 0.0, 1.8])
    assert max_sim(empty, [near]) == [0.0]
    assert max_sim(query, []) == []


async def test_colbert_finds_meaning_without_a_word_in_common(corpus: FolderCorpus) -> None:
    call = a_call("colbert", ColBERT(collection="animals", k=3), "car")
    rows = (await an_executor(corpus).execute(call))["passages"]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["text"] == TEXTS["motor"]
    assert set(rows[0]) == {"text", "title", "pid", "rank", "score", "prob"}
    assert sum(row["prob"] for row in rows) == pytest.approx(1.0)


async def test_enough_candidates_leave_the_rest_alone(corpus: FolderCorpus) -> None:
    encoder = WordEncoder()
    executor = an_executor(corpus, encoder=encoder)
    call = a_call("colbert", ColBERT(collection="animals", k=1, candidates=1), "bark feline")
    rows = (await executor.execute(call))["passages"]
    assert [row["text"] for row in rows] == [TEXTS["dogs"]]
    assert encoder.encoded == ["bark feline", TEXTS["dogs"]]


async def test_vectors_of_passages_are_made_once_a_machine(corpus: FolderCorpus) -> None:
    call = a_call("colbert", ColBERT(collection="animals"), "car")
    first, second = WordEncoder(), WordEncoder()
    executor = an_executor(corpus, encoder=first)
    rows = await asyncio.gather(
        executor.execute(call), an_executor(corpus, encoder=second).execute(call)
    )
    assert rows[0] == rows[1] == await executor.execute(call)
    third = WordEncoder()
    assert await an_executor(corpus, encoder=third).execute(call) == rows[0]
    assert third.encoded == ["car"]


async def test_memory_for_vectors_is_bounded(
    corpus: FolderCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage_vectors, "MEMORY", 10 * 4 * DIMENSIONS)
    vectors = passage_vectors.PassageVectors(corpus.cache, WordEncoder())
    everything = await corpus.passages("animals")
    assert len(vectors.of("v", everything)) == 4
    assert vectors._size <= 10 * 4 * DIMENSIONS


@pytest.mark.parametrize("k", [101, -1])
async def test_k_is_bounded_for_whoever_asks(corpus: FolderCorpus, k: int) -> None:
    call = a_call("colbert", ColBERT(), "x")
    with pytest.raises(InvalidInput, match="1 to 100"):
        await an_executor(corpus).retrieve(call, {"query": "x", "k": k})


async def test_the_hosts_tool_takes_defaults(corpus: FolderCorpus) -> None:
    arguments = {"query": "car", "k": 2, "collection": "animals", "candidates": 0, "url": ""}
    rows = await an_executor(corpus).retrieve(a_call("colbert", ColBERT(), "car"), arguments)
    assert len(rows) == 2 and rows[0]["text"] == TEXTS["motor"]


async def test_a_server_answers_only_where_addresses_are_approved(corpus: FolderCorpus) -> None:
    asked: list[tuple[str, Mapping[str, str]]] = []

    async def fetch(url: str, parameters: Mapping[str, str]) -> Any:
        asked.append((url, parameters))
        return {"topk": [{"long_text": "far", "pid": 3, "rank": 1, "score": 2.0, "prob": 1.0}]}

    call = a_call("colbert", ColBERT(url="http://127.0.0.1/api/search", k=5), "car")
    with pytest.raises(InvalidConfig, match="approved"):
        await an_executor(corpus).execute(call)
    executor = an_executor(corpus, fetch=fetch)
    assert executor.can(call.node, call.config)
    (row,) = (await executor.execute(call))["passages"]
    assert row["text"] == "far"
    assert asked == [("http://127.0.0.1/api/search", {"query": "car", "k": "5"})]


@pytest.mark.parametrize("answer", ["<html>", {"error": "x"}, {"topk": [1]}, None])
async def test_a_server_of_another_kind_is_a_clear_error(corpus: FolderCorpus, answer: Any) -> None:
    async def fetch(url: str, parameters: Mapping[str, str]) -> Any:
        return answer

    call = a_call("colbert", ColBERT(url="http://127.0.0.1/"), "car")
    with pytest.raises(InvalidConfig, match="topk"):
        await an_executor(corpus, fetch=fetch).execute(call)


@pytest.mark.parametrize("query", [None, 3, ["a"]])
async def test_the_query_is_a_text(corpus: FolderCorpus, query: Any) -> None:
    with pytest.raises(InvalidInput, match="'query'"):
        await an_executor(corpus).execute(a_call("search", Search(collection="animals"), query))


@pytest.mark.parametrize("part", ["MODEL", "TOKENIZER"])
def test_a_missing_package_is_named_with_the_command(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_encoder, part, ("the-package", "no_such_module", "file"))
    load = token_encoder._load_session if part == "MODEL" else token_encoder._load_tokenizer
    with pytest.raises(MissingPackages, match=r"'the-package'.*make setup") as raised:
        load()
    assert raised.value.details == {"package": "the-package", "command": "make setup"}


def test_the_model_is_loaded_by_the_first_text_and_let_go_when_nobody_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(token_encoder, "_held", [])
    monkeypatch.setattr(token_encoder, "_load_tokenizer", object)
    monkeypatch.setattr(token_encoder, "_load_session", object)
    monkeypatch.setattr(token_encoder, "_look_again", looks.append)
    TokenEncoder()
    assert not token_encoder._held
    model = token_encoder._loaded()
    assert token_encoder._loaded() is model
    token_encoder._unload_idle()
    assert token_encoder._held == [model]
    assert looks == [token_encoder.IDLE, pytest.approx(token_encoder.IDLE, abs=1)]
    model.used -= token_encoder.IDLE
    token_encoder._unload_idle()
    assert not token_encoder._held


async def test_the_built_in_collection_is_whole(tmp_path: Path) -> None:
    passages = await FolderCorpus(tmp_path).passages("docs")
    assert 60 <= len(passages) <= 120
    assert len({passage.id for passage in passages}) == len(passages)
    assert all(40 <= len(passage.text.split()) <= 120 for passage in passages)
