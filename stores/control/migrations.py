"""Brings our tables in a store to this program's version: idempotent, under an advisory lock, additions only."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import psycopg as dialect_module
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.sql.elements import ClauseElement

from model.errors import Refused
from stores.control import (
    cutover_tables,
    held_ddl_tables,
    read_model_tables,
    report_tables,
    route_tables,
    tables,
    verify_tables,
)
from stores.control.names import SCHEMA
from stores.errors import translated
from stores.postgres import PostgresConnection

_LOCK = 0x63726F7373
"""Advisory lock key of migrations: the bytes of "cross"."""
_DEFINED = (tables, cutover_tables, held_ddl_tables, read_model_tables, report_tables, route_tables, verify_tables)
"""Modules with definitions; importing them enters these in the MetaData."""
_DIALECT = dialect_module.dialect()  # type: ignore[no-untyped-call]


def prepare_store(connection: PostgresConnection) -> None:
    """Create or upgrade the tables that every store has. Raises Refused when a newer crossfade made them."""
    _prepare(connection, "store", tables.STORE)


def prepare_control(connection: PostgresConnection) -> None:
    """Create or upgrade the tables of the control store. Raises Refused when a newer crossfade made them."""
    _prepare(connection, "control", tables.CONTROL)


def _prepare(connection: PostgresConnection, part: str, metadata: MetaData) -> None:
    with translated("store"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("SET LOCAL client_min_messages = warning")
        if _version(connection, part) == tables.VERSION:
            return
        connection.execute("CREATE SCHEMA IF NOT EXISTS crossfade")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS crossfade.migration (part text PRIMARY KEY, version integer NOT NULL, "
            "applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        done = _version(connection, part)
        if done > tables.VERSION:
            raise Refused(
                "our tables in this store were made by a newer crossfade",
                hint="Upgrade crossfade on this host.",
                theirs=done,
                ours=tables.VERSION,
            )
        for version in range(done + 1, tables.VERSION + 1):
            for statement in _statements(metadata, version):
                connection.execute(statement.encode())
        connection.execute(
            "INSERT INTO crossfade.migration (part, version) VALUES (%s, %s) "
            "ON CONFLICT (part) DO UPDATE SET version = excluded.version, applied_at = clock_timestamp()",
            (part, tables.VERSION),
        )


def _version(connection: PostgresConnection, part: str) -> int:
    known = connection.execute("SELECT to_regclass('crossfade.migration') IS NOT NULL").fetchone()
    if known is None or not known[0]:
        return 0
    row = connection.execute("SELECT version FROM crossfade.migration WHERE part = %s", (part,)).fetchone()
    return int(row[0]) if row else 0


def _statements(metadata: MetaData, version: int) -> Iterator[str]:
    """DDL that leads from `version - 1` to `version`."""

    def text_of(element: ClauseElement) -> str:
        return str(element.compile(dialect=_DIALECT))

    for table in metadata.sorted_tables:
        since = table.info.get("since", 1)
        if since == version:
            yield text_of(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                yield text_of(CreateIndex(index, if_not_exists=True))
        elif since < version:
            for column in table.columns:
                if column.info.get("since", since) == version:
                    name = sql.Identifier(SCHEMA, table.name).as_string(None)
                    yield f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {text_of(CreateColumn(column))}"
