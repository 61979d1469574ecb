"""AUTO_INCREMENT counters of the source: what a table would give next, and putting it ahead without a DDL statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pymysql

from model.tables import TableDef, TableId
from stores.errors import translated
from stores.mysql import MysqlConnection
from sync.mysql.literals import quoted_name


def next_auto_increments(connection: MysqlConnection[Any], tables: Iterable[TableDef]) -> dict[TableId, int]:
    """The next id of each table as counter and rows have it, in one query; tables without AUTO_INCREMENT are left out.

    MySQL 8 caches the catalogue's figure for a day unless told otherwise; the rows are asked too, because before 8.0
    the counter is forgotten at a restart.
    """
    named = [(table.id, name) for table in tables if (name := _counted(table)) is not None]
    if not named:
        return {}
    # Each table by its name: asked for several at once, old servers open every table of the database.
    query = " UNION ALL ".join(
        f"SELECT {place}, AUTO_INCREMENT, (SELECT MAX({_name(column)}) FROM {_name(table.schema, table.name)}) "
        "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        for place, (table, column) in enumerate(named)
    )
    with translated("source"), connection.cursor() as cursor:
        try:
            cursor.execute("SET SESSION information_schema_stats_expiry = 0")
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1193:  # only MySQL 8 and later know it
                raise
        cursor.execute(query, [part for table, _ in named for part in (table.schema, table.name)])
        rows = cursor.fetchall()
    found = {table: 1 for table, _ in named}
    for place, counter, highest in rows:
        found[named[int(place)][0]] = max(int(counter or 1), int(highest or 0) + 1)
    return found


def next_auto_increment(connection: MysqlConnection[Any], table: TableDef) -> int | None:
    """The next id of one table, None for a table without AUTO_INCREMENT."""
    return next_auto_increments(connection, [table]).get(table.id)


def _name(*parts: str) -> str:
    return quoted_name(*parts).replace("%", "%%")  # beside parameters


def _counted(table: TableDef) -> str | None:
    return next((column.name for column in table.columns if column.auto_increment), None)


def burn_ids(connection: MysqlConnection[Any], table: TableDef, least: int) -> int | None:
    """Raise the counter to `least` by an INSERT that is rolled back: InnoDB does not take ids back.

    ALTER TABLE … AUTO_INCREMENT would stand in the binlog as a change of the definition, and wait for every reader of
    the table. Gives the next id as read back, which is lower when the row could not be tried (another unique key).
    The connection must be let through the gate.
    """
    name = _counted(table)
    if name is None:
        return None
    found = next_auto_increment(connection, table)
    if found is not None and found >= least:
        return found
    with translated("source"), connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = '', SESSION foreign_key_checks = 0")
        cursor.execute("BEGIN")
        try:
            cursor.execute(
                f"INSERT INTO {quoted_name(table.id.schema, table.id.name)} ({quoted_name(name)}) VALUES (%s)",
                (least - 1,),
            )
        except (pymysql.err.IntegrityError, pymysql.err.DataError, pymysql.err.OperationalError):
            pass  # what is read back tells
        finally:
            cursor.execute("ROLLBACK")
    return next_auto_increment(connection, table)
