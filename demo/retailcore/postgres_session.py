"""A connection to a store that reconnects by itself and speaks the shop's errors instead of PostgreSQL's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from demo.retailcore.shop import AlreadyDone, Conflict, Declined, Refused, ShopError, Unavailable

_CONFLICT = {"40001", "40P01", "55P03", "57014"}
_REFUSED = {
    "25006",  # a write fence
    "42501",  # no privilege
}
_TAKEN = {"23505"}
_DECLINED = {"23503"}
_LOCK_WAIT = "5s"

Cursor = psycopg.Cursor[tuple[Any, ...]]


def shop_error(error: BaseException) -> ShopError | None:
    """The shop's error for a driver's, or None when it is neither transient nor a rule: then it is a bug."""
    if not isinstance(error, psycopg.Error):
        return Unavailable(str(error)) if isinstance(error, OSError) else None
    state = error.sqlstate or ""
    for states, kind in ((_CONFLICT, Conflict), (_REFUSED, Refused), (_TAKEN, AlreadyDone), (_DECLINED, Declined)):
        if state in states:
            return kind(f"{state}: {error}")
    lost = state.startswith(("08", "57P", "53")) or (not state and isinstance(error, psycopg.OperationalError))
    return Unavailable(str(error)) if lost else None


class PostgresSession:
    """One lazily opened connection, used by one thread."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """BEGIN … COMMIT around the block; any error rolls back. Raises ShopError, or the driver's error for a bug."""
        try:
            connection = self._open()
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except ShopError:
            raise
        except (psycopg.Error, OSError) as error:
            known = shop_error(error)
            if isinstance(known, Unavailable):
                self.close()
            if known is None:
                raise
            raise known from error
        except BaseException:
            self.close()
            raise

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one read."""
        with self.transaction() as cursor:
            return cursor.execute(sql.encode(), parameters).fetchall()

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                connection.close()

    def abort(self) -> None:
        """From another thread: break off the call that waits."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                connection.cancel_safe(timeout=2.0)

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            options = f"-c search_path={self._schema} -c lock_timeout={_LOCK_WAIT} -c timezone=UTC"
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=10, options=options, application_name="retailcore"
            )
        return self._connection


class PostgresDatabase:
    """Base of the domains' PostgreSQL implementations."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._session = PostgresSession(dsn, schema)

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
    return row
