"""A connection to the legacy server that reconnects by itself and speaks the shop's errors instead of MySQL's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from demo.retailcore.address import MysqlAddress
from demo.retailcore.shop import AlreadyDone, Conflict, Declined, Refused, ShopError, Unavailable

_CONFLICT = {
    1205,  # lock wait timeout
    1213,  # deadlock
    1317,  # query interrupted
    1020,  # record has changed since it was read (MariaDB's snapshot isolation)
    1969,  # statement timeout (MariaDB)
    3024,  # statement timeout (MySQL)
}
_REFUSED = {
    1644,  # SIGNAL
    1142,  # command denied on the table
    1290,  # server runs with --read-only
    1792,  # read-only transaction
    1836,  # read-only mode
}
_LOST = {0, 1040, 1053, 1077, 1152, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031}
_TAKEN = {1022, 1062}
_DECLINED = {1216, 1217, 1451, 1452}
_LOCK_WAIT_S = 5


def shop_error(error: BaseException) -> ShopError | None:
    """The shop's error for a driver's, or None when it is neither transient nor a rule: then it is a bug."""
    if isinstance(error, pymysql.MySQLError):
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        message = f"{number}: {error.args[1] if len(error.args) > 1 else error}"
        for numbers, kind in (
            (_CONFLICT, Conflict), (_REFUSED, Refused), (_TAKEN, AlreadyDone), (_DECLINED, Declined),
        ):  # fmt: skip
            if number in numbers:
                return kind(message)
        if number in _LOST:
            return Unavailable(message)
        return None
    return Unavailable(str(error)) if isinstance(error, OSError) else None


class MysqlSession:
    """One lazily opened connection, used by one thread."""

    def __init__(self, address: MysqlAddress) -> None:
        self._address = address
        self._connection: pymysql.Connection[Any] | None = None
        self._connection_id = 0

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """BEGIN … COMMIT around the block; any error rolls back. Raises ShopError, or the driver's error for a bug."""
        try:
            connection = self._open()
            connection.begin()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except ShopError:
            self._roll_back()
            raise
        except (pymysql.MySQLError, OSError) as error:
            known = shop_error(error)
            if isinstance(known, Unavailable):
                self.close()
            else:
                self._roll_back()
            if known is None:
                raise
            raise known from error
        except BaseException:
            self.close()
            raise

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one read."""
        with self.transaction() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()

    def abort(self) -> None:
        """From another thread: have the server end our connection, so that a waiting call returns."""
        connection_id = self._connection_id
        if self._connection is None:
            return
        with suppress(pymysql.MySQLError, OSError):
            killer = self._address.connect(timeout=2.0)
            try:
                with killer.cursor() as cursor:
                    cursor.execute("KILL %s", (connection_id,))
            finally:
                killer.close()

    def _open(self) -> pymysql.Connection[Any]:
        if self._connection is None:
            connection = self._address.connect(autocommit=False)
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", (_LOCK_WAIT_S,))
                cursor.execute("SELECT CONNECTION_ID()")
                (self._connection_id,) = one_row(cursor, "connection")
            self._connection = connection
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except (pymysql.MySQLError, OSError):
                self.close()


class MysqlDatabase:
    """Base of the three domains' MySQL implementations."""

    def __init__(self, address: MysqlAddress) -> None:
        self._session = MysqlSession(address)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def abort(self) -> None:
        """Break off a waiting call, from another thread."""
        self._session.abort()


def one_row(cursor: Cursor, what: str) -> tuple[Any, ...]:
    """The row a locking read found; Declined when there is none."""
    row = cursor.fetchone()
    if row is None:
        raise Declined(f"no such {what}")
    return tuple(row)


def spread(rows: list[tuple[Any, ...]], limit: int) -> list[tuple[Any, ...]]:
    """At most `limit` of the rows, evenly spaced."""
    step = max(1, -(-len(rows) // limit))
    return rows[::step]


def with_entry(document: str | None, name: str, value: str) -> str:
    """The JSON document with one more or changed entry; a document that is no object becomes one."""
    content = json.loads(document) if document else {}
    if not isinstance(content, dict):
        content = {"before": content}
    content[name] = value
    return json.dumps(content, ensure_ascii=False)
