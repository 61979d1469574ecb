"""Binlog events as values: the common header, checksums, and the bodies that crossfade looks into.

Only parses bytes; no sockets, no files. Facts are from the servers' manuals ("Binlog Event" of MySQL's internals
documentation, "Replication Protocol" of MariaDB's knowledge base). Row images are decoded elsewhere.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple
from uuid import UUID

from pymysql.charset import charset_by_id

from model.errors import CorruptEvent, UnknownEvent
from sync.mysql.event_types import DELETE_ROWS, ROWS, UPDATE_ROWS, WRITE_ROWS, E, EventType, event_name
from sync.mysql.table_map import ColumnType, OptionalMetadata, TableMap, parse_table_map
from sync.mysql.wire import Cursor

__all__ = [
    "HEADER_BYTES",
    "ChecksumAlgorithm",
    "ColumnType",
    "EventHeader",
    "FormatDescription",
    "GtidEvent",
    "Heartbeat",
    "OptionalMetadata",
    "QueryEvent",
    "Rotate",
    "RowsHeader",
    "TableMap",
    "XaPrepare",
    "checksum_matches",
    "parse_format_description",
    "parse_gtid",
    "parse_gtid_list",
    "parse_header",
    "parse_heartbeat",
    "parse_incident",
    "parse_previous_gtids",
    "parse_query",
    "parse_rotate",
    "parse_rows_header",
    "parse_rows_query",
    "parse_rows_target",
    "parse_table_map",
    "parse_xa_prepare",
    "parse_xid",
]

HEADER_BYTES: Final = 19
CHECKSUM_BYTES: Final = 4
_HEADER: Final = struct.Struct("<IBIIIH")
_CHECKSUM: Final = struct.Struct("<I")
_GTID: Final = struct.Struct("<B16sQ")


ARTIFICIAL: Final = 0x20
"""Header flag of events that are not in the binlog file (the ROTATE that opens a stream)."""


class EventHeader(NamedTuple):
    """The 19 bytes in front of every event. A tuple, not a dataclass: one is made per event on the hot path."""

    timestamp: int
    """Seconds since the epoch; 0 for artificial events."""
    type: int
    """Event type number (an `EventType` when it is known)."""
    server_id: int
    size: int
    """Bytes of the whole event with header and checksum."""
    log_pos: int
    """End offset in the binlog file modulo 2**32; 0 when the source does not say."""
    flags: int


class ChecksumAlgorithm(IntEnum):
    """Algorithm byte of a FORMAT_DESCRIPTION event."""

    NONE = 0
    CRC32 = 1


@dataclass(frozen=True, slots=True)
class FormatDescription:
    """How events after this one are laid out."""

    server_version: str
    checksum: ChecksumAlgorithm
    post_header_lengths: bytes
    """Length of the fixed part of event type i at index i - 1."""
    created: int

    @property
    def mariadb(self) -> bool:
        """Whether a MariaDB server wrote the file."""
        return "mariadb" in self.server_version.lower()

    def post_header_length(self, event_type: int) -> int:
        """Length of an event type's fixed part, 0 when the server did not list it."""
        return self.post_header_lengths[event_type - 1] if 0 < event_type <= len(self.post_header_lengths) else 0


@dataclass(frozen=True, slots=True)
class Rotate:
    """The stream goes on in another file, or says in which file it starts."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The source is alive and has nothing after this coordinate; `offset` is None when only the header has it."""

    file: str
    offset: int | None


class MariadbGtidFlag(IntFlag):
    """Flags of MariaDB's GTID event."""

    STANDALONE = 1
    GROUP_COMMIT_ID = 2
    TRANSACTIONAL = 4
    ALLOW_PARALLEL = 8
    WAITED = 16
    DDL = 32
    PREPARED_XA = 64
    COMPLETED_XA = 128


@dataclass(frozen=True, slots=True)
class GtidEvent:
    """The event that opens a transaction; `gtid` is "" for an anonymous one."""

    gtid: str
    standalone: bool | None
    """MariaDB: the group is one statement without COMMIT. None on MySQL, which does not say."""
    ddl: bool | None
    """MariaDB: the group is DDL. None on MySQL."""
    commit_time_us: int | None
    """Microseconds since the epoch when the source committed; None before MySQL 8.0.1 and on MariaDB."""
    commit_id: int | None = None
    """MariaDB: transactions with the same number were committed together."""
    flags: int = 0
    prepared_xa: bool = False
    """MariaDB: the group ends in XA PREPARE. MySQL says it with the statement XA START."""


@dataclass(frozen=True, slots=True)
class QueryEvent:
    """A statement: BEGIN, COMMIT, DDL, or DML in statement format."""

    schema: str
    text: str
    thread_id: int
    error_code: int
    sql_mode: int | None = None
    client_collation: int | None = None


