"""Hand-made binlog events and packets for unit tests."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

from sync.mysql.event_types import EventType

SERVER_UUID = UUID("3e11fa47-71ca-11e1-9e33-c80aa9429562")


def event(
    kind: int, body: bytes = b"", *, log_pos: int = 0, timestamp: int = 1_700_000_000, flags: int = 0, crc: bool = True
) -> bytes:
    """A whole event with header and, unless told otherwise, checksum."""
    size = 19 + len(body) + (4 if crc else 0)
    raw = struct.pack("<IBIIIH", timestamp, kind, 1, size, log_pos & 0xFFFFFFFF, flags) + body
    return raw + struct.pack("<I", zlib.crc32(raw)) if crc else raw


def format_description(*, crc: bool = True, version: bytes = b"8.0.36") -> bytes:
    """A FORMAT_DESCRIPTION event; its four bytes of checksum are there in any case."""
    body = struct.pack("<H50sIB", 4, version, 0, 19) + bytes(40) + bytes([crc])
    return event(EventType.FORMAT_DESCRIPTION, body)


def query(text: str, schema: str = "shop", *, status: bytes = b"", **more: int) -> bytes:
    """A QUERY event."""
    name = schema.encode()
    body = struct.pack("<IIBHH", 7, 0, len(name), 0, len(status)) + status + name + b"\0" + text.encode()
    return event(EventType.QUERY, body, **more)


def gtid(number: int, **more: int) -> bytes:
    """A GTID event of MySQL 8 with a commit time."""
    body = struct.pack("<B16sqBqq", 0, SERVER_UUID.bytes, number, 2, 1, 2) + (1_700_000_000_123_456).to_bytes(
        7, "little"
    )
    return event(EventType.GTID, body, **more)


def mariadb_gtid(number: int, flags: int, domain: int = 0) -> bytes:
    """A GTID event of MariaDB."""
    return event(EventType.MARIADB_GTID, struct.pack("<QIB", number, domain, flags) + bytes(6))


def xid(**more: int) -> bytes:
    """An XID event."""
    return event(EventType.XID, struct.pack("<Q", 5), **more)


def rotate(file: str, offset: int = 4, *, crc: bool = True) -> bytes:
    """The artificial ROTATE that opens a stream or a file."""
    return event(EventType.ROTATE, struct.pack("<Q", offset) + file.encode(), timestamp=0, flags=0x20, crc=crc)


def packets(*messages: bytes) -> bytes:
    """Events as the packets of a dump."""
    out = []
    for message in messages:
        payload = b"\0" + message
        while True:
            piece, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
            out.append(len(piece).to_bytes(3, "little") + b"\0" + piece)
            if len(piece) < 0xFFFFFF:
                break
    return b"".join(out)
