"""Brings a store's tables back to the state before the copy: empty, without the indexes and keys that come after it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from stores.postgres import PostgresConnection
from sync.postgres.copy import empty_target
from sync.postgres.drift import require_fit
from sync.postgres.store_catalog import read_store
from transforms.ddl import Phase, statements
from transforms.plan import TablePlan
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


def make_again(connection: PostgresConnection, plan: TablePlan) -> None:
    """The plan's target table made anew, empty, in the caller's transaction.

    What refers to it by foreign keys loses these until all tables stream again. Nothing else is cascaded: a view over
    the table makes PostgreSQL refuse. A table that other sources share loses the rows of this one only, and must fit:
    raises SchemaDrift.
    """
    target = plan.target
    if plan.told_by:
        require_fit(read_store(connection, {target.schema}), [target], target.store)
        empty_target(connection, plan)
        return
    inbound = connection.execute(
        "SELECT n.nspname, c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class r ON r.oid = k.confrelid "
        "JOIN pg_namespace m ON m.oid = r.relnamespace "
        "WHERE k.contype = 'f' AND m.nspname = %s AND r.relname = %s AND k.conparentid = 0",
        (target.schema, target.name),
    ).fetchall()
    for schema, table, key in inbound:
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(schema, table), sql.Identifier(key))
        )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_name(target)))
    for enum in target.enums:
        connection.execute(sql.SQL("DROP TYPE IF EXISTS {}").format(sql.Identifier(target.schema, enum.name)))
    for statement in statements([target]):
        if statement.phase is Phase.BEFORE_COPY:
            connection.execute(statement.sql.encode())


def drop_uniques(connection: PostgresConnection, table: TargetTable) -> None:
    """Drop the unique indexes beside the key, in the caller's transaction: a copy that comes into a table that is in
    use passes through states that the source never had. The last of the table's plans to be exact makes them again.

    Raises what the driver raises when a foreign key rests on one of them.
    """
    for index in table.indexes:
        if index.unique:
            connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(table.schema, index.name)))


def _name(table: TargetTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)