@dataclass(frozen=True, slots=True)
class XaPrepare:
    """An XA transaction is prepared (or committed in one phase); its rows stand before it."""

    one_phase: bool
    format_id: int
    gtrid: bytes
    bqual: bytes


@dataclass(frozen=True, slots=True)
class RowsHeader:
    """The part of a row event before its row images."""

    table_id: int
    flags: int
    column_count: int
    present_before: bytes | None
    """Bitmap of columns in the before images, lowest bit first; None for WRITE."""
    present_after: bytes | None
    """Bitmap of columns in the after images; None for DELETE."""
    rows_offset: int
    """Offset of the first row image in the event's body."""

    @property
    def statement_end(self) -> bool:
        """Whether this is the last row event of its statement: the table ids end here."""
        return bool(self.flags & 1)


def parse_header(raw: bytes | memoryview) -> EventHeader:
    """Read the header at the start of an event. Raises CorruptEvent when there are too few bytes."""
    if len(raw) < HEADER_BYTES:
        raise CorruptEvent("a binlog event is shorter than its header", bytes=len(raw))
    return EventHeader._make(_HEADER.unpack_from(raw))


def pack_header(header: EventHeader) -> bytes:
    """The 19 bytes of a header; the inverse of `parse_header`."""
    return _HEADER.pack(*header)


def checksum_matches(raw: bytes | memoryview) -> bool:
    """Whether the last four bytes of a whole event are the CRC32 of the bytes before them."""
    view = memoryview(raw)
    return len(raw) > HEADER_BYTES and zlib.crc32(view[:-4]) == _CHECKSUM.unpack_from(view, len(raw) - 4)[0]


def _server_has_checksums(version: str) -> bool:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return numbers >= ([5, 3] if "mariadb" in version.lower() else [5, 6, 1])


def parse_format_description(body: bytes) -> FormatDescription:
    """Read a FORMAT_DESCRIPTION event without its header but with whatever stands at its end.

    Servers that know checksums end it with the algorithm and four bytes of checksum, whatever the algorithm.
    Raises CorruptEvent.
    """
    cursor = Cursor(body)
    binlog_version = cursor.uint(2)
    version = cursor.take(50).split(b"\0", 1)[0].decode("latin-1")
    created, header_bytes = cursor.uint(4), cursor.uint(1)
    if binlog_version != 4 or header_bytes != HEADER_BYTES:
        raise CorruptEvent("the binlog's format is not version 4", version=binlog_version, header_bytes=header_bytes)
    algorithm = ChecksumAlgorithm.NONE
    lengths = cursor.take(cursor.remaining())
    if _server_has_checksums(version):
        if len(lengths) < 1 + CHECKSUM_BYTES:
            raise CorruptEvent("a FORMAT_DESCRIPTION event is cut short")
        number = lengths[-1 - CHECKSUM_BYTES]
        if number not in (0, 1):
            raise UnknownEvent("the binlog uses a checksum algorithm that is not known here", algorithm=number)
        algorithm = ChecksumAlgorithm(number)
        lengths = lengths[: -1 - CHECKSUM_BYTES]
    return FormatDescription(version, algorithm, lengths, created)


def parse_rotate(body: bytes) -> Rotate:
    """Read a ROTATE event's body. Raises CorruptEvent."""
    cursor = Cursor(body)
    offset = cursor.uint(8)
    return Rotate(cursor.take(cursor.remaining()).decode(), offset)


def parse_heartbeat(event_type: int, body: bytes) -> Heartbeat:
    """Read the body of a HEARTBEAT or HEARTBEAT_V2 event. Raises CorruptEvent."""
    if event_type == EventType.HEARTBEAT:
        return Heartbeat(bytes(body).decode(), None)
    cursor, file, offset = Cursor(body), "", None
    while cursor.remaining():
        kind = cursor.uint(1)
        if kind == 0:
            break
        value = Cursor(cursor.lenenc_bytes())
        if kind == 1:
            file = value.take(value.remaining()).decode()
        elif kind == 2:
            offset = value.lenenc()
    return Heartbeat(file, offset)


_TAGGED_FLAGS, _TAGGED_UUID, _TAGGED_NUMBER, _TAGGED_TAG, _TAGGED_COMMITTED, _TAGGED_SEQUENCE, _TAGGED_TIME = range(7)


