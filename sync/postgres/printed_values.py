"""How a store prints values of its types: the text that logical decoding would send. Reads and writes no table."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from model.rows import Field
from stores.errors import translated
from stores.postgres import PostgresConnection


def printed(connection: PostgresConnection, types: Sequence[str], values: Sequence[Field], store: str) -> list[Field]:
    """Each value in its type's own output. Raises ValueRefused for a value that a type does not take."""
    if not types:
        return []
    # The types come from the compiled plan, in PostgreSQL's own spelling; they are no identifiers.
    # format() uses a type's output function, as decoding does; a cast to text prints booleans in another way.
    parts = [sql.SQL("format('%%s', (%s::text)::{})").format(sql.SQL(kind)) for kind in types]
    texts = [value.decode() if isinstance(value, bytes) else None for value in values]
    with translated(f"store {store}"), connection.transaction():
        row = connection.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(parts)), texts).fetchone()
    assert row is not None
    return [str(text).encode() if isinstance(value, bytes) else None for text, value in zip(row, values, strict=True)]
