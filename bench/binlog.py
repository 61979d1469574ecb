"""Raw binlog events of a server, by the plain dump command; for benchmarks and tests that need bytes and no daemon."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_COM_BINLOG_DUMP = 0x12
_NON_BLOCKING = 1


def raw_events(connection: Any, file: str, offset: int) -> Iterator[bytes]:
    """Every event from a position to the binlog's end: header and body, without checksum. Uses the connection up.

    `connection` is a PyMySQL connection of its own. Raises the driver's errors.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@GLOBAL.binlog_checksum")
            tail = 4 if cursor.fetchone()[0] == "CRC32" else 0
            cursor.execute("SET @master_binlog_checksum = @@GLOBAL.binlog_checksum")
            cursor.execute("SET @mariadb_slave_capability = 4")
        connection._execute_command(_COM_BINLOG_DUMP, struct.pack("<IHI", offset, _NON_BLOCKING, 0) + file.encode())
        while True:
            packet = connection._read_packet()
            if packet.is_eof_packet():
                return
            raw = packet.get_all_data()
            # The header's length is made to say what is left.
            size = len(raw) - 1 - tail
            yield raw[1:10] + struct.pack("<I", size) + raw[14 : 1 + size]
    finally:
        connection._force_close()