def _parse_tagged_gtid(body: bytes) -> GtidEvent:
    """GTID_TAGGED is a message of MySQL's serialization library: version, size, last needed field, then (id, value)."""
    cursor = Cursor(body)
    version = cursor.varlen()
    if version != 1:
        raise UnknownEvent("a tagged GTID event has an encoding version that is not known here", version=version)
    cursor.varlen()
    cursor.varlen()
    flags = number = 0
    uuid, tag, time_us = "", "", None
    while cursor.remaining():
        field = cursor.varlen()
        if field == _TAGGED_FLAGS:
            flags = cursor.varlen()
        elif field == _TAGGED_UUID:
            uuid = str(UUID(bytes=bytes(cursor.varlen() for _ in range(16))))
        elif field == _TAGGED_NUMBER:
            number = cursor.varlen_signed()
        elif field == _TAGGED_TAG:
            tag = cursor.take(cursor.varlen()).decode()
        elif field in (_TAGGED_COMMITTED, _TAGGED_SEQUENCE):
            cursor.varlen_signed()
        elif field == _TAGGED_TIME:
            time_us = cursor.varlen()
            break
        else:
            break
    if not uuid or not number:
        raise CorruptEvent("a tagged GTID event has no GTID in it")
    return GtidEvent(f"{uuid}:{tag}:{number}" if tag else f"{uuid}:{number}", None, None, time_us, flags=flags)


def _uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_gtid(event_type: int, server_id: int, body: bytes) -> GtidEvent:
    """Read any event that opens a transaction; `server_id` is the header's (a part of MariaDB's GTID).

    Raises CorruptEvent, and UnknownEvent for an encoding that is not known.
    """
    if event_type == EventType.GTID_TAGGED:
        return _parse_tagged_gtid(body)
    cursor = Cursor(body)
    if event_type == EventType.MARIADB_GTID:
        number, domain, flags = cursor.uint(8), cursor.uint(4), cursor.uint(1)
        commit_id = cursor.uint(8) if flags & MariadbGtidFlag.GROUP_COMMIT_ID else None
        return GtidEvent(
            gtid=f"{domain}-{server_id}-{number}",
            standalone=bool(flags & MariadbGtidFlag.STANDALONE),
            ddl=bool(flags & MariadbGtidFlag.DDL),
            commit_time_us=None,
            commit_id=commit_id,
            flags=flags,
            prepared_xa=bool(flags & MariadbGtidFlag.PREPARED_XA),
        )
    flags, uuid, number = _GTID.unpack(cursor.take(_GTID.size))
    time_us = None
    # 5.6 ends here; 5.7 adds the logical clock (type byte 2 and two numbers), 8.0.1 the commit time in 55 bits.
    if cursor.remaining() >= 17 + 7 and cursor.uint(1) == 2:
        cursor.take(16)
        time_us = cursor.uint(7) & ~(1 << 55)
    anonymous = event_type == EventType.ANONYMOUS_GTID
    return GtidEvent("" if anonymous else f"{_uuid_text(uuid)}:{number}", None, None, time_us, flags=flags)


def parse_gtid_list(body: bytes) -> tuple[str, ...]:
    """Read MariaDB's GTID_LIST: every `domain-server-sequence` of its start-of-file state. Raises CorruptEvent."""
    cursor = Cursor(body)
    found = []
    for _ in range(cursor.uint(4) & 0x0FFFFFFF):
        domain, server, number = cursor.uint(4), cursor.uint(4), cursor.uint(8)
        found.append(f"{domain}-{server}-{number}")
    return tuple(found)


def parse_previous_gtids(body: bytes) -> str:
    """Read PREVIOUS_GTIDS as the text form of a GTID set: what was executed before the file. Raises CorruptEvent."""
    cursor = Cursor(body)
    head = cursor.uint(8)
    tagged = head >> 56 == 1
    members = []
    for _ in range(head >> 8 & (1 << 48) - 1 if tagged else head):
        name = str(UUID(bytes=cursor.take(16)))
        if tagged and (tag := cursor.take(cursor.varlen()).decode()):
            name += f":{tag}"
        for _ in range(cursor.uint(8)):
            first, after = cursor.uint(8), cursor.uint(8)
            name += f":{first}" if after == first + 1 else f":{first}-{after - 1}"
        members.append(name)
    return ",".join(members)


# Length of each status variable of a QUERY event that may stand before the character set, by its code.
_STATUS_FIXED: Final = {0: 4, 3: 4, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1, 128: 3, 129: 8}
_STATUS_COUNTED: Final = frozenset({5, 6})
_STATUS_SQL_MODE, _STATUS_CATALOG, _STATUS_CHARSET = 1, 2, 4


