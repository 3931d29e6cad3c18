"""JSON in a column of text."""

from typing import Any

import msgspec
from django.db import models


class JSONColumn(models.JSONField):
    """A value as JSON. PostgreSQL's own type for that refuses what people may well send (`\\u0000`), and
    forgets the order of names; nothing here is searched by its parts, so it would gain nothing."""

    def get_internal_type(self) -> str:
        return "TextField"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> str:
        return msgspec.json.encode(value).decode()

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else msgspec.json.decode(value)
