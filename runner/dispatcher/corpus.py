"""The collections of a project, for search: documents from the database, indexes on this machine."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from uuid import UUID

from django.db import connections

from pipelines.models import Collection, Document
from runner.engine.errors import InvalidConfig
from runner.native.corpus import FolderCorpus, Passage, Version
from runner.recorder.patience import patiently


class ProjectCorpus(FolderCorpus):
    """What the names of collections mean in one project; the built-in `docs` where no row has the name.

    Content is looked up anew each time by its hash, so a run sees a collection as it is.
    """

    def __init__(self, cache: Path, collections: Mapping[str, UUID]) -> None:
        super().__init__(cache)
        self._collections = collections
        self._loaded: dict[str, Version] = {}
        self._loading = Lock()

    def read(self, collection: str) -> Version:
        collection_id = self._collections.get(collection)
        if collection_id is None:
            return super().read(collection)
        try:
            with self._loading:
                return patiently(lambda: self._load(collection, collection_id))
        finally:
            connections.close_all()  # this is some thread of a pool

    def _load(self, name: str, collection_id: UUID) -> Version:
        row = Collection.objects.filter(pk=collection_id).values_list("content_hash").first()
        if row is None:
            raise InvalidConfig(f"The collection '{name}' has been deleted.")
        known = self._loaded.get(name)
        if known is None or known.hash != row[0]:
            documents = Document.objects.filter(collection=collection_id).order_by("position")
            passages = tuple(
                Passage(pid=position, id=pk.hex, title=title, text=text)
                for pk, position, title, text in documents.values_list(
                    "pk", "position", "title", "text"
                )
            )
            known = self._loaded[name] = Version(hash=row[0], passages=passages)
        return known
