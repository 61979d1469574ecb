"""Binlog events of a test's source, read with the plain dump command and nothing else of ours but the parsers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pymysql

from bench.binlog import raw_events
from model.rows import Row
from model.tables import TableDef
from stores.mysql import ServerInfo, binlog_end, probe
from sync.mysql.catalog import read_catalog
from sync.mysql.decode import SHAPES, TableDecoder
from sync.mysql.event_types import EventType
from sync.mysql.table_map import TableMap, parse_table_map
from sync.mysql.textform import from_select, select_expression
from tests.support.servers import SourceDatabase


@dataclass(frozen=True, slots=True)
class RowsEvent:
    """A row event with the table map that it follows; bodies have neither header nor checksum."""

    table_map: TableMap
    map_body: bytes
    type: int
    body: bytes


def server_info(database: SourceDatabase) -> ServerInfo:
    """What the server says of itself."""
    connection = database.connect()
    try:
        return probe(connection)
    finally:
        connection.close()


def binlog_position(database: SourceDatabase) -> tuple[str, int]:
    """File and offset of the binlog's end now."""
    connection = database.connect()
    try:
        coordinate = binlog_end(connection, probe(connection)).coordinate
        return coordinate.file, coordinate.offset
    finally:
        connection.close()


def row_events(database: SourceDatabase, start: tuple[str, int]) -> list[RowsEvent]:
    """Row events of the database's tables since `start`."""
    mariadb = server_info(database).mariadb
    maps: dict[bytes, tuple[TableMap, bytes]] = {}
    found = []
    for raw in raw_events(database.connect(), *start):
        kind, body = raw[4], raw[19:]
        if kind == EventType.TABLE_MAP:
            maps[body[:6]] = (parse_table_map(body, mariadb=mariadb), body)
        elif kind in SHAPES or kind == EventType.PARTIAL_UPDATE_ROWS:
            table_map, map_body = maps[body[:6]]
            if table_map.schema == database.database:
                found.append(RowsEvent(table_map, map_body, kind, body))
    return found


def table_defs(database: SourceDatabase) -> dict[str, TableDef]:
    """The database's tables as the catalogue describes them, by name."""
    connection = database.connect()
    try:
        found = read_catalog(connection, probe(connection), [database.database])
        return {table.name: definition for table, definition in found.items()}
    finally:
        connection.close()


def decoded(definition: TableDef, events: Iterable[RowsEvent]) -> list[tuple[Row | None, Row | None]]:
    """Decoded rows (before, after) of one table."""
    return [
        pair
        for event in events
        if event.table_map.table == definition.id.name
        for pair in TableDecoder(definition, event.table_map).decode(event.type, event.body)
    ]


def selected(database: SourceDatabase, definition: TableDef, order: str) -> list[Row]:
    """The table's rows by the snapshot's way."""
    info = server_info(database)
    columns = ", ".join(select_expression(column, info) for column in definition.columns)
    readers = [from_select(column) for column in definition.columns]
    connection: pymysql.Connection[Any] = database.connect(
        conv={}, use_unicode=False, init_command="SET time_zone = '+00:00'"
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM `{definition.id.name}` ORDER BY {order}")
            return [tuple(read(value) for read, value in zip(readers, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()
