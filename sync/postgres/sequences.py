"""Identity sequences of a store's tables: put ahead of every id that the source has given out, and read back."""

from __future__ import annotations

from typing import Final

from psycopg import sql

from model.errors import CrossfadeError
from stores.errors import translated
from stores.postgres import PostgresConnection
from transforms.target import TargetTable

GAP: Final = 1000
"""Ids left out between the last of the source and the first of the store."""


def put_ahead(connection: PostgresConnection, table: TargetTable, least: int, gap: int = GAP) -> int | None:
    """Let the table's identity begin above `least` and above every id in the table, by `gap`; never backwards.

    Gives the next id as read back, None for a table without identity. Raises CrossfadeError when it did not take.
    """
    name = next((column.name for column in table.columns if column.identity), None)
    if name is None:
        return None
    qualified = sql.Identifier(table.schema, table.name)
    with translated(f"store {table.store}"):
        row = connection.execute(
            sql.SQL("SELECT coalesce(max({}), 0)::bigint FROM {}").format(sql.Identifier(name), qualified)
        ).fetchone()
        wanted = max(least, int(row[0]) + 1 if row else 1) + gap
        if (next_id(connection, table) or 0) < wanted:
            connection.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s, false)", (qualified.as_string(None), name, wanted)
            )
    found = next_id(connection, table)
    if found is None or found < wanted:
        raise CrossfadeError(
            "the identity did not take the value it was set to", table=table, column=name, wanted=wanted, found=found
        )
    return found


def next_id(connection: PostgresConnection, table: TargetTable) -> int | None:
    """The id that the table would give next, None for a table without identity."""
    name = next((column.name for column in table.columns if column.identity), None)
    if name is None:
        return None
    qualified = sql.Identifier(table.schema, table.name)
    with translated(f"store {table.store}"):
        row = connection.execute(
            "SELECT schemaname, sequencename FROM pg_sequences WHERE "
            "format('%%I.%%I', schemaname, sequencename)::regclass = pg_get_serial_sequence(%s, %s)::regclass",
            (qualified.as_string(None), name),
        ).fetchone()
        if row is None:
            return None
        value = connection.execute(
            sql.SQL("SELECT last_value + (is_called)::int FROM {}").format(sql.Identifier(*row))
        ).fetchone()
    return int(value[0]) if value else None
