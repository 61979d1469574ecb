"""How long InnoDB's open transactions have been open, prepared ones of XA among them. Needs PROCESS."""

from __future__ import annotations

from typing import Any, Final

from pymysql.cursors import Cursor

from stores.errors import translated
from stores.mysql import MysqlConnection

AGE_S: Final = "TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))"
"""InnoDB tells the start in the time zone of the system, whatever that of the session is."""
_TRANSACTIONS: Final = "information_schema.INNODB_TRX"
_WRITING: Final = "trx_rows_modified > 0"


def writers_older_than(connection: MysqlConnection[Any], seconds: float) -> list[tuple[int, int]]:
    """(connection, age in seconds) of what has written and is older, the oldest first.

    Connection 0: a prepared XA transaction that its session has left.
    """
    query = (
        f"SELECT trx_mysql_thread_id, {AGE_S} FROM {_TRANSACTIONS}"
        f" WHERE {_WRITING} AND {AGE_S} > %s ORDER BY trx_started"
    )
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(query, (seconds,))
        return [(int(thread), int(age)) for thread, age in cursor.fetchall()]


def oldest_writer_s(connection: MysqlConnection[Any]) -> float:
    """Age of the oldest transaction that has written; 0 without one."""
    return float(_oldest(connection, _WRITING) or 0)


def oldest_left_s(connection: MysqlConnection[Any]) -> int | None:
    """Age of the oldest transaction whose session is gone; None without one. Only a prepared one outlives its session.

    After a restart of the server its age counts from then on.
    """
    return _oldest(connection, "trx_mysql_thread_id = 0")


def _oldest(connection: MysqlConnection[Any], which: str) -> int | None:
    with translated("source"), connection.cursor(Cursor) as cursor:
        cursor.execute(f"SELECT MAX({AGE_S}) FROM {_TRANSACTIONS} WHERE {which}")
        row = cursor.fetchone()
    return max(0, int(row[0])) if row and row[0] is not None else None
