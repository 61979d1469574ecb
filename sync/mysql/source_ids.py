"""AUTO_INCREMENT counters of the source: what a table would give next, and putting it ahead without a DDL statement."""

from __future__ import annotations

from typing import Any

import pymysql

from model.tables import TableDef
from stores.errors import translated
from stores.mysql import MysqlConnection
from sync.mysql.literals import quoted_name


def next_auto_increment(connection: MysqlConnection[Any], table: TableDef) -> int | None:
    """The next id as counter and rows have it, None for a table without AUTO_INCREMENT.

    MySQL 8 caches the catalogue's figure for a day unless told otherwise; the rows are asked too, because before 8.0
    the counter is forgotten at a restart.
    """
    name = next((column.name for column in table.columns if column.auto_increment), None)
    if name is None:
        return None
    with translated("source"), connection.cursor() as cursor:
        try:
            cursor.execute("SET SESSION information_schema_stats_expiry = 0")
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1193:  # only MySQL 8 and later know it
                raise
        cursor.execute(
            "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            (table.id.schema, table.id.name),
        )
        row = cursor.fetchone()
        counter = int(row[0]) if row and row[0] is not None else 1
        cursor.execute(f"SELECT MAX({quoted_name(name)}) FROM {quoted_name(table.id.schema, table.id.name)}")
        row = cursor.fetchone()
        highest = int(row[0]) if row and row[0] is not None else 0
    return max(counter, highest + 1)


def burn_ids(connection: MysqlConnection[Any], table: TableDef, least: int) -> int | None:
    """Raise the counter to `least` by an INSERT that is rolled back: InnoDB does not take ids back.

    ALTER TABLE … AUTO_INCREMENT would stand in the binlog as a change of the definition, and wait for every reader of
    the table. Gives the next id as read back, which is lower when the row could not be tried (another unique key).
    The connection must be let through the gate.
    """
    name = next((column.name for column in table.columns if column.auto_increment), None)
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
