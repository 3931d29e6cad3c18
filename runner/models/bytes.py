"""How many bytes a column's texts take."""

from typing import Any

from django.db.models import BigIntegerField, Func


class Bytes(Func):
    """The bytes of a text as the database keeps it; `Length` counts characters."""

    function = "OCTET_LENGTH"
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        # Before 3.43, which many systems still have, SQLite has no OCTET_LENGTH.
        template = "LENGTH(CAST(%(expressions)s AS BLOB))"
        return self.as_sql(compiler, connection, template=template, **options)
