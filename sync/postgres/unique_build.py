"""Builds the unique indexes of one large table while others write it, on a connection that nobody else waits for.

CREATE INDEX CONCURRENTLY (PostgreSQL manual, "Building Indexes Concurrently") lets writers go on, and waits for
transactions that are open. A build that is stopped, or fails, leaves an index that is not valid: it answers no query,
but may refuse rows already. It is dropped before the next build, by whoever comes first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from psycopg import sql

from model.errors import ApplyError
from stores.errors import translated
from stores.postgres import PostgresConnection
from sync.postgres.drift import require_fit
from sync.postgres.schema_apply import missing
from sync.postgres.schema_lock import alone, locks_of
from sync.postgres.store_catalog import StoreCatalog, read_store
from transforms.ddl import ObjectKind, Phase, index_sql
from transforms.target import TargetIndex, TargetTable

IN_PLACE_BYTES: Final = 32 << 20
"""A table of up to so many bytes is built in place, with everybody waiting: it takes less than a second, needs nobody
else's transaction to end, and is over in one statement."""
CHECK_CLIENT_S: Final = 5
"""How soon the server ends a build whose daemon has died, so that its locks do not outlive it by much."""

_BYTES: Final = """
    SELECT pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r'
"""
"""Of a partitioned table nothing: it cannot be built concurrently."""
_UNFINISHED: Final = """
    SELECT i.relname FROM pg_index x
      JOIN pg_class i ON i.oid = x.indexrelid
      JOIN pg_class t ON t.oid = x.indrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE n.nspname = %s AND t.relname = %s AND i.relname = ANY(%s) AND NOT x.indisvalid
     ORDER BY 1
"""
_PROGRESS: Final = """
    SELECT phase, CASE WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total END,
           CASE WHEN lockers_done < lockers_total THEN nullif(current_locker_pid, 0) END
      FROM pg_stat_progress_create_index WHERE pid = %s
"""

log = structlog.get_logger(__name__)


def is_slow(connection: PostgresConnection, table: TargetTable) -> bool:
    """Whether the table lacks unique indexes, and is so large that nobody should wait for them."""
    uniques = [index for index in table.indexes if index.unique]
    if not uniques:
        return False
    with translated(f"store {table.store}"):
        size = connection.execute(_BYTES, (table.schema, table.name)).fetchone()
    if size is None or size[0] <= IN_PLACE_BYTES:
        return False
    return bool(_lacking(read_store(connection, {table.schema}), table))


def build_uniques(
    connection: PostgresConnection, table: TargetTable, stop: threading.Event, say: Callable[[str], None]
) -> None:
    """Build what the table lacks, one index after the other; `say` is told the name of each. Returns when `stop` is
    set, with an index left that is not valid. `connection` is in autocommit mode and nobody else's.

    Raises SchemaDrift when the table does not fit, and ValueRefused, with nothing left, for rows that are equal.
    """
    _prepare(connection, table.store)
    with alone(connection, table.store, locks_of([table]), stop):
        catalog = read_store(connection, {table.schema})
        require_fit(catalog, [table], table.store)
        for index in _lacking(catalog, table):
            if stop.is_set():
                return
            say(index.name)
            _drop_beside(connection, table, index)
            if stop.is_set():
                return
            try:
                with translated(f"store {table.store}, {ObjectKind.INDEX} {table.schema}.{index.name} of {table.name}"):
                    connection.execute(index_sql(table, index, concurrently=True).encode())
            except ApplyError:
                if not stop.is_set():
                    _drop_beside(connection, table, index)
                raise
            log.info("unique index built", store=table.store, table=f"{table.schema}.{table.name}", index=index.name)


def drop_unfinished(connection: PostgresConnection, table: TargetTable) -> None:
    """Drop in the caller's transaction what builds of the table's unique indexes have left."""
    with translated(f"store {table.store}"):
        for name in _unfinished(connection, table, [index.name for index in table.indexes if index.unique]):
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(table.schema, name)))


def progress(connection: PostgresConnection, pid: int) -> str:
    """How far the build of a backend is, in PostgreSQL's words; "" when it does not build."""
    with translated("store"):
        found = connection.execute(_PROGRESS, (pid,)).fetchone()
    if found is None:
        return ""
    phase, percent, locker = found
    if locker is not None:
        return f"{phase}, now for process {locker}"
    return phase if percent is None else f"{phase}, {percent} %"


def _prepare(connection: PostgresConnection, store: str) -> None:
    with translated(f"store {store}"):
        connection.execute("SET lock_timeout = 0")
        connection.execute("SET statement_timeout = 0")
        try:
            connection.execute(f"SET client_connection_check_interval = '{CHECK_CLIENT_S}s'".encode())
        except psycopg.errors.InvalidParameterValue:
            log.debug("the server cannot see that a client has gone", store=store)


def _lacking(catalog: StoreCatalog, table: TargetTable) -> list[TargetIndex]:
    names = {
        statement.object.name
        for statement in missing(catalog, [table], Phase.AFTER_CONSISTENT)
        if statement.object.kind is ObjectKind.INDEX
    }
    return [index for index in table.indexes if index.unique and index.name in names]


def _drop_beside(connection: PostgresConnection, table: TargetTable, index: TargetIndex) -> None:
    with translated(f"store {table.store}"):
        for name in _unfinished(connection, table, [index.name]):
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(table.schema, name)))


def _unfinished(connection: PostgresConnection, table: TargetTable, names: list[str]) -> list[str]:
    return [row[0] for row in connection.execute(_UNFINISHED, (table.schema, table.name, names)).fetchall()]
