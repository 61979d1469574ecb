"""Opens the binlog dump: session settings, registration as a replica, and the dump command for the position's kind.

mysql-replication sends the commands; where it cannot (tagged GTIDs, MariaDB by file and offset) they are made here.
Hands out raw packets; does not look into events. Also says what the source's refusals mean.
"""

from __future__ import annotations

import socket
import struct
import threading
import uuid
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymysqlreplication import BinLogStreamReader

from config.settings import SourceSettings
from model.errors import AccessDenied, ConnectionLost, CrossfadeError, PositionPurged, Refused, SourceError
from model.gtid import GtidSet
from model.position import BinlogCoordinate
from stores.errors import translated
from stores.mysql import MysqlConnection, ServerInfo, connect_source
from sync.mysql.framing import PacketStream

_COM_BINLOG_DUMP: Final = 0x12
_COM_BINLOG_DUMP_GTID: Final = 0x1E
_NON_BLOCK: Final = 0x01
_HEARTBEAT_V2: Final = 0x02
_THROUGH_GTID: Final = 0x04
_NET_WRITE_TIMEOUT_S: Final = 3600
MAX_OFFSET: Final = (1 << 32) - 1
"""The largest offset that the dump command can name."""
FILE_START: Final = 4
"""Offset of the first event of every binlog file."""


class ServerIdClash(SourceError):
    """Another replica connected to the source with our server id."""

    transient = True
    default_hint = "Give this migration its own source.server_id, or stop the other replica."


class StreamEnded(ConnectionLost):
    """The source ended the stream by itself."""


class DumpMode(StrEnum):
    """By what the stream is resumed."""

    GTID = "gtid"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class DumpStart:
    """Where a dump begins."""

    mode: DumpMode
    coordinate: BinlogCoordinate
    gtids: str = ""
    blocking: bool = True
    """Whether the stream waits for more at the binlog's end."""


def replica_id(settings: SourceSettings, name: str) -> int:
    """Our server id: the configured one, else one derived from the migration's name."""
    return settings.server_id or (zlib.crc32(f"crossfade:{name}".encode()) & 0x7FFFFFFF) | 0x40000000


class Dump:
    """An open dump: its connection and its packets."""

    def __init__(self, driver: Any, silence_s: float, stop: threading.Event) -> None:
        self._driver = driver
        self.packets = PacketStream(self._driver._sock, silence_s, stop)

    def close(self) -> None:
        """Drop the connection without a goodbye: the server would answer only when it next has something to send."""
        self._driver._force_close()


def open_dump(
    settings: SourceSettings, info: ServerInfo, start: DumpStart, server_id: int, stop: threading.Event
) -> Dump:
    """Connect and start the dump. Raises Unreachable, AccessDenied, or what `refusal` makes of the source's answer."""
    where = f"source {settings.host}:{settings.port}"
    silence_s = 3 * settings.heartbeat_s
    timeout_s = max(silence_s, settings.connect_timeout_s)
    connection = connect_source(settings, read_timeout_s=timeout_s, write_timeout=timeout_s)
    driver: Any = connection
    try:
        with translated(where):
            _prepare(connection, info, settings.heartbeat_s, server_id)
            _start(connection, info, start, server_id)
        _keep_alive(driver._sock)
        return Dump(driver, silence_s, stop)
    except BaseException:
        driver._force_close()
        raise


def _prepare(connection: MysqlConnection[Any], info: ServerInfo, heartbeat_s: float, server_id: int) -> None:
    """Session settings that a replica makes. The same identity each time, so that a zombie of ours is thrown out."""
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"crossfade:{server_id}"))
    heartbeat_ns = int(heartbeat_s * 1_000_000_000)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION net_write_timeout = %s", (_NET_WRITE_TIMEOUT_S,))
        if info.mariadb:
            cursor.execute("SET @mariadb_slave_capability = 4")
            cursor.execute("SET @master_heartbeat_period = %s", (heartbeat_ns,))
            cursor.execute("SET @master_binlog_checksum = @@GLOBAL.binlog_checksum")
        else:
            cursor.execute("SET @master_heartbeat_period = %s, @source_heartbeat_period = %s", (heartbeat_ns,) * 2)
            cursor.execute("SET @slave_uuid = %s, @replica_uuid = %s", (identity, identity))
            cursor.execute(
                "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, "
                "@source_binlog_checksum = @@GLOBAL.binlog_checksum"
            )


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _start(connection: MysqlConnection[Any], info: ServerInfo, start: DumpStart, server_id: int) -> None:
    by_gtid = start.mode is DumpMode.GTID
    library = BinLogStreamReader(
        connection_settings={},
        server_id=server_id,
        blocking=start.blocking,
        resume_stream=True,
        log_file=start.coordinate.file,
        log_pos=min(start.coordinate.offset, MAX_OFFSET),
        auto_position=start.gtids if by_gtid else None,
        is_mariadb=info.mariadb and by_gtid,
        report_slave="crossfade",
        pymysql_wrapper=lambda **_: connection,
        enable_logging=False,
    )
    if info.mariadb and by_gtid:
        library._BinLogStreamReader__connect_to_stream()
        return
    # The library knows neither heartbeats with 64-bit offsets nor tagged GTIDs: it registers, we send the command.
    library._stream_connection = connection
    library._register_slave()
    flags = 0 if start.blocking else _NON_BLOCK
    if not info.mariadb and info.version >= (8, 0, 26):
        flags |= _HEARTBEAT_V2
    command = (
        gtid_dump_command(start.gtids, server_id, flags)
        if by_gtid
        else file_dump_command(start.coordinate, server_id, flags)
    )
    library._stream_connection._write_bytes(struct.pack("<I", len(command)) + command)


