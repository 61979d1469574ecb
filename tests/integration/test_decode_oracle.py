"""Our values against mysql-replication's, over the same events, where the library is right."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from typing import Any

from pymysql.protocol import MysqlPacket
from pymysqlreplication import row_event
from pymysqlreplication.packet import BinLogPacketWrapper

from servers import RunningServer
from sync.mysql.event_types import EventType
from tests.support.binlog import binlog_position, decoded, row_events, table_defs
from tests.support.servers import source_database

COLUMNS = """
    id INT UNSIGNED PRIMARY KEY, ti TINYINT, sm SMALLINT UNSIGNED, me MEDIUMINT, bi BIGINT UNSIGNED, de DECIMAL(65,30),
    d DOUBLE, bits BIT(13), da DATE, dt DATETIME(6), ts TIMESTAMP(2) NULL, v VARCHAR(300) CHARACTER SET utf8mb4,
    t MEDIUMTEXT CHARACTER SET utf8mb4, bl BLOB, e ENUM('a','b'), g GEOMETRY
"""
ROWS = """
    (4294967295, -128, 65535, -8388608, 18446744073709551615, -12345678901234567890.000000000000000000000000000001,
     5e-324, b'1000000000001', '2024-02-29', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.99', 'é😀', 'x',
     0x00FF, 'b', ST_GeomFromText('LINESTRING(0 0, 1 2)')),
    (0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (7, 1, 2, 3, 4, 0.5, -1.25, b'1', '1000-01-01', '2024-03-31 02:30:00', '1970-01-01 00:00:01', '', '', 0x01, 'a',
     ST_GeomFromText('POINT(1 1)'))
"""


class Offline:
    """What the library asks of its control connection."""

    charset = "utf8"

    def _get_dbms(self) -> str:
        return "mysql"


def library_rows(kind: int, map_body: bytes, body: bytes) -> list[dict[str, Any]]:
    """The rows of one event as the library decodes them."""
    maps: dict[int, Any] = {}
    allowed = frozenset({row_event.TableMapEvent, row_event.WriteRowsEvent})
    for event_type, content in ((EventType.TABLE_MAP, map_body), (kind, body)):
        header = struct.pack("<cIBIIIH", b"\0", 0, event_type, 1, len(content) + 19, 0, 0)
        wrapped = BinLogPacketWrapper(
            MysqlPacket(header + content, "utf8"), maps, Offline(), (9, 7, 0), False, allowed,
            None, None, None, None, False, False, False, True, False,
        )  # fmt: skip
        if event_type == EventType.TABLE_MAP:
            maps[wrapped.event.table_id] = wrapped.event.get_table()
    return [row["values"] for row in wrapped.event.rows]


def as_text(value: Any, name: str) -> bytes | None:
    """A value of the library in our text form."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    if isinstance(value, Decimal):
        return f"{value:f}".encode()
    if isinstance(value, float):
        return repr(value).encode()
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%d %H:%M:%S.%f")
        return f"{text[:22]}+00".encode() if name == "ts" else text.encode()
    return str(value).encode()


def test_values_equal_the_library_where_it_is_right(mysql97: RunningServer) -> None:
    with source_database(mysql97) as database:
        database.execute(f"CREATE TABLE t ({COLUMNS})")
        start = binlog_position(database)
        connection = database.connect(init_command="SET time_zone = '+00:00'")
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO t VALUES {ROWS}")
        connection.close()
        events, definition = row_events(database, start), table_defs(database)["t"]
        ours = [after for _, after in decoded(definition, events)]
        theirs = [row for event in events for row in library_rows(event.type, event.map_body, event.body)]
        assert len(ours) == len(theirs) == 3
        for mine, row in zip(ours, theirs, strict=True):
            assert mine == tuple(as_text(value, name) for name, value in row.items())
