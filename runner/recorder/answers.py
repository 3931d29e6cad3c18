"""The two stores of language models' answers, in the database."""

import hashlib
import time
from uuid import UUID

import msgspec
from django.db import connection

from runner.lm.cache import CacheKey
from runner.lm.replay import ReplayKey
from runner.models import CachedAnswer
from runner.recorder.cursor import Cursor
from runner.recorder.database_thread import DatabaseThread
from runner.recorder.recorder import Recorder
from runner.recorder.rows import CACHED_ANSWERS, moment


class DatabaseReplayLog:
    """Keeps the answers of runs with the runs' own journals: in their batches, under their fence.

    Those of a run that is taken up were read when it was claimed, and `RunState.answers` keeps what comes:
    looking one up costs nothing.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def get(self, key: ReplayKey) -> bytes | None:
        journal = self._recorder.journal(key.run_id)
        return journal.state.answers.get(key_hash(key)) if journal else None

    async def put(self, key: ReplayKey, value: bytes) -> None:
        if journal := self._recorder.journal(key.run_id):
            hashed = key_hash(key)
            await journal.answer(hashed, value.decode())
            journal.state.answers[hashed] = value  # the next worker may ask again


class DatabaseResponseCache:
    """Keeps the answers that the runs of one project share."""

    def __init__(self, project_id: UUID, thread: DatabaseThread) -> None:
        self._project = project_id
        self._thread = thread

    async def get(self, key: CacheKey) -> bytes | None:
        return await self._thread.patiently(self._get, key_hash(key))

    async def put(self, key: CacheKey, value: bytes) -> None:
        await self._thread.patiently(self._put, key, value)

    def _get(self, key: str) -> bytes | None:
        found = CachedAnswer.objects.filter(project_id=self._project, key=key)
        value = found.values_list("value", flat=True).first()
        return None if value is None else value.encode()

    def _put(self, key: CacheKey, value: bytes) -> None:
        who = (self._project.hex, key_hash(key), key.profile[:100])
        row = (*who, value.decode(), len(value), moment(time.time()))
        with connection.wrap_database_errors, Cursor.of_thread() as cursor:
            CACHED_ANSWERS.write(cursor, [row])


def key_hash(key: ReplayKey | CacheKey) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(msgspec.json.encode(key), digest_size=16).hexdigest()