def file_dump_command(coordinate: BinlogCoordinate, server_id: int, flags: int) -> bytes:
    """COM_BINLOG_DUMP for a file and a 32-bit offset."""
    return struct.pack("<BIHI", _COM_BINLOG_DUMP, coordinate.offset, flags, server_id) + coordinate.file.encode()


def gtid_dump_command(gtids: str, server_id: int, flags: int) -> bytes:
    """COM_BINLOG_DUMP_GTID: everything that is not in `gtids`."""
    encoded = encode_gtid_set(GtidSet.parse(gtids))
    head = struct.pack("<BHII", _COM_BINLOG_DUMP_GTID, flags | _THROUGH_GTID, server_id, 0)
    return head + struct.pack("<QI", FILE_START, len(encoded)) + encoded


def encode_gtid_set(gtids: GtidSet) -> bytes:
    """The binary form of a GTID set: the old one, or with tags (MySQL 8.3) when there are any."""
    tagged = any(":" in source for source in gtids.intervals)
    count = len(gtids.intervals)
    parts = [struct.pack("<Q", 1 << 56 | count << 8 | 1 if tagged else count)]
    for source, intervals in gtids.intervals.items():
        identity, _, tag = source.partition(":")
        parts.append(uuid.UUID(identity).bytes)
        if tagged:
            # A tag has at most 32 characters: its length is a one-byte varlen integer, the value above a zero bit.
            parts.append(bytes((len(tag) << 1,)) + tag.encode())
        parts.append(struct.pack("<Q", len(intervals)))
        parts.extend(struct.pack("<QQ", first, last + 1) for first, last in intervals)
    return b"".join(parts)


_REFUSALS: Final[tuple[tuple[tuple[str, ...], type[CrossfadeError], str | None], ...]] = (
    (("same server_uuid", "same server_id", "same server id"), ServerIdClash, None),
    (("purged", "could not find first log file", "could not find gtid state"), PositionPurged, None),
    (
        ("more gtids than", "not in the master's binlog", "alternate history"),
        SourceError,
        "The source's history is not the one we followed. Point `source` at the right server, or start with --fresh.",
    ),
    (
        ("max_allowed_packet",),
        SourceError,
        "Set max_allowed_packet to 1073741824 on the source; if it is, the position is not the start of an event.",
    ),
    (
        ("position >", "impossible position", "bogus data", "> file size", "event read from binlog did not pass"),
        SourceError,
        "The position is not one of this source's binlog. Has it been reset? Then start with --fresh.",
    ),
    (("binlog is not open", "binary log is not open"), Refused, "Set log_bin on the source and restart it."),
)


def refusal(errno: int, text: str, where: str) -> CrossfadeError:
    """Our error for an error packet in the stream."""
    lowered = text.lower()
    if errno in (1053, 1317, 1927, 2006, 2013, 3169):
        return ConnectionLost(f"{where} ended the stream: {text}", errno=errno)
    if errno in (1044, 1045, 1142, 1227):
        return AccessDenied(f"{where} says: {text}", errno=errno)
    for phrases, kind, hint in _REFUSALS:
        if any(phrase in lowered for phrase in phrases):
            return kind(f"{where} says: {text}", hint=hint, errno=errno)
    return SourceError(f"{where} says: {text}", hint="See the source's error log.", errno=errno)


def refusal_of_packet(packet: bytes, where: str) -> CrossfadeError:
    """Our error for an ERR (0xFF) or EOF (0xFE) packet that ends the stream."""
    if packet[:1] == b"\xfe":
        return StreamEnded(f"{where} ended the stream")
    text = packet[9:] if packet[3:4] == b"#" else packet[3:]
    return refusal(int.from_bytes(packet[1:3], "little"), text.decode("utf-8", "replace"), where)