def _status_variables(raw: bytes) -> tuple[int | None, int | None]:
    """SQL mode and client collation; stops at the first variable of unknown length, which never comes before these."""
    cursor, sql_mode, collation = Cursor(raw), None, None
    while cursor.remaining():
        code = cursor.uint(1)
        if code == _STATUS_CHARSET:
            collation = cursor.uint(2)
            cursor.take(4)
        elif code == _STATUS_SQL_MODE:
            sql_mode = cursor.uint(8)
        elif code in _STATUS_FIXED:
            cursor.take(_STATUS_FIXED[code])
        elif code in _STATUS_COUNTED:
            cursor.take(cursor.uint(1))
        elif code == _STATUS_CATALOG:
            cursor.take(cursor.uint(1) + 1)
        else:
            break
    return sql_mode, collation


def _decoded(text: bytes, collation: int | None) -> str:
    encoding = "utf-8"
    if collation:
        try:
            encoding = charset_by_id(collation).encoding or "utf-8"
        except KeyError:
            encoding = "utf-8"
    try:
        return text.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return text.decode("utf-8", "surrogateescape")


def parse_query(body: bytes) -> QueryEvent:
    """Read a QUERY event's body (expanded, if it was compressed). Raises CorruptEvent.

    The text is decoded with the client's character set when the event names it, else as UTF-8; bytes that do not fit
    stay as surrogate escapes.
    """
    cursor = Cursor(body)
    thread_id = cursor.uint(4)
    cursor.take(4)
    schema_bytes, error_code, status_bytes = cursor.uint(1), cursor.uint(2), cursor.uint(2)
    sql_mode, collation = _status_variables(cursor.take(status_bytes))
    schema = cursor.take(schema_bytes).decode("utf-8", "surrogateescape")
    cursor.take(1)
    text = _decoded(cursor.take(cursor.remaining()), collation)
    return QueryEvent(schema, text, thread_id, error_code, sql_mode, collation)


def parse_xid(body: bytes) -> int:
    """Read an XID event: the engine's transaction number. Raises CorruptEvent."""
    return Cursor(body).uint(8)


def parse_xa_prepare(body: bytes) -> XaPrepare:
    """Read an XA_PREPARE event. Raises CorruptEvent."""
    cursor = Cursor(body)
    one_phase, format_id = bool(cursor.uint(1)), cursor.uint(4)
    gtrid_bytes, bqual_bytes = cursor.uint(4), cursor.uint(4)
    return XaPrepare(one_phase, format_id, cursor.take(gtrid_bytes), cursor.take(bqual_bytes))


def parse_incident(body: bytes) -> str:
    """Read an INCIDENT event: what the source says was lost. Raises CorruptEvent."""
    cursor = Cursor(body)
    number = cursor.uint(2)
    text = cursor.take(cursor.uint(1)).decode("utf-8", "replace") if cursor.remaining() else ""
    return text or f"incident {number}"


def parse_rows_query(event_type: int, body: bytes) -> str:
    """Read the statement of a ROWS_QUERY (MySQL) or ANNOTATE_ROWS (MariaDB) event; for people to read only."""
    skip = 1 if event_type == EventType.ROWS_QUERY else 0
    return bytes(body)[skip:].decode("utf-8", "replace")


_ROWS_TARGET: Final = struct.Struct("<IHH")
_WITH_BEFORE: Final = UPDATE_ROWS | DELETE_ROWS
_WITH_AFTER: Final = WRITE_ROWS | UPDATE_ROWS
_VERSION_2: Final = frozenset({E.WRITE_ROWS_V2, E.UPDATE_ROWS_V2, E.DELETE_ROWS_V2, E.PARTIAL_UPDATE_ROWS})


def parse_rows_target(body: bytes) -> tuple[int, int]:
    """The table number and the flags at the start of a row event's body. Raises CorruptEvent when it is too short."""
    if len(body) < _ROWS_TARGET.size:
        raise CorruptEvent("a row event is shorter than its header", bytes=len(body))
    low, high, flags = _ROWS_TARGET.unpack_from(body)
    return low | high << 32, flags


def parse_rows_header(event_type: int, body: bytes) -> RowsHeader:
    """Read the start of a row event's body (version 1 or 2, not compressed).

    Raises CorruptEvent, and UnknownEvent when the type is no row event.
    """
    if event_type not in ROWS:
        raise UnknownEvent(f"not a row event: {event_name(event_type)}")
    cursor = Cursor(body)
    table_id, flags = cursor.uint(6), cursor.uint(2)
    if event_type in _VERSION_2:
        cursor.take(cursor.uint(2) - 2)
    count = cursor.lenenc()
    size = (count + 7) // 8
    before = cursor.take(size) if event_type in _WITH_BEFORE else None
    after = cursor.take(size) if event_type in _WITH_AFTER else None
    return RowsHeader(table_id, flags, count, before, after, cursor.offset)
