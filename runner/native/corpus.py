"""What search looks in: collections of passages, found by words (BM25).

A version of a collection is the hash of its content. The full-text index of a version is a SQLite
file that each machine builds for itself, once, in a cache directory; losing it costs the time to
build it again.
"""

import asyncio
import hashlib
import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from runner.engine.errors import InvalidConfig

COLLECTIONS = Path(__file__).parent / "collections"
INDEX_FORMAT = 1  # raise it when the index's tables change
MAX_TERMS = 64  # words of a query that are looked up
WORD = re.compile(r"\w+")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of text in a collection. `pid` is its place there, from 0; `score` is what it was
    ranked by, higher is better."""

    pid: int
    id: str
    title: str
    text: str
    score: float = 0.0


class Corpus(Protocol):
    """Where the passages of collections are. An unknown name is an InvalidConfig.

    `cache` is a directory of this machine for what can be made again from the passages.
    """

    cache: Path

    async def version(self, collection: str) -> str:
        """The hash of the collection's content, in hex."""
        ...

    async def passages(self, collection: str) -> Sequence[Passage]:
        """All passages, in order of `pid`."""
        ...

    async def search(self, collection: str, query: str, k: int) -> list[Passage]:
        """At most `k` passages that share a word with the query, the best first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A collection as it is: its content hash, and its passages."""

    hash: str
    passages: tuple[Passage, ...]


class FolderCorpus:
    """Collections from JSON Lines (`id`, `title`, `text`), with their indexes in the folder `cache`.

    `files` maps name to file; the built-in `docs` is always there. Files are read once.
    """

    def __init__(self, cache: Path, files: Mapping[str, Path] | None = None) -> None:
        self.cache = cache
        self._files = {"docs": COLLECTIONS / "docs.jsonl", **(files or {})}
        self._versions: dict[str, Version] = {}
        self._lock = Lock()

    async def version(self, collection: str) -> str:
        return (await asyncio.to_thread(self.read, collection)).hash

    async def passages(self, collection: str) -> Sequence[Passage]:
        return (await asyncio.to_thread(self.read, collection)).passages

    async def search(self, collection: str, query: str, k: int) -> list[Passage]:
        return await asyncio.to_thread(self._search, collection, query, k)

    def read(self, collection: str) -> Version:
        """The collection as it is now. May block; a subclass may have it from elsewhere."""
        with self._lock:
            known = self._versions.get(collection)
            if known is None:
                known = self._versions[collection] = _read_file(self._file(collection))
            return known

    def _file(self, collection: str) -> Path:
        try:
            return self._files[collection]
        except KeyError:
            names = ", ".join(sorted(self._files))
            raise InvalidConfig(
                f"There is no collection '{collection}'. Collections: {names}."
            ) from None

    def _search(self, collection: str, query: str, k: int) -> list[Passage]:
        version = self.read(collection)
        terms = search_terms(query)
        if not terms:
            return []
        index = self.cache / f"{version.hash}.{INDEX_FORMAT}.sqlite"
        if not index.exists():
            build_index(index, version.passages)
        rows = _matches(index, terms, k)
        return [_scored(version.passages[pid], -rank) for pid, rank in rows]


def _scored(passage: Passage, score: float) -> Passage:
    return Passage(
        pid=passage.pid, id=passage.id, title=passage.title, text=passage.text, score=score
    )


def _read_file(path: Path) -> Version:
    content = path.read_bytes()
    rows = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
    passages = tuple(
        Passage(pid=pid, id=row["id"], title=row.get("title", ""), text=row["text"])
        for pid, row in enumerate(rows)
    )
    return Version(hash=hashlib.sha256(content).hexdigest(), passages=passages)


def forget_indexes(cache: Path, versions: Collection[str]) -> int:
    """Delete what was made of these versions; how many files."""
    return _deleted(path for path in cache.glob("*") if _version_of(path) in versions)


def forget_unused_indexes(cache: Path, *, keep: Collection[str], age: float) -> int:
    """Delete what was made, more than `age` seconds ago, of versions that are not in `keep`; how many
    files. Other installations of this user may have theirs here too: they make them anew."""
    built_in = {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in COLLECTIONS.glob("*.jsonl")
    }
    found = {path: _version_of(path) for path in cache.glob("*")}
    wanted = {"", *keep, *built_in}
    before = time.time() - age
    return _deleted(
        path for path, version in found.items() if version not in wanted and _is_older(path, before)
    )


def _version_of(path: Path) -> str:
    """The version that a file of the cache was made of; empty for any other file."""
    version = path.name.partition(".")[0]
    return version if _HASH.fullmatch(version) else ""


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except OSError:  # another process was quicker
        return False


def _deleted(paths: Iterable[Path]) -> int:
    count = 0
    for path in list(paths):
        with suppress(OSError):
            path.unlink()
            count += 1
    return count


def search_terms(query: str) -> str:
    """The query as FTS5 takes it: its words, each quoted, any of them. Empty without a word.

    What a user types is data: quoted, no word is an operator, a column or a syntax error.
    """
    words = dict.fromkeys(word.lower() for word in WORD.findall(query))
    return " OR ".join(f'"{word}"' for word in list(words)[:MAX_TERMS])


def build_index(path: Path, passages: Iterable[Passage]) -> None:
    """Make the index beside its place and move it there, so that a reader sees all of it or none.

    Two processes that build at once both succeed: the contents are equal, the last move stays.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as directory:
        draft = Path(directory) / "index.sqlite"
        with closing(sqlite3.connect(draft)) as database:
            database.execute(
                "CREATE VIRTUAL TABLE passages USING fts5(title, text, content='', "
                "tokenize='porter unicode61 remove_diacritics 2')"
            )
            database.executemany(
                "INSERT INTO passages(rowid, title, text) VALUES (?, ?, ?)",
                ((passage.pid, passage.title, passage.text) for passage in passages),
            )
            database.commit()
        draft.replace(path)


def _matches(index: Path, terms: str, k: int) -> list[tuple[int, float]]:
    """(pid, rank) with FTS5's rank, the lower the better; a title's word counts twice."""
    with closing(sqlite3.connect(f"{index.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        return database.execute(
            "SELECT rowid, bm25(passages, 2.0, 1.0) FROM passages WHERE passages MATCH ? "
            "ORDER BY 2, rowid LIMIT ?",
            (terms, k),
        ).fetchall()
