"""Forgetting a stream: everything that a store remembers of it goes, so that it can be copied from nothing."""

from __future__ import annotations

from psycopg import sql

from stores.control.names import SCHEMA
from stores.control.tables import STORE
from stores.postgres import PostgresConnection


def forget(connection: PostgresConnection, stream: str) -> None:
    """Delete every row of `stream` from our tables in this store; a later stream begins with a higher fence."""
    for table in STORE.sorted_tables:
        if "stream" in table.columns:
            query = sql.SQL("DELETE FROM {} WHERE stream = %s").format(sql.Identifier(SCHEMA, table.name))
            connection.execute(query, (stream,))
