"""What PostgreSQL takes otherwise than SQLite."""

from typing import Any


def take_nul(connection: Any, **_: Any) -> None:
    """Keep a text with a NUL character, which PostgreSQL has no place for, with a mark instead (�). A model
    may answer one, and a run must not be lost for it. For a connection that was just made."""
    if connection.vendor != "postgresql":
        return
    from psycopg.types.string import StrDumper

    class Dumper(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\x00", "\ufffd"))

    connection.connection.adapters.register_dumper(str, Dumper)
