"""Brings a store's tables back to the state before the copy: empty, without the indexes and keys that come after it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from stores.postgres import PostgresConnection
from transforms.target import TargetTable


def reset_tables(connection: PostgresConnection, tables: Sequence[TargetTable]) -> None:
    """Empty the tables together and drop their secondary indexes and foreign keys, in the caller's transaction.

    Raises what the driver raises when a table outside of the plan refers to one of them; nothing is cascaded.
    """
    if not tables:
        return
    for table in tables:
        for key in table.foreign_keys:
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(_name(table), sql.Identifier(key.name))
            )
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(_name(table) for table in tables)))
    for table in tables:
        for index in table.indexes:
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(table.schema, index.name)))


def _name(table: TargetTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
