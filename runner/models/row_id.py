"""The key of rows that come by the thousand and that nothing refers to."""

from typing import Any

from django.db import models


class RowId(models.BigAutoField):  # type: ignore[type-arg]  # no generic at run time
    """A key that SQLite gives by itself. Django has it look up and keep the highest one ever given, so
    that none is given twice: another page to write in every transaction."""

    def db_type_suffix(self, connection: Any) -> str | None:
        if connection.vendor == "sqlite":
            return None
        return super().db_type_suffix(connection)
