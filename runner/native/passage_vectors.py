"""The token vectors of passages, kept so that each is worked out once a machine.

As float16 (a passage of 100 word pieces is 75 KiB), on disk in one SQLite file a version of a
collection; the most recent ones also in memory, up to a limit.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Protocol

from runner.native.corpus import Passage
from runner.native.token_encoder import DIMENSIONS, Vectors

MEMORY = 32 * 1024 * 1024  # bytes
WAIT = 30.0  # seconds for another process that writes


class Encoder(Protocol):
    """`name` changes whenever the vectors of a text do."""

    name: str

    def encode(self, texts: Sequence[str]) -> list[Vectors]: ...


class PassageVectors:
    """Vectors by (version of the collection, passage). Blocks: call it off the event loop."""

    def __init__(self, cache: Path, encoder: Encoder) -> None:
        self._cache = cache
        self._encoder = encoder
        self._memory: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def query(self, text: str) -> Vectors:
        return self._encoder.encode([text])[0]

    def of(self, version: str, passages: Sequence[Passage]) -> list[Vectors]:
        """The vectors of these passages of one version, in order; missing ones are made and kept."""
        with self._lock:
            found = {
                passage.pid: self._memory[key]
                for passage in passages
                if (key := (version, passage.pid)) in self._memory
            }
        missing = [passage for passage in passages if passage.pid not in found]
        if missing:
            found |= self._from_disk(version, missing)
        with self._lock:
            for passage in passages:
                self._remember((version, passage.pid), found[passage.pid])
        return [_unpacked(found[passage.pid]) for passage in passages]

    def _from_disk(self, version: str, passages: Sequence[Passage]) -> dict[int, bytes]:
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._cache / f"{version}.{self._encoder.name}.sqlite"
        with closing(sqlite3.connect(path, timeout=WAIT)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (pid INTEGER PRIMARY KEY, rows BLOB)"
            )
            found = {
                passage.pid: row[0]
                for passage in passages
                if (row := _row(database, passage.pid)) is not None
            }
            missing = [passage for passage in passages if passage.pid not in found]
            if missing:
                made = self._encoder.encode([_full_text(passage) for passage in missing])
                rows = [(p.pid, _packed(v)) for p, v in zip(missing, made, strict=True)]
                # Another process may have made the same ones meanwhile: equal, so either stays.
                database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                database.commit()
                found |= dict(rows)
        return found

    def _remember(self, key: tuple[str, int], packed: bytes) -> None:
        if key in self._memory:
            self._memory.move_to_end(key)
            return
        self._memory[key] = packed
        self._size += len(packed)
        while self._size > MEMORY:
            _, dropped = self._memory.popitem(last=False)
            self._size -= len(dropped)


def _row(database: sqlite3.Connection, pid: int) -> tuple[bytes] | None:
    row: tuple[bytes] | None = database.execute(
        "SELECT rows FROM vectors WHERE pid = ?", (pid,)
    ).fetchone()
    return row


def _full_text(passage: Passage) -> str:
    return f"{passage.title}. {passage.text}" if passage.title else passage.text


def _packed(vectors: Vectors) -> bytes:
    import numpy as np

    return vectors.astype(np.float16).tobytes()


def _unpacked(packed: bytes) -> Vectors:
    import numpy as np

    return np.frombuffer(packed, dtype=np.float16).reshape(-1, DIMENSIONS).astype(np.float32)
